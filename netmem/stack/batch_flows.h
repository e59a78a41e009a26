// SPDX-License-Identifier: Apache-2.0
//
// Which frames of a batch belong together: for each frame the next one of its flow. A worker asks
// on its thread, once per batch; software GRO goes by it. It knows hashes and no flows: frames of
// different flows with one hash (1 pair in 2^64) would merely be handled one after the other.

#pragma once

#include <array>
#include <cstdint>

#include "netmem/nic/limits.h"
#include "netmem/stack/limits.h"

namespace devmem {

// Invariant: the chains that begin at frames which follow nobody, taken in the order of these
// frames, name every frame once, and those of one flow in the order in which they were added.
class BatchFlows {
 public:
  // Before a batch.
  void Clear() { epoch_ += kBatchFramesMax; }

  // Frame `index` of the batch, which are added in order from 0 on, has this hash. Whether it
  // begins a chain. A flow may have more than one: two flows that meet in one slot break each
  // other's.
  bool Add(uint32_t index, uint64_t hash) {
    uint32_t& slot = slots_[hash % kBatchFlowSlots];
    // The epoch makes what earlier batches left behind look like frames far away.
    const uint32_t last = slot - epoch_;
    slot = epoch_ + index;
    frames_[index] = {hash, 0, false};
    if (last >= index || frames_[last].hash != hash) return true;
    frames_[last].next = static_cast<uint16_t>(index);
    frames_[index].follows = true;
    return false;
  }

  uint64_t hash(uint32_t index) const { return frames_[index].hash; }
  // Whether the frame is part of a chain that began before it.
  bool follows(uint32_t index) const { return frames_[index].follows; }
  // The frame behind it in its chain; 0: it is the last.
  uint32_t next(uint32_t index) const { return frames_[index].next; }

 private:
  struct Frame {
    uint64_t hash;
    uint16_t next;
    bool follows;
  };
  std::array<Frame, kBatchFramesMax> frames_{};
  std::array<uint32_t, kBatchFlowSlots> slots_{};
  uint32_t epoch_ = 0;
};

}  // namespace devmem
