// SPDX-License-Identifier: Apache-2.0
//
// One worker of the stack: one rx queue with its pools, its TCP engine and its timers. Whoever runs
// it (the caller of Recv, or a thread) calls Run(), and everything of the worker belongs to that
// thread; other threads read counters and nothing else. Workers share the hand-over rings and the
// stack's addresses.
//
//   Run():  poll the queue -> each frame to TCP, ARP, neighbour discovery, ping or ICMP errors ->
//           flush ACKs and data -> timers
//
// Received payload stays in the engine's queues as pieces until TakeFrags() names it with tokens; a
// token that is released puts its piece back to the pool.

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/frag.h"
#include "netmem/nic/netdev.h"
#include "netmem/nic/piece_reader.h"
#include "netmem/nic/staging_queue.h"
#include "netmem/piece_store.h"
#include "netmem/stack/addresses.h"
#include "netmem/stack/batch_flows.h"
#include "netmem/stack/handover.h"
#include "netmem/stack/limits.h"
#include "netmem/stack/neighbours.h"
#include "netmem/tcp/engine.h"
#include "netmem/token_table.h"
#include "netmem/wire/ack_frame.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/icmp_quote.h"
#include "netmem/wire/neighbour_discovery.h"
#include "provider/attachment.h"

namespace devmem {

// Monotonic; readable from any thread.
struct WorkerStats {
  Counter arp_in;
  Counter arp_replies;
  Counter neighbour_in;       // Solicitations and advertisements of IPv6.
  Counter neighbour_refused;  // Of these: what RFC 4861 section 7.1 has us discard.
  Counter neighbour_replies;  // Advertisements sent.
  Counter address_conflicts;  // Somebody else says that he has an address of ours.
  Counter echo_replies;
  Counter icmp_unreachable;  // Errors about segments of ours, by kind.
  Counter icmp_too_big;
  Counter icmp_time_exceeded;
  Counter icmp_parameter_problem;
  Counter icmp_limited;       // Errors about nobody's connections, beyond the bound.
  Counter not_ours;           // Frames for an address that is not ours.
  Counter unresolved;         // Frames not sent: the neighbour is not known (yet).
  Counter no_route;           // Frames not sent: outside of our subnets, and no gateway.
  Counter handed_over;        // Frames given to another worker.
  Counter handed_over_bytes;  // Payload that was copied along with them.
  Counter handover_overflow;  // Frames lost because its ring was full.
  Counter merged_frames;      // Taken together with the frame before them (software GRO).
  Counter late_runs;          // Run() came more than a delayed-ACK time after a timer was due.
  Counter frags;
  Counter bytes_read_back;  // Copied from device memory for Read().
};

class Worker final : public SegmentSink {
 public:
  struct Config {
    uint32_t queue = 0;
    TcpEngine::Config tcp;
  };

  // What is passed by pointer outlives the worker. `host` is the queue's part of the host region.
  static absl::StatusOr<std::unique_ptr<Worker>> Create(const Config& config, Netdev* netdev,
                                                        const QueueMemory& host,
                                                        const Addresses* addresses,
                                                        HandoverRings* rings);

  // One turn; see above. Returns how much there was to do: frames, those that other workers handed
  // over too, and 1 if a timer was due. 0: nothing changed.
  uint32_t Run(Nanos now);
  // Sends what calls of the user made due, outside of a turn.
  void Flush(Nanos now) {
    engine_->Flush(now);
    SendAcks();
  }
  // When Run() is due even if no frame arrives.
  Nanos NextDeadline() const {
    const Nanos deadline = engine_->NextDeadline();
    if (waits_for_memory()) [[unlikely]]
      return std::min(deadline, now_ + kMemoryPollInterval);
    if (staging_ == nullptr || !staging_->pending()) [[likely]]
      return deadline;
    return std::min(deadline, now_ + staging_->poll_interval());
  }
  // -1 for a NIC in memory, once the device is gone, and while memory is waited for.
  int fd() const { return gone() || waits_for_memory() ? -1 : queue_->fd(); }
  // Whether frames wait in the NIC because their memory is away: what makes it come back wakes
  // nobody, so the worker looks again after a time.
  bool waits_for_memory() const { return waits_for_memory_.load(std::memory_order_relaxed); }
  // Whether the device was taken away: the connections have ended, and nothing will arrive. Any
  // thread.
  bool gone() const { return gone_.load(std::memory_order_acquire); }

  // The queue's binding comes and goes. Unbinding resets the bound connections, ends every token
  // and leaves the pool without references.
  // `attachment`, that of the memory, is looked at in every turn: when its exporter revokes it the
  // worker unbinds by itself, and when he removes it the worker posts no more. It may be null, and
  // outlives the binding.
  absl::Status Bind(const QueueMemory& device, const Attachment* attachment = nullptr);
  // The same through staging memory, for a region that the NIC cannot write.
  absl::Status BindStaged(const StagedMemory& memory, const Attachment* attachment);
  void Unbind(Nanos now, CloseReason reason = CloseReason::kAborted);
  // Whether nothing of the binding's memory is queued, held or on its way.
  bool drained() const;
  bool bound() const { return tokens_.has_value(); }

  // Received bytes as frags, in stream order; fewer than there are when `frags` or the token table
  // is full. The connection is bound.
  size_t TakeFrags(TcpConnection& connection, std::span<Frag> frags, Nanos now);
  // Received bytes, copied; takes exactly what it copies.
  size_t ReadBytes(TcpConnection& connection, std::span<uint8_t> to, Nanos now);
  // Copies bytes of a frag that is held, from `skip_bytes` into it on, and leaves it held. False
  // when the token names nothing or the frag is shorter.
  bool ReadHeld(Token token, uint32_t skip_bytes, std::span<uint8_t> to);
  // Ends tokens. Returns how many were refused.
  size_t Release(std::span<const Frag> frags, Nanos now);
  // Whether this worker made the token. Any thread.
  bool Owns(Token token) const {
    const uint16_t lane = TokenTable::LaneOf(token);
    return lane != 0 && lane == lane_.load(std::memory_order_relaxed);
  }
  // Whether the token names a frag that is held. The worker's thread.
  bool Holds(Token token) const { return tokens_.has_value() && tokens_->Find(token) != nullptr; }
  bool tokens_full() const { return tokens_.has_value() && tokens_->full(); }
  uint32_t tokens_held() const { return tokens_.has_value() ? tokens_->held() : 0; }
  // The bytes of the frags that they name.
  uint64_t held_bytes() const { return tokens_.has_value() ? tokens_->held_bytes() : 0; }

  // SegmentSink: a segment of ours becomes a frame.
  void Emit(const OutSegment& segment) override;
  void EmitAck(const AckFields& ack) override;
  void OnUnanswered(const FlowKey& flow) override;

  TcpEngine& engine() { return *engine_; }
  const TcpEngine& engine() const { return *engine_; }
  const WorkerStats& stats() const { return stats_; }
  const RxQueueStats& queue_stats() const { return queue_->stats(); }
  const RxQueueStats& handed_stats() const { return handed_stats_; }
  const StagingStats& staging_stats() const { return staging_stats_; }
  const TokenStats& token_stats() const { return token_stats_; }
  const PieceStore& store() const { return store_; }
  uint32_t queue() const { return config_.queue; }

 private:
  Worker(const Config& config, Netdev* netdev, const QueueMemory& host, const Addresses* addresses,
         HandoverRings* rings);

  absl::Status BindPool(PagePool* device, const std::function<absl::Status()>& bind_queue);
  void UnbindQueue();
  void LookAfterMemory(Nanos now) {
    if (attachment_ != nullptr && attachment_->going()) [[unlikely]]
      OnMemoryGoes(now);
  }
  [[gnu::cold]] void OnMemoryGoes(Nanos now);
  void Prefetch(uint32_t frames);
  void OnDeviceGone(Nanos now);
  void HandleBatch(uint32_t frames, Nanos now);
  uint32_t HandleRun(uint32_t first, Nanos now);
  bool StartRun(const RxDescriptor& frame);
  bool ExtendRun(const RxDescriptor& first, const RxDescriptor& frame);
  void AddPieces(std::span<const Piece> pieces);
  void FillSegment(const RxDescriptor& frame);
  struct PendingAck {
    uint16_t bytes;
    std::array<uint8_t, kAckFrameBytesMax> frame;
  };
  [[gnu::noinline]] bool BuildAck(const AckFields& ack, PendingAck& pending);
  // How long templates are good: until a neighbour changes, and for one turn at most, so that those
  // in use are looked up often enough not to be forgotten. Neither number falls.
  uint64_t AckEpoch() const { return neighbours_.version() + turns_; }
  void SendAcks();
  void Handle(const RxDescriptor& frame, Nanos now);
  // `visited`: workers that had this frame before and did not know it.
  void HandleTcp(const RxDescriptor& frame, uint32_t visited, Nanos now);
  bool IsForUs(const Segment& segment) const;
  void HandleArp(std::span<const uint8_t> header, bool first_hand);
  void HandleNeighbour(const RxDescriptor& frame, bool first_hand);
  void OnSolicitation(const NeighbourMessage& message, const RxDescriptor& frame, bool first_hand);
  void CopyToOthers(const RxDescriptor& frame);
  void HandleIcmp(const RxDescriptor& frame, uint32_t visited, Nanos now);
  std::span<const uint8_t> Gather(const RxDescriptor& frame);
  void HandleEcho(std::span<const uint8_t> whole, const FrameHeaders& headers);
  void HandleIcmpError(const IcmpQuote& quote, const RxDescriptor& frame, uint32_t visited,
                       Nanos now);
  bool MayTakeStranger(Nanos now);
  void HandOver(const RxDescriptor& frame, uint32_t visited, uint32_t to);
  uint32_t TakeHandedOver(Nanos now);
  void HandleHandedOver(const RxDescriptor& frame, uint32_t visited, Nanos now);
  void Ask(const IpAddress& next_hop);
  void SendParked(const IpAddress& address, const MacAddress& mac);

  const Config config_;
  Netdev* const netdev_;
  RxQueue* const queue_;
  const Addresses* const addresses_;
  HandoverRings* const rings_;
  PieceArray pieces_;
  PieceStore store_;
  PieceReader reader_;
  const QueueMemory host_;
  std::unique_ptr<TcpEngine> engine_;
  const Attachment* attachment_ = nullptr;
  std::atomic<bool> waits_for_memory_{false};
  std::unique_ptr<StagingQueue> staging_;  // While it is bound to memory that is staged.
  StagingStats staging_stats_;
  std::optional<TokenTable> tokens_;  // While the queue is bound.
  TokenStats token_stats_;            // Over all bindings that the queue has had.
  // Of tokens_, 0 without. Relaxed: whoever holds a token was told of it by other means.
  std::atomic<uint16_t> lane_{0};
  // Set with release once the connections have ended, so that who sees it finds them so.
  std::atomic<bool> gone_{false};
  Neighbours neighbours_;
  WorkerStats stats_;
  RxQueueStats handed_stats_;  // Of payload that came by handing over.
  Nanos now_ = 0;              // Of the call being served, for Emit().
  uint64_t turns_ = 0;
  Nanos strangers_since_ = 0;  // The second in which ICMP errors about nobody's connections count.
  uint32_t strangers_ = 0;     // How many they were.

  // Filled anew for each segment; kept here because to zero them each time costs more than to fill
  // them.
  Segment segment_;
  SegmentRun run_;
  TcpFrameSpec tx_spec_;
  // Acknowledgments of this turn that are built and not sent; every other frame waits for them.
  std::array<PendingAck, 16> acks_;
  std::array<AckTemplate, kAckTemplates> ack_templates_;  // By the low bits of the peer's address.
  uint32_t ack_count_ = 0;
  const MacAddress mac_;
  std::unique_ptr<RxBatch> batch_;
  BatchFlows flows_;                               // Of the batch.
  std::array<Piece, kBatchPiecesMax> run_pieces_;  // Of run_, unless they lie together anyway.
  std::unique_ptr<std::array<uint8_t, kEchoBytesMax + kHeaderSlotBytes>> echo_in_;
  std::unique_ptr<std::array<uint8_t, kEchoBytesMax + kHeaderSlotBytes>> echo_out_;
};

}  // namespace devmem
