// SPDX-License-Identifier: Apache-2.0
// ProbeRegion over honest memory and over memory that breaks each promise.
#include "provider/region_probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/memfd_provider.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 3 * kHugePageBytes / 2;
constexpr uint64_t kFlippedByte = 2'345'678;

// What is wrong with a fake device's memory.
struct Lies {
  bool flips_a_bit = false;
  bool goes_on_after_revoke = false;
  bool moves_though_pinned = false;
  bool is_elsewhere = false;
  bool cannot_be_read = false;
};

// Memory that the processor cannot map: bytes behind an engine.
class FakeEngine final : public DmaEngine {
 public:
  FakeEngine(DmaMapping& staging, std::vector<uint8_t>* memory, const Lies& lies)
      : staging_(staging), memory_(*memory), lies_(lies) {}

  uint64_t Submit(std::span<const DmaCopy> copies) override {
    if (halted_ && !lies_.goes_on_after_revoke) return 0;
    for (const DmaCopy& copy : copies) {
      const auto to = std::span(memory_).subspan(copy.region_offset, copy.bytes);
      staging_.CopyOut(copy.staging_offset, to);
      if (lies_.flips_a_bit && copy.region_offset <= kFlippedByte &&
          kFlippedByte < copy.region_offset + copy.bytes) {
        memory_[kFlippedByte] ^= 1;
      }
    }
    return ++submitted_;
  }
  bool full() const override { return false; }
  uint64_t Completed() override { return submitted_; }
  bool Fence() override { return true; }
  bool ReadBack(uint64_t offset, std::span<uint8_t> to) override {
    if (lies_.cannot_be_read) return false;
    std::copy_n(&memory_[offset], to.size(), to.begin());
    return true;
  }
  void Halt() override { halted_ = true; }
  bool lost() const override { return halted_ && !lies_.goes_on_after_revoke; }

 private:
  DmaMapping& staging_;
  std::vector<uint8_t>& memory_;
  const Lies& lies_;
  bool halted_ = false;
  uint64_t submitted_ = 0;
};

class FakeRegion final : public Region {
 public:
  FakeRegion(uint64_t bytes, const Lies& lies)
      : Region({.provider_name = "fake",
                .label = {},
                .size_bytes = bytes,
                .page_bytes = kSmallPageBytes,
                .fd = {},
                .local_because = "it is made up",
                .cpu_visible = false}),
        lies_(lies),
        memory_(bytes) {}

  absl::Status Move(std::chrono::nanoseconds patience) override {
    return lies_.moves_though_pinned ? absl::OkStatus() : Region::Move(patience);
  }
  absl::StatusOr<Residence> FindResidence() const override {
    Residence residence{size_bytes(), 0, 0, "a fake"};
    if (lies_.is_elsewhere) std::swap(residence.device_bytes, residence.host_bytes);
    return residence;
  }

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess /*access*/) const override {
    return absl::FailedPreconditionError("the processor cannot see it");
  }
  absl::StatusOr<std::unique_ptr<DmaEngine>> CreateDmaEngine(DmaMapping& staging) const override {
    return std::make_unique<FakeEngine>(staging, &memory_, lies_);
  }

  const Lies lies_;
  mutable std::vector<uint8_t> memory_;
};

class FakeProvider final : public Provider {
 public:
  absl::string_view name() const override { return "fake"; }
  absl::StatusOr<std::string> Probe() override { return probe; }
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override {
    if (!allocate.ok()) return allocate;
    return std::make_unique<FakeRegion>(options.bytes, lies);
  }

  absl::StatusOr<std::string> probe = "a fake";
  absl::Status allocate;
  Lies lies;
};

const RegionProbeStep* Find(const RegionProbeResult& result, const std::string& step) {
  const auto found = std::find_if(result.steps.begin(), result.steps.end(),
                                  [&](const auto& each) { return each.step == step; });
  return found == result.steps.end() ? nullptr : &*found;
}

// The names of the steps that went wrong.
std::vector<std::string> Failed(const RegionProbeResult& result) {
  std::vector<std::string> names;
  for (const RegionProbeStep& step : result.steps) {
    if (!step.ok) names.push_back(step.step);
  }
  return names;
}

// One lie, and the step that finds it out.
void ExpectCaught(bool Lies::*lie, const std::vector<std::string>& steps) {
  FakeProvider provider;
  provider.lies.*lie = true;
  const RegionProbeResult result = ProbeRegion(provider, {.bytes = kBytes});
  EXPECT_EQ(result.verdict, RegionProbeVerdict::kFailed);
  EXPECT_EQ(Failed(result), steps);
}

TEST(RegionProbeTest, MemfdMemoryKeepsEveryPromiseOfPinnedMemory) {
  MemfdProvider provider;
  const RegionProbeResult result = ProbeRegion(provider, {.bytes = kBytes});
  EXPECT_EQ(Failed(result), std::vector<std::string>());
  EXPECT_EQ(result.verdict, RegionProbeVerdict::kPassed);
  ASSERT_EQ(result.steps.size(), 12u);
  EXPECT_EQ(Find(result, "attach")->detail.substr(0, 16), "written in place");
  EXPECT_EQ(Find(result, "move")->detail.substr(0, 16), "refused, rightly");
}

TEST(RegionProbeTest, MovableMemfdMemoryMovesAndComesBackFromEviction) {
  MemfdProvider provider;
  const RegionProbeResult result =
      ProbeRegion(provider, {.bytes = kBytes, .kind = AttachmentKind::kMayMove});
  EXPECT_EQ(Failed(result), std::vector<std::string>());
  EXPECT_EQ(result.verdict, RegionProbeVerdict::kPassed);
  EXPECT_EQ(Find(result, "move")->detail, "the bytes moved, and the importer went on");
  EXPECT_EQ(Find(result, "evict")->detail, "the bytes left, and came back when they were written");
}

TEST(RegionProbeTest, StagedMemoryIsWrittenByItsEngineAndReadBackByIt) {
  FakeProvider provider;
  const RegionProbeResult result = ProbeRegion(provider, {.bytes = kBytes});
  EXPECT_EQ(Failed(result), std::vector<std::string>());
  EXPECT_EQ(result.verdict, RegionProbeVerdict::kPassed);
  EXPECT_EQ(Find(result, "attach")->detail,
            "staged through host memory: the processor cannot map the memory");
  EXPECT_EQ(Find(result, "read")->detail,
            "every byte is as it was written; read back by the device");
  EXPECT_NE(Find(result, "share")->detail.find("it is made up"), std::string::npos);
}

TEST(RegionProbeTest, AWrongByteIsFoundAndNamed) {
  ExpectCaught(&Lies::flips_a_bit, {"read"});
  FakeProvider provider;
  provider.lies.flips_a_bit = true;
  const RegionProbeResult result = ProbeRegion(provider, {.bytes = kBytes});
  EXPECT_NE(Find(result, "read")->detail.find("the byte at offset 2345678"), std::string::npos)
      << Find(result, "read")->detail;
}

TEST(RegionProbeTest, EachBrokenPromiseIsCaughtByItsStep) {
  ExpectCaught(&Lies::goes_on_after_revoke, {"revoke"});
  ExpectCaught(&Lies::moves_though_pinned, {"move"});
  ExpectCaught(&Lies::is_elsewhere, {"residence"});
  ExpectCaught(&Lies::cannot_be_read, {"read"});
}

TEST(RegionProbeTest, AnUnusableProviderIsNoFailure) {
  FakeProvider provider;
  provider.probe = absl::UnavailableError("no such device");
  RegionProbeResult result = ProbeRegion(provider, {.bytes = kBytes});
  EXPECT_EQ(result.verdict, RegionProbeVerdict::kUnsupported);
  ASSERT_EQ(result.steps.size(), 1u);
  EXPECT_EQ(result.steps[0].detail, "no such device");

  provider.probe = "a fake";
  provider.allocate = absl::UnavailableError("the device has gone");
  result = ProbeRegion(provider, {.bytes = kBytes});
  EXPECT_EQ(result.verdict, RegionProbeVerdict::kUnsupported);
  ASSERT_EQ(result.steps.size(), 2u);
}

TEST(RegionProbeTest, WhatTheProviderDoesNotGiveIsRefused) {
  MemfdProvider provider;
  const RegionProbeResult result = ProbeRegion(provider, {.bytes = kSmallPageBytes + 1});
  EXPECT_EQ(result.verdict, RegionProbeVerdict::kRefused);
  EXPECT_EQ(Failed(result), std::vector<std::string>{"allocate"});
}

}  // namespace
}  // namespace devmem
