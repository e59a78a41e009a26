// SPDX-License-Identifier: Apache-2.0
//
// The rig of the receive benchmarks: one worker of the stack, inline, behind a wire NIC that writes
// no payload, and scripted peers that open flows and send segments of 1448 bytes. The benchmark
// makes bursts with Send(), outside of the time that it takes, and handles them with Receive().
// Single thread; Documentation/performance names the budgets.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/arrival_order.h"
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
// How long 64 segments take at 25 Gbit/s.
inline constexpr Nanos kPeriodOf64 = 30 * kMicrosecond;

// A region with an attachment and a page pool over all of it.
struct BenchMemory {
  // Ends the program with the reason when there is no memory.
  BenchMemory(uint64_t bytes, bool device);
  QueueMemory queue_memory() { return {pool.get(), &attachment->mapping()}; }

  std::unique_ptr<Region> region;
  std::unique_ptr<Attachment> attachment;
  std::unique_ptr<PagePool> pool;
};

struct RxRigOptions {
  uint32_t flow_count = 1;  // Established connections that send.
  uint32_t idle_count = 0;  // Others that are open and silent, between the ones that send.
  Disorder disorder = Disorder::kNone;
  uint32_t burst_segments = kBurstSegments;  // Of Send(): at most kBurstSegments.
  uint64_t region_bytes = 64u << 20;
};

class RxRig {
 public:
  // All connections come from peers that offer timestamps and SACK.
  static absl::StatusOr<std::unique_ptr<RxRig>> Create(const RxRigOptions& options);
  ~RxRig();

  // The four steps of a connection that the peer opens and closes, for kBurstSegments of them at
  // once: their SYN, ACK, FIN and last ACK. Each puts the frames into the ring; the time that
  // counts is that of the turns, Accept() and CloseAll() between them.
  void SendSyns();
  void SendAcks();
  void SendFins();
  void SendLastAcks();
  // Polls and handles what is there, as Receive() does, with nothing to take.
  void Turn() { worker_->Run(now_); }
  // Accepts what waits. Returns how many.
  uint32_t AcceptAll();
  // What a server does that sees the end of a stream: closes, and lets go. Returns how many.
  uint32_t CloseEnded();
  uint32_t connection_count() const { return worker_->engine().connection_count(); }

  // Puts the next burst_segments segments into the NIC's ring, round-robin over the flows, and
  // takes the acknowledgments of the burst before off the wire. False: something was lost.
  bool Send();

  // What an application's turn does: poll, TCP, the frags of every connection with news. Returns
  // the frags, which are valid until the next call and are the caller's to Release().
  std::span<const Frag> Receive();
  Worker& worker() { return *worker_; }
  Nanos now() const { return now_; }
  void Release(std::span<const Frag> frags) { refused_ += worker_->Release(frags, now_); }

  // For frames that no honest peer sends. Puts one into the NIC's ring as it is; false: no room.
  // Tick() is the time that a burst takes.
  bool Inject(std::span<const uint8_t> header, uint32_t payload_bytes) {
    return link_->a().InjectHeader(0, header, payload_bytes);
  }
  void Tick() { now_ += kPeriodOf64 * options_.burst_segments / 64; }
  // The header of a flow's segments; sequence number and timestamp are of some earlier one.
  std::span<const uint8_t> header_of(uint32_t flow) const {
    return std::span(peers_[flow].header).first(peers_[flow].header_bytes);
  }

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
    SeqNum first;  // Of its stream.
    ArrivalOrder order{Disorder::kNone};
  };
  explicit RxRig(const RxRigOptions& options);
  absl::Status Start();
  absl::Status OpenAll();
  absl::Status Open(uint32_t number, TcpFrameSpec* segment);
  absl::Status MakePeer(Peer& peer, const TcpFrameSpec& segment);
  TcpFrameSpec SpecFor(uint32_t number) const;
  void Inject(const TcpFrameSpec& spec);
  std::optional<SeqNum> AnswerTo(const TcpFrameSpec& syn) const;
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

  const RxRigOptions options_;
  std::vector<Peer> peers_;
  std::vector<TcpFrameSpec> visitors_;  // Of SendSyns(), in the order in which they were opened.
  uint32_t next_visitor_ = 0;
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
