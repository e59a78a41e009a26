// SPDX-License-Identifier: Apache-2.0
//
// A tx queue of a virtual gVNIC: a ring of descriptors that the guest fills and a ring of
// completions that the device fills. The data path makes it, passes on its doorbells, and takes
// what it fetches, on the thread of the device. DQO-RDA format, out-of-order completions: a tag
// completes when the packet's bytes have been copied.

#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "netmem/gvnic/completion_ring.h"
#include "netmem/gvnic/data_path_stats.h"
#include "netmem/gvnic/guest_memory.h"
#include "netmem/gvnic/port.h"
#include "netmem/gvnic/ring_config.h"
#include "netmem/gvnic/tx_gather.h"

namespace devmem {

class TxRing {
 public:
  // `memory` and `stats` outlive the ring.
  //
  // Errors: as DataPath::CreateTx().
  static absl::StatusOr<std::unique_ptr<TxRing>> Create(GuestMemory& memory,
                                                        const TxRingConfig& config,
                                                        DataPathStats& stats);

  // Fetches every descriptor up to `tail` and hands what packets they make to `port`, which may be
  // nullptr. At most one lap of the ring; a tail outside it is counted and ignored.
  void Doorbell(uint32_t tail, Port* port);

  // Whether completions were written since the last call.
  bool TakeNews();

  uint32_t notify_block() const { return config_.notify_block; }
  const QueueStats& stats() const { return queue_stats_; }

 private:
  TxRing(GuestMemory& memory, const TxRingConfig& config, DataPathStats& stats);

  void Fetched(const TxDescriptor& descriptor, Port* port);
  void EndPacket(Port* port);
  void Complete(uint16_t type, uint16_t value);

  const TxRingConfig config_;
  GuestMemory& memory_;
  DataPathStats& stats_;
  CompletionRing completions_;
  TxGather gather_;
  QueueStats queue_stats_;
  uint32_t head_ = 0;  // The next descriptor to fetch.
  bool has_news_ = false;
};

}  // namespace devmem
