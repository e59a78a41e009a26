// SPDX-License-Identifier: Apache-2.0
// The access functions against the owner's view, and revocation: alone, during system calls, and
// against a NIC thread that does not stop.
#include "provider/dma_mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_region.h"
#include "provider/unique_fd.h"

namespace devmem {
namespace {

constexpr uint64_t kRegionBytes = 4 * kSmallPageBytes;

class DmaMappingTest : public testing::Test {
 protected:
  DmaMappingTest() : region_(MakeRegion(kRegionBytes)), attachment_(MakeAttachment(*region_)) {}

  DmaMapping& mapping() { return attachment_->mapping(); }

  // What the region holds, whatever the mapping shows.
  std::vector<uint8_t> RegionBytes() const {
    const auto view = RegionView::Map(*region_);
    EXPECT_TRUE(view.ok()) << view.status();
    return {view->bytes().begin(), view->bytes().end()};
  }

  std::vector<uint8_t> MappingBytes() {
    std::vector<uint8_t> bytes(kRegionBytes);
    mapping().CopyOut(0, bytes);
    return bytes;
  }

  std::unique_ptr<Region> region_;
  std::unique_ptr<Attachment> attachment_;
};

using DmaMappingDeathTest = DmaMappingTest;

std::vector<uint8_t> SeededBytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// The definition of RFC 1071 in its slowest form, folded: words of big-endian bytes.
uint16_t NaiveSum(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : uint32_t{bytes[i]};
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

TEST_F(DmaMappingTest, WriteStoresExactlyItsBytes) {
  const std::vector<uint8_t> payload = SeededBytes(1448, 1);
  mapping().Write(4001, payload);
  std::vector<uint8_t> expected(kRegionBytes, 0);
  std::copy(payload.begin(), payload.end(), expected.begin() + 4001);
  EXPECT_EQ(RegionBytes(), expected);
}

TEST_F(DmaMappingTest, WritesOfNothingAreLegalUpToTheEndOfTheRegion) {
  mapping().Write(kRegionBytes, {});
  mapping().Scrub(kRegionBytes, 0);
  mapping().CopyOut(kRegionBytes, {});
  EXPECT_EQ(mapping().Checksum(kRegionBytes, 0), 0u);
  EXPECT_EQ(mapping().Iov(kRegionBytes, 0).iov_len, 0u);
  EXPECT_EQ(RegionBytes(), std::vector<uint8_t>(kRegionBytes, 0));
}

TEST_F(DmaMappingTest, CopyOutReadsBackWhatWasWritten) {
  const std::vector<uint8_t> payload = SeededBytes(kRegionBytes, 2);
  mapping().Write(0, payload);
  std::vector<uint8_t> piece(3000);
  mapping().CopyOut(2049, piece);
  EXPECT_TRUE(std::equal(piece.begin(), piece.end(), payload.begin() + 2049));
}

TEST_F(DmaMappingTest, ScrubZeroesItsRangeAndNothingElse) {
  std::vector<uint8_t> expected(kRegionBytes, 0xee);
  mapping().Write(0, expected);
  mapping().Scrub(4095, 4098);
  std::fill_n(expected.begin() + 4095, 4098, uint8_t{0});
  EXPECT_EQ(RegionBytes(), expected);
}

TEST_F(DmaMappingTest, ChecksumIsTheInternetSumOfTheRangeAtAnyOffsetAndLength) {
  const std::vector<uint8_t> content = SeededBytes(kRegionBytes, 3);
  mapping().Write(0, content);
  for (const size_t offset : {0u, 1u, 7u, 4095u, 4096u}) {
    for (const size_t bytes : {1u, 2u, 3u, 64u, 1447u, 1448u, 4097u}) {
      EXPECT_EQ(Fold(mapping().Checksum(offset, bytes)),
                NaiveSum(std::span(content).subspan(offset, bytes)))
          << "offset " << offset << ", " << bytes << " bytes";
    }
  }
}

TEST_F(DmaMappingTest, ASystemCallReadsStraightIntoTheRegion) {
  const std::vector<uint8_t> payload = SeededBytes(1448, 4);
  std::array<int, 2> pipe = {};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const UniqueFd out(pipe[0]);
  const UniqueFd in(pipe[1]);
  ASSERT_EQ(::write(in.get(), payload.data(), payload.size()), 1448);
  std::array<struct iovec, 2> runs = {mapping().Iov(8192, 1000), mapping().Iov(100, 448)};
  const uint64_t before = mapping().generation();
  ASSERT_EQ(::readv(out.get(), runs.data(), 2), 1448);
  EXPECT_TRUE(mapping().Landed(before));
  const std::vector<uint8_t> region = RegionBytes();
  EXPECT_TRUE(std::equal(payload.begin(), payload.begin() + 1000, region.begin() + 8192));
  EXPECT_TRUE(std::equal(payload.begin() + 1000, payload.end(), region.begin() + 100));
}

TEST_F(DmaMappingTest, AMappingIsLiveUntilItIsRevoked) {
  EXPECT_EQ(mapping().generation(), 0u);
  EXPECT_FALSE(mapping().revoked());
  EXPECT_TRUE(mapping().Landed(mapping().generation()));
  mapping().Revoke();
  EXPECT_TRUE(mapping().revoked());
  EXPECT_TRUE(mapping().revoked());
}

TEST_F(DmaMappingTest, WhatWasReadBeforeARevocationDidNotLandAfterIt) {
  const uint64_t before = mapping().generation();
  mapping().Revoke();
  EXPECT_FALSE(mapping().Landed(before));
  EXPECT_FALSE(mapping().Landed(mapping().generation()));
}

TEST_F(DmaMappingTest, WritesAfterARevocationLeaveTheRegionAlone) {
  const std::vector<uint8_t> content = SeededBytes(kRegionBytes, 5);
  mapping().Write(0, content);
  mapping().Revoke();
  mapping().Write(0, std::vector<uint8_t>(kRegionBytes, 0xaa));
  EXPECT_EQ(RegionBytes(), content);
  EXPECT_EQ(MappingBytes(), std::vector<uint8_t>(kRegionBytes, 0xaa));
}

TEST_F(DmaMappingTest, NothingOfTheRegionCanBeReadAfterARevocation) {
  mapping().Write(0, SeededBytes(kRegionBytes, 6));
  mapping().Revoke();
  EXPECT_EQ(MappingBytes(), std::vector<uint8_t>(kRegionBytes, 0));
  EXPECT_EQ(mapping().Checksum(0, kRegionBytes), 0u);
}

TEST_F(DmaMappingTest, ASystemCallIntoARevokedMappingStillReadsEveryByte) {
  const std::vector<uint8_t> content = SeededBytes(kRegionBytes, 7);
  mapping().Write(0, content);
  std::array<int, 2> pipe = {};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const UniqueFd out(pipe[0]);
  const UniqueFd in(pipe[1]);
  const std::vector<uint8_t> payload = SeededBytes(kRegionBytes, 8);
  ASSERT_EQ(::write(in.get(), payload.data(), payload.size()), ssize_t{kRegionBytes});
  struct iovec run = mapping().Iov(0, kRegionBytes);  // Posted before, used after.
  const uint64_t before = mapping().generation();
  mapping().Revoke();
  ASSERT_EQ(::readv(out.get(), &run, 1), ssize_t{kRegionBytes});
  EXPECT_FALSE(mapping().Landed(before));
  EXPECT_EQ(MappingBytes(), payload);
  EXPECT_EQ(RegionBytes(), content);
}

TEST_F(DmaMappingTest, RevokingAgainChangesNothing) {
  mapping().Revoke();
  mapping().Write(0, std::array<uint8_t, 1>{5});
  mapping().Revoke();
  EXPECT_TRUE(mapping().revoked());
  EXPECT_EQ(MappingBytes()[0], 5);
}

TEST_F(DmaMappingTest, RevokingOneMappingLeavesTheOtherOfTheSameRegionLive) {
  const auto other = MakeAttachment(*region_);
  mapping().Revoke();
  other->mapping().Write(0, std::array<uint8_t, 1>{5});
  EXPECT_TRUE(other->mapping().Landed(0));
  EXPECT_EQ(RegionBytes()[0], 5);
}

// A NIC thread writes a rising number for as long as its writes land. Whatever the moment of the
// revocation, the region then holds the last number that landed, or the one after it, whose write
// met the region but was not counted; it never misses one that was counted.
TEST(DmaMappingThreadsTest, NoWriteIsCountedAsLandedThatTheRegionDoesNotHold) {
  for (uint64_t round = 0; round < 50; ++round) {
    const auto region = MakeRegion(kRegionBytes);
    const auto attachment = MakeAttachment(*region);
    DmaMapping& mapping = attachment->mapping();
    std::atomic<uint64_t> landed{0};
    std::thread nic([&mapping, &landed] {
      std::array<uint8_t, sizeof(uint64_t)> bytes;
      for (uint64_t number = 1;; ++number) {
        std::memcpy(bytes.data(), &number, sizeof(number));
        const uint64_t before = mapping.generation();
        mapping.Write(kSmallPageBytes, bytes);
        if (!mapping.Landed(before)) return;
        landed.store(number, std::memory_order_relaxed);
      }
    });
    while (landed.load(std::memory_order_relaxed) <= round) std::this_thread::yield();
    mapping.Revoke();
    uint64_t held_at_revocation = 0;
    const auto view = RegionView::Map(*region);
    ASSERT_TRUE(view.ok()) << view.status();
    std::memcpy(&held_at_revocation, &view->bytes()[kSmallPageBytes], sizeof(uint64_t));
    nic.join();
    uint64_t held = 0;
    std::memcpy(&held, &view->bytes()[kSmallPageBytes], sizeof(uint64_t));
    EXPECT_EQ(held, held_at_revocation) << "a write reached the region after Revoke() returned";
    EXPECT_GE(held, landed.load());
    EXPECT_LE(held, landed.load() + 1);
  }
}

// The same with a system call in the NIC's place: it must never come back short, and never fail.
TEST(DmaMappingThreadsTest, SystemCallsDuringARevocationReadEveryByte) {
  const std::vector<uint8_t> frame = SeededBytes(kRegionBytes, 9);
  const UniqueFd source(::memfd_create("frames", MFD_CLOEXEC));
  ASSERT_EQ(::pwrite(source.get(), frame.data(), frame.size(), 0), ssize_t{kRegionBytes});
  for (uint64_t round = 0; round < 50; ++round) {
    const auto region = MakeRegion(kRegionBytes);
    const auto attachment = MakeAttachment(*region);
    DmaMapping& mapping = attachment->mapping();
    std::atomic<uint64_t> reads{0};
    std::atomic<uint64_t> short_reads{0};
    std::thread nic([&] {
      bool landed = true;
      while (landed) {
        const struct iovec run = mapping.Iov(0, kRegionBytes);
        const uint64_t before = mapping.generation();
        if (::preadv(source.get(), &run, 1, 0) != ssize_t{kRegionBytes}) ++short_reads;
        landed = mapping.Landed(before);
        ++reads;
      }
    });
    while (reads.load() <= round) std::this_thread::yield();
    std::thread second_revoker([&mapping] { mapping.Revoke(); });
    mapping.Revoke();
    EXPECT_TRUE(mapping.revoked());
    second_revoker.join();
    nic.join();
    EXPECT_EQ(short_reads.load(), 0u);
    const auto view = RegionView::Map(*region);
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), view->bytes().begin()));
  }
}

TEST_F(DmaMappingDeathTest, ARangeThatEndsOutsideTheRegionStopsTheProgram) {
  const char* const message = "a DMA range lies outside its region";
  EXPECT_DEATH(mapping().Iov(0, kRegionBytes + 1), message);
  EXPECT_DEATH(mapping().Write(kRegionBytes, std::array<uint8_t, 1>{1}), message);
  EXPECT_DEATH(mapping().Checksum(kRegionBytes - 1, 2), message);
  std::array<uint8_t, 2> out = {};
  EXPECT_DEATH(mapping().CopyOut(kRegionBytes - 1, out), message);
  EXPECT_DEATH(mapping().Scrub(1, kRegionBytes), message);
}

TEST_F(DmaMappingDeathTest, ARangeWhoseEndWrapsAroundStopsTheProgram) {
  const char* const message = "a DMA range lies outside its region";
  EXPECT_DEATH(mapping().Iov(UINT64_MAX, 2), message);
  EXPECT_DEATH(mapping().Scrub(2, SIZE_MAX), message);
}

}  // namespace
}  // namespace devmem
