// SPDX-License-Identifier: Apache-2.0
//
// The receive path of a TAP queue, and sending. Runs on the thread that polls the queue; after the
// constructor nothing here allocates, locks (but for a recorder) or logs.

#include "netmem/nic/tap_queue.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "netmem/nic/host_delivery.h"
#include "netmem/nic/pcapng_recorder.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "provider/check.h"
#include "provider/dma_mapping.h"

namespace devmem {
namespace {

// Wraps after 49 days, which the history allows.
uint32_t NowMilliseconds() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
}

bool IsV6(std::span<const uint8_t> header) {
  const std::optional<EthernetHeader> ethernet = EthernetHeader::Parse(header);
  return ethernet && ethernet->ether_type() == kEtherTypeIpv6;
}

}  // namespace

TapQueue::TapQueue(const TapQueueOptions& options, TapSteeringState& shared)
    : options_(options),
      shared_(shared),
      steering_(shared.rules, shared.bound, options.index),
      slots_(new Slot[kBatchFramesMax]),
      spill_(new uint8_t[options.frame_bytes_max + 1]) {}

absl::Status TapQueue::Bind(const QueueMemory& memory) {
  if (bound()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "queue ", options_.index, " is bound already; unbind it first, or choose another queue"));
  }
  absl::Status checked = CheckQueueMemory(memory, true, options_.index);
  if (!checked.ok()) return checked;
  device_ = memory;
  // What earlier traffic taught might be too long for the first frames of the binding.
  prediction_ = HeaderPrediction();
  is_settled_ = false;
  shared_.bound.Set(options_.index, true);
  return absl::OkStatus();
}

void TapQueue::Unbind() {
  if (!bound()) return;
  shared_.bound.Set(options_.index, false);
  device_.pool->CloseWindow();
  device_ = QueueMemory{};
}

uint32_t TapQueue::Poll(RxBatch& batch) {
  batch.frame_count = 0;
  batch.piece_count = 0;
  if (host_.pool == nullptr) return 0;  // Not started.
  waits_for_memory_ = false;
  ++stats_.polls;
  RefreshSteering();
  uint64_t placed_bytes = 0;
  // Dropped frames count as reads too, so that a flood of them cannot keep the worker here.
  for (uint32_t reads = 0; reads < kBatchFramesMax && HasRoomForFrame(batch); ++reads) {
    if (placed_bytes >= kBatchPayloadBytesMax) break;
    Incoming in;
    in.slot = &slots_[batch.frame_count];
    if (!Read(in)) {
      is_settled_ = true;
      break;
    }
    ++stats_.frames;
    const uint32_t frames = batch.frame_count;
    Accept(in, batch);
    if (batch.frame_count > frames) placed_bytes += batch.frames[frames].placed_bytes;
  }
  return batch.frame_count;
}

void TapQueue::RefreshSteering() {
  // Both only grow, so their sum changes when one of them does.
  const uint64_t changes =
      shared_.rules.generation() + shared_.rss_changes.load(std::memory_order_acquire);
  if (changes == seen_changes_) [[likely]]
    return;
  seen_changes_ = changes;
  is_settled_ = false;
  steering_.Refresh();
}

// Reads one frame. False when none waits, or the device is gone.
bool TapQueue::Read(Incoming& in) {
  const QueueMemory& target = memory();
  const uint32_t room_bytes = options_.frame_bytes_max + 1;
  const uint32_t slot_bytes = std::min(prediction_.bytes(), room_bytes);
  waits_for_memory_ = !WindowIsInPlace(target, &in.generation);
  if (waits_for_memory_) [[unlikely]]
    return false;
  in.is_revoked = target.mapping->revoked();
  if (!in.is_revoked) [[likely]]
    in.window.Post(target, room_bytes - slot_bytes);

  std::array<iovec, 2 + TapWindow::kPartsMax> vector;
  uint32_t count = 0;
  vector[count++] = {in.slot->vnet, kVnetHeaderBytes + slot_bytes};
  count += in.window.FillVector(&vector[count]);
  const uint32_t spill_bytes = room_bytes - slot_bytes - in.window.bytes();
  if (spill_bytes > 0) vector[count++] = {spill_.get(), spill_bytes};

  ssize_t read_bytes;
  do {
    read_bytes = ::readv(options_.fd, vector.data(), static_cast<int>(count));
  } while (read_bytes < 0 && errno == EINTR);
  if (read_bytes < static_cast<ssize_t>(kVnetHeaderBytes)) {
    if (read_bytes < 0) NoteFailure(errno);
    return false;
  }
  const uint32_t frame_bytes = static_cast<uint32_t>(read_bytes) - kVnetHeaderBytes;
  in.layout = LayOutFrame(frame_bytes, slot_bytes, in.window.bytes());
  in.is_cut_off = frame_bytes == room_bytes;
  return true;
}

// Delivers a frame into the batch's next place, or drops and counts it.
void TapQueue::Accept(Incoming& in, RxBatch& batch) {
  RxDescriptor& frame = batch.frames[batch.frame_count];
  frame = RxDescriptor{};
  ParseHeaders(in, frame.headers);
  if (recorder_ != nullptr) [[unlikely]] {
    const uint32_t known_bytes = frame.headers.header_bytes;
    Record(PacketDirection::kInbound,
           {in.slot->header, known_bytes != 0 ? known_bytes : in.layout.slot_bytes},
           in.layout.frame_bytes());
  }
  if (!IsSound(in, frame.headers)) return Discard(in);
  frame.header = {in.slot->header, frame.headers.header_bytes};
  frame.segment_count = VnetHeader::Load(in.slot->vnet).SegmentCount(frame.headers.payload_bytes);
  const SteeringVerdict verdict = steering_.Decide(frame.headers, bound());
  frame.rx_class = verdict.rx_class;
  frame.target_queue = verdict.target_queue;
  if (!Place(in, verdict.is_stray, batch, frame)) return Discard(in);
  ++batch.frame_count;
  stats_.payload_bytes.Add(frame.headers.payload_bytes);
}

// Parses what the slot holds; where that is not all of the headers, fetches the rest into the slot.
void TapQueue::ParseHeaders(const Incoming& in, FrameHeaders& headers) const {
  const TapLayout& layout = in.layout;
  headers = ParseFrame({in.slot->header, layout.slot_bytes}, layout.frame_bytes());
  if (headers.error != FrameError::kTruncated || layout.frame_bytes() == layout.slot_bytes) {
    return;
  }
  uint8_t* const rest = in.slot->header + layout.slot_bytes;
  const uint32_t room_bytes = kHeaderSlotBytes - layout.slot_bytes;
  const uint32_t from_window = std::min(room_bytes, layout.posted_bytes);
  in.window.CopyOut({rest, from_window});
  const uint32_t from_spill = std::min(room_bytes - from_window, layout.spill_bytes);
  std::copy_n(spill_.get(), from_spill, rest + from_window);
  headers = ParseFrame({in.slot->header, layout.slot_bytes + from_window + from_spill},
                       layout.frame_bytes());
}

// Whether the frame may go on. Counts the reason where not.
bool TapQueue::IsSound(const Incoming& in, const FrameHeaders& headers) {
  const bool length_is_true = LengthIsTrue(in.layout.frame_bytes(), headers.frame_bytes_expected);
  const bool checksum_is_right = headers.kind != FrameKind::kTcp || ChecksumIsRight(in, headers);
  // Asked after the last look at the payload; if it is true, all that was looked at was the frame.
  if (!HasLanded(in)) {
    ++stats_.drop_revoked;
  } else if (in.is_cut_off) {
    ++stats_.drop_truncated;
  } else if (!IsDelivered(headers, stats_)) {
    return false;
  } else if (!length_is_true) {
    ++stats_.drop_truncated;
  } else if (!checksum_is_right) {
    ++stats_.drop_checksum;
  } else {
    return true;
  }
  return false;
}

bool TapQueue::ChecksumIsRight(const Incoming& in, const FrameHeaders& headers) {
  if (VnetHeader::Load(in.slot->vnet).checksum_is_good()) [[likely]]
    return true;
  ++stats_.checksum_computed;
  const TapSplit split = SplitPayload(in.layout, headers.header_bytes, headers.payload_bytes);
  uint32_t sum = PartialSum({in.slot->header + split.slot.offset, split.slot.bytes});
  sum = Combine(sum, in.window.Sum(split.posted.offset, split.posted.bytes),
                split.slot.bytes % 2 != 0);
  sum = Combine(sum, PartialSum({spill_.get() + split.spill.offset, split.spill.bytes}),
                (split.slot.bytes + split.posted.bytes) % 2 != 0);
  return VerifyTcpChecksum({in.slot->header, headers.header_bytes}, headers, sum);
}

bool TapQueue::HasLanded(const Incoming& in) const {
  if (in.layout.posted_bytes == 0) return true;
  const DmaMapping& mapping = *memory().mapping;
  // What was posted may be more than what was found in place: the pool tops up each time it is
  // asked.
  return mapping.Landed(in.generation) && (!mapping.any_away() || in.window.IsInPlace());
}

bool TapQueue::Place(const Incoming& in, bool is_stray, RxBatch& batch, RxDescriptor& frame) {
  if (frame.rx_class == RxClass::kElsewhere) {
    stats_.elsewhere_bytes.Add(frame.headers.payload_bytes);
    Discard(in);
    return true;
  }
  if (is_stray) return PlaceStray(in, batch, frame);
  return frame.headers.payload_bytes == 0 || PlaceHere(in, batch, frame);
}

// Payload that belongs where it was read to: of a steered flow into the binding, or of any flow
// into host memory on an unbound queue.
bool TapQueue::PlaceHere(const Incoming& in, RxBatch& batch, RxDescriptor& frame) {
  if (in.is_revoked) [[unlikely]] {
    ++stats_.drop_revoked;
    return false;
  }
  const FrameHeaders& headers = frame.headers;
  prediction_.Learn(headers.header_bytes);
  const TapSplit split = SplitPayload(in.layout, headers.header_bytes, headers.payload_bytes);
  TakeWindow(split.posted, batch, frame);
  if (split.slot.bytes > 0) [[unlikely]] {
    const std::span slot_payload(in.slot->header + split.slot.offset, split.slot.bytes);
    if (!PutSlotBytesFirst(slot_payload, batch, frame)) return true;
  }
  (bound() ? stats_.steered_bytes : stats_.host_bytes).Add(split.posted.bytes);
  // The spill cannot keep it: the next frame needs the room. TCP sends it again.
  if (split.spill.bytes > 0) [[unlikely]] {
    ++stats_.drop_pool_empty;
    stats_.drop_pool_empty_bytes.Add(split.spill.bytes);
  }
  return true;
}

// Takes a part of the window for the frame. What lies in front of it are surplus header bytes:
// taken with it, and put back.
void TapQueue::TakeWindow(const TapExtent& extent, RxBatch& batch, RxDescriptor& frame) {
  if (extent.bytes == 0) return;
  PagePool& pool = *memory().pool;
  const uint32_t taken = AppendPieces(pool, extent.end(), batch, frame, stats_);
  DEVMEM_CHECK(taken == extent.end(), "what was posted can be taken");
  uint32_t surplus = extent.offset;
  if (surplus == 0) [[likely]]
    return;
  frame.placed_bytes -= surplus;
  Piece* const pieces = &batch.pieces[frame.first_piece];
  while (surplus >= pieces[0].length_bytes) {
    surplus -= pieces[0].length_bytes;
    pool.Put(pieces[0]);
    std::copy(pieces + 1, pieces + frame.piece_count, pieces);
    --frame.piece_count;
    --batch.piece_count;
  }
  if (surplus > 0) pool.TrimHead(pieces[0], surplus);
}

// Gives the frame's first payload bytes, which a wrong guess left in the header slot, a host piece
// in front of the others. Without room for it there is no prefix to deliver: the others go back.
bool TapQueue::PutSlotBytesFirst(std::span<const uint8_t> payload, RxBatch& batch,
                                 RxDescriptor& frame) {
  const uint32_t behind_bytes = frame.placed_bytes;
  const uint16_t behind_count = frame.piece_count;
  const uint32_t placed = DeliverFromMemory(payload, host_, batch, frame, stats_);
  if (placed < payload.size()) {
    for (uint32_t n = 0; n < frame.piece_count; ++n) {
      PagePool& pool = n < behind_count ? *memory().pool : *host_.pool;
      pool.Put(batch.pieces[frame.first_piece + n]);
    }
    batch.piece_count -= frame.piece_count;
    frame.piece_count = 0;
    frame.placed_bytes = 0;
    stats_.drop_pool_empty_bytes.Add(behind_bytes + placed);
    return false;
  }
  const auto first = batch.pieces.begin() + frame.first_piece;
  std::rotate(first, first + behind_count, first + frame.piece_count);
  if (bound()) stats_.payload_bytes_bounced.Add(placed);
  return true;
}

// Payload on a bound queue that no rule sent there: out of the binding's memory, into host pieces.
bool TapQueue::PlaceStray(const Incoming& in, RxBatch& batch, RxDescriptor& frame) {
  const FrameHeaders& headers = frame.headers;
  const TapSplit split = SplitPayload(in.layout, headers.header_bytes, headers.payload_bytes);
  uint32_t due = split.slot.bytes;
  uint32_t scrubbed_bytes = 0;
  DeliverFromMemory({in.slot->header + split.slot.offset, split.slot.bytes}, host_, batch, frame,
                    stats_);
  if (frame.placed_bytes == due) {
    due += split.posted.bytes;
    scrubbed_bytes = split.posted.end();
    DeliverFromWindow(device_, split.posted.offset, split.posted.bytes, host_, batch, frame,
                      stats_);
  }
  if (frame.placed_bytes == due) {
    due += split.spill.bytes;
    DeliverFromMemory({spill_.get() + split.spill.offset, split.spill.bytes}, host_, batch, frame,
                      stats_);
  }
  // The rest was never tried: what came before it found no room.
  stats_.drop_pool_empty_bytes.Add(headers.payload_bytes - due);
  if (scrubbed_bytes < in.layout.posted_bytes) ScrubWindow(device_, in.layout.posted_bytes);
  if (!HasLanded(in)) [[unlikely]] {
    WithdrawPieces(*host_.pool, batch, frame);
    ++stats_.drop_revoked;
    return false;
  }
  (IsPresteer(headers) ? stats_.presteer_bytes : stats_.missteered_bytes)
      .Add(headers.payload_bytes);
  return true;
}

// Whether the kernel could not have known better. Both tiers: the frame may have been queued before
// the steering last changed. `auto`: it knows only TCP flows that we have sent for.
bool TapQueue::IsPresteer(const FrameHeaders& headers) const {
  if (!is_settled_) return true;
  if (shared_.history == nullptr) return false;
  return headers.kind != FrameKind::kTcp ||
         !shared_.history->SentLately(headers.flow, NowMilliseconds());
}

// Leaves nothing of the frame in the binding's memory.
void TapQueue::Discard(const Incoming& in) {
  if (bound()) ScrubWindow(device_, in.layout.posted_bytes);
}

bool TapQueue::Transmit(const TxFrame& frame) {
  const VnetHeader vnet = VnetHeader::For(frame, IsV6(frame.header));
  // writev() only reads, but its vector type cannot say so.
  const std::array<iovec, 3> vector = {
      iovec{const_cast<VnetFields*>(&vnet.fields()), kVnetHeaderBytes},
      iovec{const_cast<uint8_t*>(frame.header.data()), frame.header.size()},
      iovec{const_cast<uint8_t*>(frame.payload.data()), frame.payload.size()}};
  ssize_t written_bytes;
  do {
    written_bytes = ::writev(options_.fd, vector.data(), frame.payload.empty() ? 2 : 3);
  } while (written_bytes < 0 && errno == EINTR);
  if (written_bytes < 0) {
    NoteFailure(errno);
    ++stats_.tx_dropped;
    return false;
  }
  ++stats_.tx_frames;
  if (shared_.history != nullptr) NoteSent(frame);
  if (recorder_ != nullptr) [[unlikely]] {
    Record(PacketDirection::kOutbound, frame.header, frame.header.size() + frame.payload.size());
  }
  return true;
}

// A TAP that was deleted (`ip link del`) leaves descriptors that poll(2) finds in error for ever.
void TapQueue::NoteFailure(int error) {
  if (error == EBADFD) gone_.store(true, std::memory_order_relaxed);
}

// The kernel sends this flow to our queue from here on.
void TapQueue::NoteSent(const TxFrame& frame) {
  const uint32_t frame_bytes = static_cast<uint32_t>(frame.header.size() + frame.payload.size());
  FrameHeaders headers = ParseFrame(frame.header, frame_bytes);
  if (headers.kind != FrameKind::kTcp) return;
  std::swap(headers.flow.local, headers.flow.remote);
  std::swap(headers.flow.local_port, headers.flow.remote_port);
  shared_.history->Sent(headers.flow, NowMilliseconds());
}

void TapQueue::Record(PacketDirection direction, std::span<const uint8_t> header,
                      size_t frame_bytes) const {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  recorder_->Record(recorder_interface_, Nanos{now.tv_sec} * 1'000'000'000 + now.tv_nsec, direction,
                    header, static_cast<uint32_t>(frame_bytes));
}

}  // namespace devmem
