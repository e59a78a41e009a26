// SPDX-License-Identifier: Apache-2.0
//
// The rig of the receive benchmarks: one worker of the stack, inline, behind a wire NIC that writes
// no payload, and scripted peers that open flows and send in-order segments of 1448 bytes. The
// benchmark makes bursts with Send(), outside of the time that it takes, and handles them with
// Receive(). Single thread; DESIGN.md section 12 names the budgets.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/reply_sink.h"
#include "netmem/frag.h"
#include "netmem/nic/wire_link.h"
#include "netmem/page_pool.h"
#include "netmem/stack/addresses.h"
#include "netmem/stack/handover.h"
#include "netmem/stack/worker.h"
#include "netmem/wire/frame_builder.h"
#include "provider/attachment.h"
#include "provider/region.h"

namespace devmem::bench {

// What fits an MTU of 1500 beside IPv4, TCP and a timestamp.
inline constexpr uint32_t kSegmentBytes = 1448;
inline constexpr uint32_t kBurstSegments = kBatchFramesMax;

// A region with an attachment and a page pool over all of it.
struct BenchMemory {
  // Ends the program with the reason when there is no memory.
  BenchMemory(uint64_t bytes, bool device);
  QueueMemory queue_memory() { return {pool.get(), &attachment->mapping()}; }

  std::unique_ptr<Region> region;
  std::unique_ptr<Attachment> attachment;
  std::unique_ptr<PagePool> pool;
};

class RxRig {
 public:
  // With `flow_count` established connections from peers that offer timestamps and SACK.
  static absl::StatusOr<std::unique_ptr<RxRig>> Create(uint32_t flow_count,
                                                       uint64_t region_bytes = 64u << 20);
  ~RxRig();

  // Puts the next kBurstSegments segments into the NIC's ring, round-robin over the flows, and
  // takes the acknowledgments of the burst before off the wire. False: something was lost.
  bool Send();

  // What an application's turn does: poll, TCP, the frags of every connection with news. Returns
  // the frags, which are valid until the next call and are the caller's to Release().
  std::span<const Frag> Receive();
  void Release(std::span<const Frag> frags) { refused_ += worker_->Release(frags, now_); }

  // Whether all that was sent was received, in full and in order, and nothing was refused.
  absl::Status Check() const;
  uint64_t payload_bytes_sent() const { return payload_bytes_sent_; }
  uint64_t acks_sent() const { return nic_->sink().sent(); }
  const PagePool& pool() const { return *device_.pool; }

 private:
  // The peer's side of one flow: a header whose changing fields are written in place.
  struct Peer {
    std::array<uint8_t, kTcpFrameHeaderBytesMax> header{};
    uint32_t header_bytes = 0;
    SeqNum next;
  };

  explicit RxRig(uint64_t region_bytes);
  absl::Status Start();
  absl::Status Open(uint32_t index);
  TcpFrameSpec SpecFor(uint32_t index) const;
  bool InjectSegment(Peer& peer);
  // Segments one at a time, until the window is open and acknowledgments are no longer sent at
  // once.
  bool WarmUp(Peer& peer);

  BenchMemory device_;
  BenchMemory host_;
  Addresses addresses_;
  HandoverRings rings_{1};
  std::unique_ptr<WireLink> link_;
  std::unique_ptr<ReplySinkNic> nic_;
  std::unique_ptr<Worker> worker_;

  std::vector<Peer> peers_;
  std::array<Frag, 2 * kBurstSegments> frags_;
  Nanos now_ = kSecond;
  size_t next_peer_ = 0;
  uint64_t payload_bytes_sent_ = 0;
  uint64_t payload_bytes_received_ = 0;
  size_t refused_ = 0;
};

// Calls of operator new in this program so far.
uint64_t AllocationCount();

}  // namespace devmem::bench
