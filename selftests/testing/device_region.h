// SPDX-License-Identifier: Apache-2.0
//
// Device memory for tests: bytes that only its DMA engine can reach, an engine that takes its time,
// and a device that can be lost. What a GPU is to the stack, without one. The engine is called by
// one thread; Lose() by any.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region.h"

namespace devmem::testing {

// Shared by a region and its engines.
struct TestDevice {
  std::mutex mutex;
  std::vector<uint8_t> bytes;     // Guarded by mutex.
  std::atomic<bool> lost{false};  // The device has gone.
  // How often an engine is asked before a batch is complete; the bytes arrive only then.
  std::atomic<uint32_t> asks_per_batch{2};
  std::atomic<uint64_t> copies{0};
  std::atomic<int> engines{0};
};

class TestDeviceEngine final : public DmaEngine {
 public:
  TestDeviceEngine(std::shared_ptr<TestDevice> device, DmaMapping& staging)
      : device_(std::move(device)), staging_(staging) {
    ++device_->engines;
  }
  ~TestDeviceEngine() override {
    (void)Fence();
    --device_->engines;
  }

  uint64_t Submit(std::span<const DmaCopy> copies) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (halted_ || device_->lost) return 0;
    waiting_.push_back({{copies.begin(), copies.end()}});
    return ++submitted_;
  }
  bool full() const override { return submitted_ - completed_ >= kDmaBatchesMax; }
  uint64_t Completed() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (!waiting_.empty() && !halted_ && !device_->lost) {
      if (waiting_.front().asked++ < device_->asks_per_batch) break;
      CopyFront();
    }
    return completed_;
  }
  bool Fence() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (!waiting_.empty() && !halted_ && !device_->lost) CopyFront();
    return waiting_.empty();
  }
  bool ReadBack(uint64_t region_offset, std::span<uint8_t> to) override {
    const std::lock_guard<std::mutex> lock(device_->mutex);
    if (lost()) return false;
    std::copy_n(device_->bytes.begin() + static_cast<ptrdiff_t>(region_offset), to.size(),
                to.begin());
    return true;
  }
  void Halt() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    halted_ = true;
    waiting_.clear();
  }
  bool lost() const override { return halted_ || device_->lost; }

 private:
  struct Batch {
    std::vector<DmaCopy> copies;
    uint32_t asked = 0;
  };

  void CopyFront() {
    const std::lock_guard<std::mutex> lock(device_->mutex);
    for (const DmaCopy& copy : waiting_.front().copies) {
      staging_.CopyOut(copy.staging_offset,
                       std::span(device_->bytes).subspan(copy.region_offset, copy.bytes));
      ++device_->copies;
    }
    waiting_.erase(waiting_.begin());
    ++completed_;
  }

  const std::shared_ptr<TestDevice> device_;
  DmaMapping& staging_;
  std::mutex mutex_;
  std::atomic<bool> halted_{false};
  std::atomic<uint64_t> submitted_{0};
  std::atomic<uint64_t> completed_{0};
  std::vector<Batch> waiting_;  // Guarded by mutex_.
};

class TestDeviceRegion final : public Region {
 public:
  explicit TestDeviceRegion(uint64_t bytes, AttachmentKind kind = AttachmentKind::kMayRevoke)
      : Region({.provider_name = "test device",
                .label = {},
                .size_bytes = bytes,
                .page_bytes = kSmallPageBytes,
                .attachment_kind = kind,
                .fd = {},
                .local_because = "it is a test's",
                .cpu_visible = false}) {
    device_->bytes.resize(bytes);
  }

  TestDevice& device() { return *device_; }
  std::shared_ptr<TestDevice> shared_device() { return device_; }
  // As a provider does when its driver reports that the device has gone.
  void Lose() {
    device_->lost = true;
    Revoke("device lost: unplugged by the test");
  }

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess) const override {
    return absl::FailedPreconditionError("the processor cannot map the memory of a test device");
  }
  absl::StatusOr<std::unique_ptr<DmaEngine>> CreateDmaEngine(DmaMapping& staging) const override {
    return std::make_unique<TestDeviceEngine>(device_, staging);
  }

  const std::shared_ptr<TestDevice> device_ = std::make_shared<TestDevice>();
};

}  // namespace devmem::testing
