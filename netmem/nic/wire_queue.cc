// SPDX-License-Identifier: Apache-2.0
//
// Polling one queue of the in-memory wire: from a frame in the ring to a descriptor with pieces.
// The receive path of every benchmark runs through Poll() and Deliver().

#include "netmem/nic/wire_queue.h"

#include <new>

#include "absl/strings/str_cat.h"
#include "netmem/nic/wire_nic.h"
#include "netmem/wire/checksum.h"
#include "provider/check.h"
#include "provider/dma_mapping.h"

namespace devmem {

WireQueue::WireQueue(WireNic& nic, uint32_t index)
    : nic_(nic),
      slots_(nic.slots()),
      index_(index),
      checksum_offload_(nic.config().checksum_offload),
      write_payload_(nic.config().write_payload),
      steering_(nic.rules(), nic.bound_queues(), index),
      ring_(nic.config().ring_frames),
      ring_mask_(nic.config().ring_frames - 1) {}

void WireQueue::FreeDelivered() {
  slots_.Free(std::span(delivered_).first(delivered_count_));
  delivered_count_ = 0;
}

void WireQueue::PrefetchNext() const {
  // Two cache lines hold the slot's own fields and the headers of a TCP frame with timestamps. The
  // entry behind the last one is an old slot, or the first: harmless to look at.
  const WireSlot& next = slots_[ring_[head_ & ring_mask_]];
  __builtin_prefetch(&next);
  __builtin_prefetch(reinterpret_cast<const uint8_t*>(&next) + 64);
}

// Gives the frame pieces of `memory` and writes its payload there. `generation` was read before the
// memory was found in place. False: it went, so dropped, counted.
bool WireQueue::PlaceIn(const QueueMemory& memory, uint64_t generation, uint32_t index,
                        RxBatch& batch, RxDescriptor& frame) {
  const uint32_t placed =
      AppendPieces(*memory.pool, frame.headers.payload_bytes, batch, frame, stats_);
  if (write_payload_) {
    WritePieces(memory, batch.PiecesOf(frame), slots_.payload(index).first(placed));
  }
  if (memory.mapping->Landed(generation) &&
      (!memory.mapping->any_away() || IsHome(memory, batch.PiecesOf(frame)))) [[likely]]
    return true;
  WithdrawPieces(*memory.pool, batch, frame);
  ++stats_.drop_revoked;
  return false;
}

bool WireQueue::Place(const WireSlot& slot, uint32_t index, RxBatch& batch, RxDescriptor& frame) {
  const bool steered = frame.rx_class == RxClass::kSteered;
  const QueueMemory* memory = steered ? &device_ : &host_;
  if (frame.rx_class == RxClass::kElsewhere) [[unlikely]] {
    memory = nullptr;
  } else if (frame.headers.payload_bytes > 0) {
    const uint64_t generation = steered ? generation_ : host_.mapping->generation();
    if (!PlaceIn(*memory, generation, index, batch, frame)) return false;
  }
  const bool to_sum = slot.suspect && !checksum_offload_ && frame.headers.kind == FrameKind::kTcp;
  if (to_sum && !SummedChecksumIsRight(memory, index, batch, frame)) [[unlikely]] {
    ++stats_.drop_checksum;
    if (memory != nullptr) WithdrawPieces(*memory->pool, batch, frame);
    return false;
  }
  if (steered) {
    stats_.steered_bytes.Add(frame.placed_bytes);
  } else if (memory != nullptr) {
    stats_.host_bytes.Add(frame.placed_bytes);
  } else {
    stats_.elsewhere_bytes.Add(frame.headers.payload_bytes);
  }
  return true;
}

bool WireQueue::Deliver(uint32_t index, RxBatch& batch) {
  const WireSlot& slot = slots_[index];
  RxDescriptor& frame = batch.frames[batch.frame_count];
  frame.header = {slot.header, slot.header_bytes};
  // Made where it stays: copied in wide words right after it was written in narrow ones, it would
  // wait for the processor's store buffer to drain, which costs as much as parsing it.
  ::new (&frame.headers) FrameHeaders(ParseFrame(frame.header, slot.frame_bytes));
  if (slot.cut) [[unlikely]] {
    ++stats_.drop_truncated;
    return false;
  }
  if (!IsDelivered(frame.headers, stats_)) [[unlikely]]
    return false;
  // The split was made by the headers as they were sent. Where they say something else now, or
  // where an injected header is not just headers, the payload is not where they say.
  if (frame.headers.header_bytes != slot.header_bytes) [[unlikely]] {
    ++stats_.drop_malformed;
    return false;
  }
  if (slot.suspect && !PassesChecksum(slot, index, frame.headers)) [[unlikely]]
    return false;
  frame.first_piece = static_cast<uint16_t>(batch.piece_count);
  frame.piece_count = 0;
  frame.placed_bytes = 0;
  frame.segment_count = slot.segment_count;
  const SteeringVerdict verdict = steering_.Decide(frame.headers, bound());
  frame.rx_class = verdict.rx_class;
  frame.target_queue = verdict.target_queue;
  if (!Place(slot, index, batch, frame)) [[unlikely]]
    return false;
  if (verdict.is_stray) [[unlikely]] {
    // Only where no unbound queue is left, or where the frame was in the ring before the binding.
    stats_.missteered_bytes.Add(frame.placed_bytes);
  }
  return true;
}

uint32_t WireQueue::Poll(RxBatch& batch) {
  DEVMEM_CHECK(host_.pool != nullptr, "a queue is polled before its NIC was started");
  FreeDelivered();
  waits_for_memory_ = false;
  steering_.Refresh();
  batch.frame_count = 0;
  batch.piece_count = 0;
  const uint32_t first = head_;
  uint64_t payload_bytes = 0;
  while (head_ != tail_ && HasRoomForFrame(batch)) {
    if (bound() && !WindowIsInPlace(device_, &generation_)) [[unlikely]] {
      waits_for_memory_ = true;
      break;
    }
    const uint32_t index = ring_[head_ & ring_mask_];
    const WireSlot& slot = slots_[index];
    // The largest frame alone is below the bound, so that every poll makes progress.
    if (payload_bytes + slot.frame_bytes > kBatchPayloadBytesMax && batch.frame_count > 0) break;
    ++head_;
    PrefetchNext();
    if (Deliver(index, batch)) [[likely]] {
      payload_bytes += batch.frames[batch.frame_count].headers.payload_bytes;
      ++batch.frame_count;
      delivered_[delivered_count_++] = index;
    } else {
      slots_.Free(index);
    }
  }
  ++stats_.polls;
  stats_.frames.Add(head_ - first);
  stats_.payload_bytes.Add(payload_bytes);
  return batch.frame_count;
}

// The verdict of the hardware, on a frame that is suspect. False: dropped, counted.
bool WireQueue::PassesChecksum(const WireSlot& slot, uint32_t index, const FrameHeaders& headers) {
  bool is_right = !slot.corrupted;  // What has no TCP checksum is judged by Ethernet's frame check.
  if (headers.kind == FrameKind::kTcp) {
    if (!checksum_offload_) return true;  // Place() finds out.
    const std::span<const uint8_t> payload = slots_.payload(index).first(headers.payload_bytes);
    is_right = VerifyTcpChecksum({slot.header, slot.header_bytes}, headers, PartialSum(payload));
  }
  if (!is_right) ++stats_.drop_checksum;
  return is_right;
}

// The verdict of a NIC that has none from hardware: sums the payload where it was written. What was
// not written is summed on the wire.
bool WireQueue::SummedChecksumIsRight(const QueueMemory* memory, uint32_t index,
                                      const RxBatch& batch, const RxDescriptor& frame) {
  const uint32_t payload_bytes = frame.headers.payload_bytes;
  uint32_t sum = 0;
  if (payload_bytes > 0) {
    ++stats_.checksum_computed;
    sum = memory != nullptr && frame.placed_bytes == payload_bytes
              ? SumPieces(*memory, batch.PiecesOf(frame))
              : PartialSum(slots_.payload(index).first(payload_bytes));
  }
  return VerifyTcpChecksum(frame.header, frame.headers, sum);
}

bool WireQueue::Transmit(const TxFrame& frame) {
  if (!nic_.Send(frame)) {
    ++stats_.tx_dropped;
    return false;
  }
  ++stats_.tx_frames;
  return true;
}

absl::Status WireQueue::Bind(const QueueMemory& memory) {
  if (bound()) {
    return absl::FailedPreconditionError(absl::StrCat("queue ", index_, " of ", nic_.info().name,
                                                      " is bound already; unbind it first"));
  }
  absl::Status checked = CheckQueueMemory(memory, /*device=*/true, index_);
  if (!checked.ok()) return checked;
  device_ = memory;
  nic_.bound_queues().Set(index_, true);
  nic_.RebuildRss();
  return absl::OkStatus();
}

void WireQueue::Unbind() {
  if (!bound()) return;
  device_.pool->CloseWindow();
  device_ = {};
  nic_.bound_queues().Set(index_, false);
  nic_.RebuildRss();
}

}  // namespace devmem
