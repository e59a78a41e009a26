// SPDX-License-Identifier: Apache-2.0
//
// Arming, completions, and the ends of requests.

#include "uapi/zcrx_receiver.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/limits.h"
#include "uapi/abi/io_uring_zcrx.h"
#include "uapi/limits.h"

namespace devmem {
namespace {

// user_data: the flow's generation, its slot, and whether it is the receive request that completes
// or the cancellation of one.
constexpr uint64_t kCancelBit = 1;
constexpr uint32_t kSlotShift = 1;
constexpr uint32_t kGenerationShift = 32;

uint32_t CreditMax(const ZcrxReceiver::Config& config) {
  const uint64_t area_bytes = uint64_t{config.chunk_count} * config.chunk_bytes;
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(area_bytes / 8, kZcrxCreditBytesMin, kZcrxCreditBytesMax));
}

uint32_t HeldMax(const ZcrxReceiver::Config& config) {
  if (config.held_bytes_max == 0) {
    return config.chunk_count - std::min(config.chunk_count / 2, kZcrxReserveChunks);
  }
  const uint64_t chunks = config.held_bytes_max / config.chunk_bytes;
  return static_cast<uint32_t>(std::clamp<uint64_t>(chunks, 1, config.chunk_count));
}

uint32_t PieceCapacity(uint32_t chunk_count) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(uint64_t{chunk_count} * kPiecesPerNetIov, kPiecesMax));
}

}  // namespace

ZcrxReceiver::ZcrxReceiver(const Config& config, std::unique_ptr<ZcrxPort> port, SocketStats* stats,
                           ZcrxStats* zcrx_stats)
    : config_(config),
      credit_bytes_max_(CreditMax(config)),
      held_chunks_max_(HeldMax(config)),
      port_(std::move(port)),
      stats_(stats),
      zcrx_stats_(zcrx_stats),
      chunks_(config.chunk_count, config.chunk_bytes),
      pieces_(PieceCapacity(config.chunk_count)) {}

void ZcrxReceiver::Add(int socket) {
  uint32_t slot = static_cast<uint32_t>(flows_.size());
  if (free_slots_.empty()) {
    flows_.push_back(std::make_unique<Flow>());
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Flow& flow = *flows_[slot];
  const uint32_t generation = flow.generation + 1;
  flow = Flow{};
  flow.socket = socket;
  flow.slot = slot;
  flow.generation = generation;
  by_socket_[socket] = slot;
  (void)Arm(flow);
}

ZcrxReceiver::Flow* ZcrxReceiver::Find(int socket) {
  const auto found = by_socket_.find(socket);
  return found == by_socket_.end() ? nullptr : flows_[found->second].get();
}

std::vector<int> ZcrxReceiver::sockets() const {
  std::vector<int> all;
  for (const auto& [socket, slot] : by_socket_) all.push_back(socket);
  return all;
}

bool ZcrxReceiver::Remove(int socket) {
  Flow* const flow = Find(socket);
  if (flow == nullptr) return false;
  (void)Drive();  // What has arrived by now counts as unread.
  bool unread = false;
  for (; !flow->pieces.empty(); unread = true) chunks_.Put(Pop(*flow));
  Refill();
  by_socket_.erase(socket);
  flow->socket = -1;
  if (!flow->armed) {
    free_slots_.push_back(flow->slot);
    return unread;
  }
  // The request holds the socket open until it has ended.
  (void)port_->Cancel(UserDataOf(*flow), UserDataOf(*flow) | kCancelBit);
  for (uint32_t turn = 0; turn < kZcrxTurnsPerCancel && flow->armed; ++turn) {
    requests_wait_ = true;
    (void)Drive();
  }
  return unread;
}

uint64_t ZcrxReceiver::UserDataOf(const Flow& flow) const {
  return uint64_t{flow.generation} << kGenerationShift | uint64_t{flow.slot} << kSlotShift;
}

ZcrxReceiver::Flow* ZcrxReceiver::FlowOf(uint64_t user_data) {
  const uint64_t slot = (user_data & UINT32_MAX) >> kSlotShift;
  if (slot >= flows_.size()) return nullptr;
  Flow* const flow = flows_[slot].get();
  return flow->generation == user_data >> kGenerationShift ? flow : nullptr;
}

uint32_t ZcrxReceiver::Credit() const {
  if (held_chunks_ >= held_chunks_max_) return 0;
  const uint64_t left = uint64_t{held_chunks_max_ - held_chunks_} * config_.chunk_bytes;
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(left / (armed_count_ + 1),
                           std::min(kZcrxCreditBytesMin, credit_bytes_max_), credit_bytes_max_));
}

bool ZcrxReceiver::Arm(Flow& flow) {
  if (flow.armed || flow.state != Flow::State::kOpen || flow.socket < 0) return true;
  if (!arming_ || flow.host_next || flow.pieces.bytes() >= credit_bytes_max_) return false;
  if (flow.starved && flow.starved_epoch == returned_epoch_) return false;
  const uint32_t credit = Credit();
  if (credit == 0 || !port_->Arm(flow.socket, UserDataOf(flow), credit)) return false;
  flow.armed = true;
  flow.starved = false;
  flow.credit_bytes = credit;
  flow.credited_bytes = 0;
  ++armed_count_;
  requests_wait_ = true;
  return true;
}

uint32_t ZcrxReceiver::Drive() {
  uint32_t events = 0;
  for (uint32_t turn = 0; turn < kZcrxTurnsPerDrive; ++turn) {
    requests_wait_ = false;
    enter_error_ = -port_->Enter();
    events += Reap();
    if (!requests_wait_) break;
  }
  // What was asked last must be with the kernel before anybody waits for fd().
  if (requests_wait_) enter_error_ = -port_->Enter();
  if (returning()) Refill();
  CountCopies();
  return events;
}

uint32_t ZcrxReceiver::Reap() {
  uint32_t events = 0;
  Completion completion;
  // Without a place for a piece the completion stays where it is; the ring fills up, the requests
  // end with ENOSPC, and begin again when there is one.
  while (pieces_.free_count() > 0 && port_->completions().Next(&completion)) {
    Handle(completion);
    ++events;
  }
  if (events > 0) port_->completions().Publish();
  return events;
}

void ZcrxReceiver::Handle(const Completion& completion) {
  if (completion.user_data == ZcrxPort::kEventUserData) {
    if (completion.result == static_cast<int32_t>(abi::ZCRX_EVENT_ALLOC_FAIL)) {
      zcrx_stats_->alloc_fail_events.Add(1);
    }
    port_->ArmEvent(static_cast<uint32_t>(completion.result));
    return;
  }
  if ((completion.user_data & kCancelBit) != 0) return;
  Flow* const flow = FlowOf(completion.user_data);
  if (flow == nullptr || !flow->armed) return;
  if (completion.result > 0) Receive(*flow, completion);
  if (completion.more()) return;
  flow->armed = false;
  --armed_count_;
  End(*flow, completion.result);
}

void ZcrxReceiver::Receive(Flow& flow, const Completion& completion) {
  const uint32_t bytes = static_cast<uint32_t>(completion.result);
  const uint64_t offset = completion.offset & ~IORING_ZCRX_AREA_MASK;
  if (!chunks_.Contains(offset, bytes)) {
    flow.state = Flow::State::kBroken;
    flow.why =
        absl::InternalError(absl::StrCat("the kernel says that ", bytes, " bytes landed at offset ",
                                         offset, " of the area, which no chunk of it contains"));
    return;
  }
  const Piece piece = chunks_.Arrive(offset, bytes);
  flow.credited_bytes += bytes;
  if (flow.socket < 0 || flow.state != Flow::State::kOpen) {
    chunks_.Put(piece);
    return;
  }
  flow.host_refusals = 0;
  zcrx_stats_->completions.Add(1);
  stats_->payload_bytes.Add(bytes);
  stats_->region_bytes.Add(bytes);
  stats_->receive_calls.Add(1);
  if (!flow.pieces.empty() && chunks_.Merge(pieces_[flow.pieces.back_index()].piece, piece)) {
    flow.pieces.OnGrown(bytes);
    return;
  }
  flow.pieces.PushBack(pieces_, pieces_.Alloc(piece));
}

// The last completion of a request.
void ZcrxReceiver::End(Flow& flow, int32_t result) {
  if (flow.socket < 0) {
    free_slots_.push_back(flow.slot);
    return;
  }
  // What broke it stays the reason: an end in good order behind it would hide what is missing.
  if (flow.state != Flow::State::kOpen) return;
  switch (-result) {
    case 0:
      // The end of the stream, unless it is the end of the credit. Where it is both, the next
      // request ends at once, without a byte.
      if (flow.credited_bytes < flow.credit_bytes) {
        flow.state = Flow::State::kEnded;
        return;
      }
      zcrx_stats_->credits.Add(1);
      (void)Arm(flow);
      return;
    case ENOSPC:
      zcrx_stats_->overflows.Add(1);
      (void)Arm(flow);
      return;
    case ENOMEM:
      zcrx_stats_->starved.Add(1);
      flow.host_next = config_.dmabuf;
      flow.host_guessed = false;
      flow.starved = !config_.dmabuf;
      flow.starved_epoch = returned_epoch_;
      return;
    case EFAULT:
      // recv() tells the two apart: it takes host memory, and refuses what a NIC wrote elsewhere.
      flow.host_next = flow.host_guessed = config_.dmabuf;
      if (!config_.dmabuf) BreakForeign(flow);
      return;
    default: break;
  }
  if (result > 0 || result == -EAGAIN || result == -EINTR || result == -ECANCELED) {
    (void)Arm(flow);
    return;
  }
  flow.state = Flow::State::kBroken;
  flow.error = -result;
}

void ZcrxReceiver::BreakForeign(Flow& flow) {
  flow.state = Flow::State::kBroken;
  flow.why = absl::UnavailableError(
      "bytes of the connection landed in memory that is bound to another queue: the NIC steers it "
      "there; see that one rule leads to one queue (`ethtool -n`)");
}

void ZcrxReceiver::Refill() {
  RefillRing& ring = port_->refill();
  uint32_t pushed = chunks_.Refill(ring);
  ring.Publish();
  returned_epoch_ += pushed;
  while (chunks_.any_returning()) {
    // Full: the kernel looks only when the NIC runs dry, unless it is told.
    zcrx_stats_->refill_full.Add(1);
    if (port_->FlushRefill() != 0) return;
    pushed = chunks_.Refill(ring);
    ring.Publish();
    returned_epoch_ += pushed;
    if (pushed == 0) return;
  }
}

void ZcrxReceiver::StopArming() {
  if (!std::exchange(arming_, false)) return;
  for (const auto& [socket, slot] : by_socket_) {
    const uint64_t request = UserDataOf(*flows_[slot]);
    if (flows_[slot]->armed) (void)port_->Cancel(request, request | kCancelBit);
  }
  (void)Drive();
}

Piece ZcrxReceiver::Pop(Flow& flow) {
  const uint32_t index = flow.pieces.PopFront(pieces_);
  const Piece piece = pieces_[index].piece;
  pieces_.Free(index);
  return piece;
}

void ZcrxReceiver::Drop(Flow& flow, uint32_t bytes) {
  Piece& front = Front(flow);
  if (bytes == front.length_bytes) {
    chunks_.Put(Pop(flow));
    return;
  }
  chunks_.CutFront(front, bytes);
  flow.pieces.OnShrunk(bytes);
}

void ZcrxReceiver::CountCopies() {
  const ZcrxCopies copies = port_->copies();
  if (!copies.known) return;
  zcrx_stats_->copies.Add(copies.count - copies_seen_.count);
  zcrx_stats_->copied_bytes.Add(copies.bytes - copies_seen_.bytes);
  stats_->bounced_bytes.Add(copies.bytes - copies_seen_.bytes);
  copies_seen_ = copies;
}

}  // namespace devmem
