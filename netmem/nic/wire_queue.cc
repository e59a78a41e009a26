// SPDX-License-Identifier: Apache-2.0
//
// Polling one queue of the in-memory wire: from a frame in the ring to a descriptor with pieces.
// The receive path of every benchmark runs through Poll() and DeliverPlain().

#include "netmem/nic/wire_queue.h"

#include <new>

#include "absl/strings/str_cat.h"
#include "netmem/nic/wire_nic.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/plain_frame.h"
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

// Writes the frame's payload to its pieces. `generation` was read before the memory was found in
// place. False: it went, so the frame is dropped, counted.
bool WireQueue::Fill(const QueueMemory& memory, uint64_t generation, uint32_t index, RxBatch& batch,
                     RxDescriptor& frame) {
  if (write_payload_) {
    const std::span<const uint8_t> payload = slots_.payload(index).first(frame.placed_bytes);
    WritePieces(memory, batch.PiecesOf(frame), payload);
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
    AppendPieces(*memory->pool, frame.headers.payload_bytes, batch, frame, stats_);
    if (!Fill(*memory, generation, index, batch, frame)) return false;
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

// Whether the posted window of the binding can be written now. A look at the mapping's own numbers
// as a rule: while they stay, and nothing is evicted, what was in place is.
bool WireQueue::InPlace() {
  const DmaMapping& mapping = *device_.mapping;
  return (mapping.generation() == generation_ && !mapping.any_away()) ||
         WindowIsInPlace(device_, &generation_);
}

// The frame that nearly all are on a bound queue: plain TCP over IPv4 that a rule sends here, with
// payload that fits into the front run of the window. False: Deliver() takes it.
bool WireQueue::DeliverPlain(const WireSlot& slot, RxBatch& batch, RxDescriptor& frame) {
  if (slot.cut || slot.suspect ||
      !ParsePlainFrame(slot.header, slot.header_bytes, slot.frame_bytes, &frame.headers) ||
      frame.headers.header_bytes != slot.header_bytes ||
      !steering_.SteersHere(frame.headers.flow) ||
      !device_.pool->TakeOne(frame.headers.payload_bytes, &batch.pieces[batch.piece_count])) {
    return false;
  }
  frame.header = {slot.header, slot.header_bytes};
  frame.first_piece = static_cast<uint16_t>(batch.piece_count++);
  frame.piece_count = 1;
  frame.segment_count = slot.segment_count;
  frame.rx_class = RxClass::kSteered;
  frame.target_queue = 0;
  frame.placed_bytes = frame.headers.payload_bytes;
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
  const bool is_bound = bound();
  uint64_t payload_bytes = 0;
  uint64_t plain_bytes = 0;  // Of these: delivered by DeliverPlain().
  while (head_ != tail_ && HasRoomForFrame(batch)) {
    if (is_bound && !InPlace()) [[unlikely]] {
      waits_for_memory_ = true;
      break;
    }
    const uint32_t index = ring_[head_ & ring_mask_];
    const WireSlot& slot = slots_[index];
    // The largest frame alone is below the bound, so that every poll makes progress.
    if (payload_bytes + slot.frame_bytes > kBatchPayloadBytesMax && batch.frame_count > 0) break;
    ++head_;
    PrefetchNext();
    RxDescriptor* next = &batch.frames[batch.frame_count];
    asm("" : "+r"(next));  // Kept, rather than worked out again for each field.
    RxDescriptor& frame = *next;
    const bool is_plain = is_bound && DeliverPlain(slot, batch, frame);
    if (!(is_plain ? Fill(device_, generation_, index, batch, frame) : Deliver(index, batch)))
        [[unlikely]] {
      slots_.Free(index);
      continue;
    }
    const uint32_t bytes = frame.headers.payload_bytes;
    payload_bytes += bytes;
    if (is_plain) plain_bytes += bytes;
    ++batch.frame_count;
    delivered_[delivered_count_++] = index;
  }
  ++stats_.polls;
  stats_.frames.Add(head_ - first);
  stats_.payload_bytes.Add(payload_bytes);
  stats_.steered_bytes.Add(plain_bytes);
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
  generation_ = 1;
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
