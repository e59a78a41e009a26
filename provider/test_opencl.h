// SPDX-License-Identifier: Apache-2.0
// For the tests of the opencl provider: a region on a device, staging memory filled by the test,
// and an engine between the two. Tests that need a real device skip with the provider's own reason.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "provider/attachment.h"
#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/opencl_provider.h"
#include "provider/opencl_region.h"
#include "provider/test_region.h"

namespace devmem {

inline std::vector<uint8_t> RandomBytes(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> bytes(count);
  std::generate(bytes.begin(), bytes.end(), [&random] { return static_cast<uint8_t>(random()); });
  return bytes;
}

// Host memory as a NIC's staging has it: a memfd region with its mapping.
class TestStaging {
 public:
  explicit TestStaging(uint64_t bytes)
      : region_(MakeRegion(bytes)), attachment_(MakeAttachment(*region_)) {}

  DmaMapping& mapping() { return attachment_->mapping(); }
  void Fill(uint64_t offset, std::span<const uint8_t> bytes) { mapping().Write(offset, bytes); }

 private:
  const std::unique_ptr<Region> region_;
  const std::unique_ptr<Attachment> attachment_;
};

// A region on the device, bound as a NIC would bind it.
struct TestOpenCl {
  TestOpenCl(OpenClProvider* provider, uint64_t region_bytes, uint64_t staging_bytes)
      : staging(staging_bytes) {
    auto allocated = provider->Allocate({.bytes = region_bytes, .label = "test"});
    EXPECT_TRUE(allocated.ok()) << allocated.status();
    if (!allocated.ok()) return;
    region = *std::move(allocated);
    attachment = MakeAttachment(*region);
    if (attachment == nullptr) return;
    auto created = attachment->CreateEngine(*region, staging.mapping());
    EXPECT_TRUE(created.ok()) << created.status();
    if (created.ok()) engine = *created;
  }

  // Copies `bytes`, which the staging memory holds, to `offset` by way of its start.
  void Put(uint64_t offset, std::span<const uint8_t> bytes) {
    staging.Fill(0, bytes);
    const DmaCopy copy{0, offset, static_cast<uint32_t>(bytes.size())};
    ASSERT_NE(engine->Submit({&copy, 1}), 0u);
    ASSERT_TRUE(engine->Fence());
  }

  std::vector<uint8_t> Get(uint64_t offset, size_t count) {
    std::vector<uint8_t> bytes(count);
    EXPECT_TRUE(engine->ReadBack(offset, bytes));
    return bytes;
  }

  // What lies in the device's memory, also when no engine may look any more.
  std::vector<uint8_t> Peek(const OpenClRegion& of) const {
    std::vector<uint8_t> bytes(of.size_bytes());
    const auto queue = of.device()->CreateQueue();
    EXPECT_TRUE(queue.ok()) << queue.status();
    EXPECT_EQ(of.device()->api().EnqueueReadBuffer(queue->get(), of.ShareBuffer().get(), 1, 0,
                                                   bytes.size(), bytes.data(), 0, nullptr, nullptr),
              kClSuccess);
    return bytes;
  }

  TestStaging staging;  // Outlives the engine.
  std::unique_ptr<Region> region;
  std::unique_ptr<Attachment> attachment;
  DmaEngine* engine = nullptr;  // The attachment's.
};

}  // namespace devmem

// For tests that need a device: skips the calling one where there is none.
#define DEVMEM_NEED_OPENCL()                                                               \
  do {                                                                                     \
    const auto devmem_found = ::devmem::OpenClProvider().Probe();                          \
    if (!devmem_found.ok()) GTEST_SKIP() << "no OpenCL device: " << devmem_found.status(); \
  } while (0)
