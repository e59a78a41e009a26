// SPDX-License-Identifier: Apache-2.0
// See opencl_dma_engine.h.
#include "provider/opencl_dma_engine.h"

#include <sys/uio.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/check.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<DmaEngine>> OpenClDmaEngine::Create(const OpenClRegion& region,
                                                                   DmaMapping& staging) {
  absl::StatusOr<OpenClOwned<ClQueue>> queue = region.device()->CreateQueue();
  if (!queue.ok()) return queue.status();
  return std::unique_ptr<DmaEngine>(new OpenClDmaEngine(region, staging, *std::move(queue)));
}

OpenClDmaEngine::OpenClDmaEngine(const OpenClRegion& region, DmaMapping& staging,
                                 OpenClOwned<ClQueue> queue)
    : staging_(staging),
      device_(region.device()),
      api_(device_->api()),
      life_(region.life()),
      region_bytes_(region.size_bytes()),
      buffer_(region.ShareBuffer()),
      queue_(std::move(queue)) {
  for (Batch& batch : batches_) batch.events.reserve(kDmaBatchCopiesMax);
}

OpenClDmaEngine::~OpenClDmaEngine() {
  Halt();
  for (Batch& batch : batches_) ReleaseEvents(&batch);
}

uint64_t OpenClDmaEngine::Submit(std::span<const DmaCopy> copies) {
  DEVMEM_CHECK(!full() && copies.size() <= kDmaBatchCopiesMax, "a DMA engine is given too much");
  if (!gate_.Enter()) return 0;
  const int32_t code = EnqueueBatch(copies, &batches_[(submitted_ + 1) % kDmaBatchesMax]);
  gate_.Leave();
  if (code != kClSuccess) {
    LoseDevice(code);
    return 0;
  }
  return ++submitted_;
}

// Copies that go on where the one before them ends, on both sides, are one to the driver.
int32_t OpenClDmaEngine::EnqueueBatch(std::span<const DmaCopy> copies, Batch* batch) {
  DmaCopy merged;
  for (const DmaCopy& copy : copies) {
    const bool goes_on = copy.staging_offset == merged.staging_offset + merged.bytes &&
                         copy.region_offset == merged.region_offset + merged.bytes &&
                         merged.bytes <= UINT32_MAX - copy.bytes;
    if (goes_on) {
      merged.bytes += copy.bytes;
      continue;
    }
    const int32_t code = EnqueueCopy(merged, batch);
    if (code != kClSuccess) return code;
    merged = copy;
  }
  const int32_t code = EnqueueCopy(merged, batch);
  return code == kClSuccess ? api_.Flush(queue_.get()) : code;
}

int32_t OpenClDmaEngine::EnqueueCopy(const DmaCopy& copy, Batch* batch) {
  if (copy.bytes == 0) return kClSuccess;
  DEVMEM_CHECK(
      copy.region_offset <= region_bytes_ && copy.bytes <= region_bytes_ - copy.region_offset,
      "a DMA range lies outside its region");
  const struct iovec from = staging_.Iov(copy.staging_offset, copy.bytes);
  ClEvent event = nullptr;
  const int32_t code = api_.EnqueueWriteBuffer(queue_.get(), buffer_.get(), 0, copy.region_offset,
                                               from.iov_len, from.iov_base, 0, nullptr, &event);
  if (code == kClSuccess) batch->events.push_back(event);
  return code;
}

uint64_t OpenClDmaEngine::Completed() {
  if (completed_ == submitted_ || !gate_.Enter()) return completed_;
  const int32_t code = PollBatches();
  gate_.Leave();
  if (code != kClSuccess) LoseDevice(code);
  return completed_;
}

// Counts the batches that ended well. The queue runs in order, so a batch has ended when its last
// copy has.
int32_t OpenClDmaEngine::PollBatches() {
  while (completed_ < submitted_) {
    Batch& batch = batches_[(completed_ + 1) % kDmaBatchesMax];
    if (!batch.events.empty()) {
      int32_t status = kClQueued;
      const int32_t asked = api_.GetEventInfo(batch.events.back(), kClEventExecutionStatus,
                                              sizeof(status), &status, nullptr);
      if (asked != kClSuccess) return asked;
      if (status > kClComplete) return kClSuccess;
      const int32_t ended = CheckEnded(batch, status);
      if (ended != kClSuccess) return ended;
      ReleaseEvents(&batch);
    }
    ++completed_;
  }
  return kClSuccess;
}

// To ask for an event's status is no synchronisation point, says the specification, to wait for it
// is one: only after that do other queues see what was written. Nothing is left to wait for here,
// and the same call finds a copy in the middle that failed.
int32_t OpenClDmaEngine::CheckEnded(const Batch& batch, int32_t status_of_last) const {
  if (status_of_last < kClComplete) return status_of_last;
  return api_.WaitForEvents(static_cast<uint32_t>(batch.events.size()), batch.events.data());
}

void OpenClDmaEngine::ReleaseEvents(Batch* batch) {
  for (ClEvent event : batch->events) (void)api_.ReleaseEvent(event);
  batch->events.clear();
}

bool OpenClDmaEngine::Fence() {
  if (completed_ == submitted_) return true;
  if (!gate_.Enter()) return false;
  int32_t code = api_.Finish(queue_.get());
  if (code == kClSuccess) code = PollBatches();
  gate_.Leave();
  if (code != kClSuccess) LoseDevice(code);
  return completed_ == submitted_;
}

bool OpenClDmaEngine::ReadBack(uint64_t region_offset, std::span<uint8_t> to) {
  if (to.empty()) return !lost();
  if (!gate_.Enter()) return false;
  const int32_t code = api_.EnqueueReadBuffer(queue_.get(), buffer_.get(), 1, region_offset,
                                              to.size(), to.data(), 0, nullptr, nullptr);
  gate_.Leave();
  if (code != kClSuccess) LoseDevice(code);
  return code == kClSuccess;
}

// The queue may have been halted, and even be lost, before: to wait for it again is harmless.
void OpenClDmaEngine::Halt() {
  gate_.Close();
  (void)api_.Finish(queue_.get());
}

// Outside of the gate. The engine is halted first, so that nothing is on its way when the caller
// learns of it, also where nobody is attached through whom a revoke would halt it.
void OpenClDmaEngine::LoseDevice(int32_t code) {
  Halt();
  device_->MarkLost();
  life_->Revoke(absl::StrCat("device lost: ", DescribeOpenClDevice(device_->facts()),
                             " ended a copy with ", OpenClErrorName(code)));
}

}  // namespace devmem
