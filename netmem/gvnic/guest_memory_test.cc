// SPDX-License-Identifier: Apache-2.0
//
// Guest memory out of memfds, as QEMU shares it: what is refused, and that no lookup hands out a
// byte that is not mapped.

#include "netmem/gvnic/guest_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "provider/unique_fd.h"

namespace devmem {
namespace {

constexpr uint64_t kPage = 4096;

UniqueFd MakeFile(uint64_t bytes) {
  UniqueFd fd(::memfd_create("guest", MFD_CLOEXEC));
  EXPECT_TRUE(fd.valid());
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  return fd;
}

class GuestMemoryTest : public testing::Test {
 protected:
  absl::StatusCode Map(uint64_t address, uint64_t bytes, bool writable = true) {
    return memory_.Map(address, bytes, file_.get(), 0, writable).code();
  }

  UniqueFd file_ = MakeFile(8 * kPage);
  GuestMemory memory_;
};

TEST_F(GuestMemoryTest, WhatIsWrittenIsInTheFileAtItsOffset) {
  ASSERT_TRUE(memory_.Map(0x100000, 2 * kPage, file_.get(), kPage, true).ok());
  *memory_.Write(0x100000 + 5, 1) = 42;
  uint8_t byte = 0;
  ASSERT_EQ(::pread(file_.get(), &byte, 1, static_cast<off_t>(kPage + 5)), 1);
  EXPECT_EQ(byte, 42);
  EXPECT_EQ(*memory_.Read(0x100000 + 5, 1), 42);
  EXPECT_EQ(memory_.mapped_bytes(), 2 * kPage);
}

TEST_F(GuestMemoryTest, TheMappingOutlivesTheDescriptor) {
  ASSERT_EQ(Map(0, kPage), absl::StatusCode::kOk);
  file_.Reset();
  *memory_.Write(0, 1) = 7;
  EXPECT_EQ(*memory_.Read(0, 1), 7);
}

TEST_F(GuestMemoryTest, NoByteOutsideARangeIsFound) {
  ASSERT_EQ(Map(0x10000, 2 * kPage), absl::StatusCode::kOk);
  EXPECT_NE(memory_.Read(0x10000, 2 * kPage), nullptr);
  EXPECT_NE(memory_.Read(0x10000 + 2 * kPage - 1, 1), nullptr);
  EXPECT_EQ(memory_.Read(0x10000 - 1, 1), nullptr);
  EXPECT_EQ(memory_.Read(0x10000 - 1, 2), nullptr);
  EXPECT_EQ(memory_.Read(0x10000 + 2 * kPage, 1), nullptr);
  EXPECT_EQ(memory_.Read(0x10000 + 2 * kPage - 1, 2), nullptr);
  EXPECT_EQ(memory_.Read(0x10000, 2 * kPage + 1), nullptr);
  EXPECT_EQ(memory_.Read(0x10000, 0), nullptr);
  EXPECT_EQ(memory_.Read(0x10000 + 1, UINT64_MAX), nullptr);
  EXPECT_EQ(memory_.Read(UINT64_MAX, UINT64_MAX), nullptr);
}

TEST_F(GuestMemoryTest, NoLookupCrossesFromOneRangeToItsNeighbour) {
  ASSERT_EQ(Map(0, kPage), absl::StatusCode::kOk);
  ASSERT_EQ(Map(kPage, kPage), absl::StatusCode::kOk);
  EXPECT_NE(memory_.Read(kPage - 1, 1), nullptr);
  EXPECT_NE(memory_.Read(kPage, 1), nullptr);
  EXPECT_EQ(memory_.Read(kPage - 1, 2), nullptr);
}

TEST_F(GuestMemoryTest, ARangeThatMayOnlyBeReadIsNotWritten) {
  ASSERT_EQ(Map(0, kPage, false), absl::StatusCode::kOk);
  EXPECT_NE(memory_.Read(0, kPage), nullptr);
  EXPECT_EQ(memory_.Write(0, kPage), nullptr);
}

TEST_F(GuestMemoryTest, ARangeWithoutDescriptorIsRememberedAndNeverTouched) {
  ASSERT_TRUE(memory_.Map(0, kPage, -1, 0, true).ok());
  EXPECT_EQ(memory_.Read(0, 1), nullptr);
  EXPECT_EQ(memory_.Read(0, 1), nullptr);
  EXPECT_EQ(memory_.Write(0, 1), nullptr);
  EXPECT_EQ(memory_.mapped_bytes(), 0u);
  EXPECT_EQ(Map(0, kPage), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(memory_.Unmap(0, kPage).ok());
  EXPECT_EQ(Map(0, kPage), absl::StatusCode::kOk);
}

TEST_F(GuestMemoryTest, RangesThatShareAByteAreRefused) {
  ASSERT_EQ(Map(4 * kPage, 2 * kPage), absl::StatusCode::kOk);
  EXPECT_EQ(Map(3 * kPage, 2 * kPage), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Map(5 * kPage, kPage), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Map(5 * kPage, 2 * kPage), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Map(3 * kPage, 4 * kPage), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Map(3 * kPage, kPage), absl::StatusCode::kOk);
  EXPECT_EQ(Map(6 * kPage, kPage), absl::StatusCode::kOk);
  EXPECT_EQ(memory_.range_count(), 3u);
}

TEST_F(GuestMemoryTest, NoBytesAndWrappingAddressesAreRefused) {
  EXPECT_EQ(Map(0, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Map(UINT64_MAX - kPage + 2, kPage), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Map(UINT64_MAX, UINT64_MAX), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Map(UINT64_MAX - kPage + 1, kPage), absl::StatusCode::kOk);
  EXPECT_NE(memory_.Read(UINT64_MAX, 1), nullptr);
}

TEST_F(GuestMemoryTest, ARangeBehindTheEndOfItsFileIsRefused) {
  EXPECT_EQ(Map(0, 9 * kPage), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(memory_.Map(0, kPage, file_.get(), 8 * kPage, true).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(memory_.Map(0, kPage, file_.get(), 1, true).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(memory_.Map(0, kPage, file_.get(), UINT64_MAX - kPage + 1, true).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(memory_.range_count(), 0u);
}

TEST_F(GuestMemoryTest, OnlyAWholeRangeIsUnmapped) {
  ASSERT_EQ(Map(0, 2 * kPage), absl::StatusCode::kOk);
  EXPECT_EQ(memory_.Unmap(0, kPage).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(memory_.Unmap(kPage, kPage).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(memory_.Unmap(8 * kPage, kPage).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(memory_.Unmap(0, 2 * kPage).ok());
  EXPECT_EQ(memory_.Read(0, 1), nullptr);
}

TEST_F(GuestMemoryTest, NothingIsFoundAfterEverythingIsUnmapped) {
  ASSERT_EQ(Map(0, kPage), absl::StatusCode::kOk);
  ASSERT_EQ(Map(kPage, kPage), absl::StatusCode::kOk);
  ASSERT_NE(memory_.Read(kPage, 1), nullptr);
  memory_.UnmapAll();
  EXPECT_EQ(memory_.Read(0, 1), nullptr);
  EXPECT_EQ(memory_.Read(kPage, 1), nullptr);
}

TEST_F(GuestMemoryTest, TheNumberOfRangesIsBounded) {
  for (uint64_t i = 0; i < kGuestRangesMax; ++i) {
    ASSERT_TRUE(memory_.Map(2 * i * kPage, kPage, -1, 0, true).ok());
  }
  EXPECT_EQ(Map(1 << 30, kPage), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace devmem
