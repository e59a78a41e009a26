// SPDX-License-Identifier: Apache-2.0
// dma-bufs over memfds: the driver's limits and refusals on a machine of the test's making, what
// the driver is told, and, where there is a driver, a real one.
#include "provider/udmabuf_provider.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <linux/udmabuf.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "provider/dma_mapping.h"
#include "provider/import_provider.h"
#include "provider/limits.h"
#include "provider/memfd_provider.h"
#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 8 * kSmallPageBytes;

void ExpectRefused(const absl::Status& refusal, absl::StatusCode code, absl::string_view words) {
  EXPECT_EQ(refusal.code(), code) << refusal;
  EXPECT_TRUE(absl::StrContains(refusal.message(), words)) << refusal;
}

// A machine whose driver hands out duplicates of the memfd itself, which the code takes for a
// dma-buf from then on.
class UdmabufTest : public ::testing::Test {
 protected:
  UdmabufTest() {
    machine_.Write("/dev/udmabuf", "");
    machine_.Link("/proc", "/proc");
    machine_.Write("/sys/module/udmabuf/parameters/size_limit_mb", "64\n");
    machine_.Write("/sys/module/udmabuf/parameters/list_limit", "1024\n");
    machine_.set_answer([this](int fd, unsigned long request, void* argument) {
      if (request == DMA_BUF_IOCTL_SYNC) return ++announcements_, 0;
      if (request != UDMABUF_CREATE || refuse_with_ != 0) {
        errno = refuse_with_ != 0 ? refuse_with_ : ENOTTY;
        return -1;
      }
      told_.push_back(*static_cast<struct udmabuf_create*>(argument));
      driver_ = fd;
      const int memfd = static_cast<int>(told_.back().memfd);
      seals_ = ::fcntl(memfd, F_GET_SEALS);
      return ::fcntl(memfd, F_DUPFD_CLOEXEC, 0);
    });
  }

  absl::StatusOr<std::unique_ptr<Region>> Allocate(uint64_t bytes = kBytes) {
    return UdmabufProvider(machine_).Allocate({.bytes = bytes, .label = "weights"});
  }

  TestMachine machine_;
  int refuse_with_ = 0;
  int driver_ = -1;
  int seals_ = 0;
  int announcements_ = 0;
  std::vector<struct udmabuf_create> told_;
};

TEST_F(UdmabufTest, TheDriverIsToldTheWholeSealedFile) {
  const auto region = Allocate();
  ASSERT_TRUE(region.ok()) << region.status();
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].offset, 0u);
  EXPECT_EQ(told_[0].size, kBytes);
  EXPECT_EQ(told_[0].flags, uint32_t{UDMABUF_FLAGS_CLOEXEC});
  EXPECT_NE(static_cast<int>(told_[0].memfd), (*region)->fd());
  EXPECT_NE(seals_ & F_SEAL_SHRINK, 0);
  EXPECT_EQ(seals_ & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE), 0);
  EXPECT_EQ((*region)->provider_name(), "udmabuf");
}

TEST_F(UdmabufTest, TheProcessorWritesThroughTheMemfdAndTheDmabufIsTold) {
  const auto region = Allocate();
  ASSERT_TRUE(region.ok()) << region.status();
  auto attachment = MakeAttachment(**region);
  EXPECT_TRUE(attachment->locked());
  EXPECT_EQ(announcements_, 1);
  attachment->mapping().Write(kBytes - 1, std::array<uint8_t, 1>{4});
  attachment.reset();
  EXPECT_EQ(announcements_, 2);
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes()[kBytes - 1], 4);
  EXPECT_EQ((*region)->FindResidence()->device_bytes, kBytes);
}

TEST_F(UdmabufTest, ProbeSaysTheDriversLimits) {
  const auto found = UdmabufProvider(machine_).Probe();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found,
            "/dev/udmabuf, at most 64 MiB a dma-buf (size_limit_mb) in 1024 pieces (list_limit)");
}

TEST_F(UdmabufTest, MoreThanTheDriversLimitIsRefusedWithTheLineThatRaisesIt) {
  machine_.Write("/sys/module/udmabuf/parameters/size_limit_mb", "1\n");
  EXPECT_TRUE(Allocate(uint64_t{1} << 20).ok());
  ExpectRefused(Allocate((uint64_t{1} << 20) + kSmallPageBytes).status(),
                absl::StatusCode::kOutOfRange,
                "makes at most 1 MiB; as root run `echo 2 > "
                "/sys/module/udmabuf/parameters/size_limit_mb`");
  ExpectRefused(Allocate(UINT64_MAX).status(), absl::StatusCode::kOutOfRange, "at most 1 MiB");
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(UdmabufTest, SizesOfNothingAndOfPartsOfPagesAreRefused) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, kBytes + 1}) {
    ExpectRefused(Allocate(bytes).status(), absl::StatusCode::kInvalidArgument, "a udmabuf region");
  }
}

TEST_F(UdmabufTest, AMissingDriverIsNamedWithItsModule) {
  const TestMachine empty;
  ExpectRefused(UdmabufProvider(empty).Probe().status(), absl::StatusCode::kUnavailable,
                "there is no /dev/udmabuf: the kernel's driver udmabuf is not loaded; as root run "
                "`modprobe udmabuf`");
  ExpectRefused(UdmabufProvider(empty).Allocate({.bytes = kBytes}).status(),
                absl::StatusCode::kUnavailable, "CONFIG_UDMABUF");
}

TEST_F(UdmabufTest, AForbiddenDriverIsAQuestionOfRights) {
  machine_.Forbid("/dev/udmabuf");
  ExpectRefused(UdmabufProvider(machine_).Probe().status(), absl::StatusCode::kPermissionDenied,
                "no right to open /dev/udmabuf");
}

TEST_F(UdmabufTest, WhatTheDriverRefusesIsSaidWithItsConditions) {
  refuse_with_ = EINVAL;
  ExpectRefused(Allocate().status(), absl::StatusCode::kFailedPrecondition,
                "this kernel's driver does not take the memory");
  refuse_with_ = ENOMEM;
  ExpectRefused(Allocate().status(), absl::StatusCode::kResourceExhausted,
                "making a dma-buf of 32768 bytes with /dev/udmabuf");
}

TEST_F(UdmabufTest, MemoryThatIsTakenAwayOrMovesIsRefused) {
  for (const AttachmentKind kind : {AttachmentKind::kMayRevoke, AttachmentKind::kMayMove}) {
    ExpectRefused(UdmabufProvider(machine_).Allocate({.bytes = kBytes, .kind = kind}).status(),
                  absl::StatusCode::kFailedPrecondition, "importers in the kernel keep");
  }
}

TEST_F(UdmabufTest, ExportingTheWholeGivesItsOwnDmabufAndAPartANewOne) {
  const auto region = Allocate();
  ASSERT_TRUE(region.ok()) << region.status();
  ASSERT_TRUE((*region)->ExportDmabuf(0, kBytes).ok());
  EXPECT_EQ(told_.size(), 1u);
  ASSERT_TRUE((*region)->ExportDmabuf(kSmallPageBytes, 2 * kSmallPageBytes).ok());
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].offset, kSmallPageBytes);
  EXPECT_EQ(told_[1].size, 2 * kSmallPageBytes);
}

TEST_F(UdmabufTest, AMemfdRegionIsExportedWhereItLiesInItsFile) {
  const auto region = MemfdProvider(machine_).Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  ASSERT_TRUE((*region)->ExportDmabuf(0, kBytes).ok());
  const auto part = ImportDmabuf({.fd = (*region)->fd(), .offset = 2 * kSmallPageBytes}, machine_);
  ASSERT_TRUE(part.ok()) << part.status();
  ASSERT_TRUE((*part)->ExportDmabuf(kSmallPageBytes, kSmallPageBytes).ok());
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].offset, 3 * kSmallPageBytes);
  EXPECT_EQ(told_[1].size, kSmallPageBytes);
}

TEST_F(UdmabufTest, ExportsOutsideOfTheRegionAreRefused) {
  const auto region = MemfdProvider(machine_).Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  const auto refuse = [&](uint64_t offset, uint64_t bytes, absl::StatusCode code) {
    ExpectRefused((*region)->ExportDmabuf(offset, bytes).status(), code, "is refused");
  };
  refuse(0, kBytes + kSmallPageBytes, absl::StatusCode::kOutOfRange);
  refuse(kBytes + kSmallPageBytes, kSmallPageBytes, absl::StatusCode::kOutOfRange);
  refuse(UINT64_MAX - kSmallPageBytes + 1, 2 * kSmallPageBytes, absl::StatusCode::kOutOfRange);
  refuse(0, 0, absl::StatusCode::kInvalidArgument);
  refuse(100, kSmallPageBytes, absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(told_.empty());
}

TEST_F(UdmabufTest, ARevocableOrRevokedRegionIsNotExported) {
  const auto revocable =
      MemfdProvider(machine_).Allocate({.bytes = kBytes, .kind = AttachmentKind::kMayRevoke});
  ASSERT_TRUE(revocable.ok()) << revocable.status();
  ExpectRefused((*revocable)->ExportDmabuf(0, kBytes).status(),
                absl::StatusCode::kFailedPrecondition, "it may be revoked");
  const auto revoked = MemfdProvider(machine_).Allocate({.bytes = kBytes});
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  (*revoked)->Revoke("a test");
  ExpectRefused((*revoked)->ExportDmabuf(0, kBytes).status(), absl::StatusCode::kAborted, "a test");
}

TEST(UdmabufDriverTest, ARealDmabufIsImportedAgainAndShowsTheSameBytes) {
  UdmabufProvider provider;
  const auto found = provider.Probe();
  if (!found.ok()) GTEST_SKIP() << found.status().message();
  const auto region = provider.Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ(SystemCalls::OfThisMachine().FileSystemOf((*region)->fd()), uint64_t{DMA_BUF_MAGIC});
  const auto attachment = MakeAttachment(**region);
  attachment->mapping().Write(kBytes - 1, std::array<uint8_t, 1>{4});
  const auto imported = ImportDmabuf({.fd = (*region)->fd(), .offset = kSmallPageBytes});
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ((*imported)->size_bytes(), kBytes - kSmallPageBytes);
  const auto view = RegionView::Map(**imported);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes().back(), 4);
  MakeAttachment(**imported)->mapping().Write(0, std::array<uint8_t, 1>{5});
  const auto look = RegionView::Map(**region);
  ASSERT_TRUE(look.ok()) << look.status();
  EXPECT_EQ(look->bytes()[kSmallPageBytes], 5);
}

}  // namespace
}  // namespace devmem
