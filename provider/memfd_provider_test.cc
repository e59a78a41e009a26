// SPDX-License-Identifier: Apache-2.0
// What a memfd region is, what no holder of its handle can do to it, and which requests are refused
// in which words.
#include "provider/memfd_provider.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/allocate_checks.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

absl::Status Refusal(const AllocateOptions& options) {
  return MemfdProvider().Allocate(options).status();
}

TEST(MemfdProviderTest, ARegionHasWhatItsOptionsSay) {
  auto region = MemfdProvider().Allocate(
      {.bytes = 3 * kSmallPageBytes, .label = "weights", .policy = ImportPolicy::Only({"dm0"})});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->size_bytes(), 3 * kSmallPageBytes);
  EXPECT_EQ((*region)->page_bytes(), kSmallPageBytes);
  EXPECT_EQ((*region)->provider_name(), "memfd");
  EXPECT_EQ((*region)->label(), "weights");
  EXPECT_EQ((*region)->attachment_kind(), AttachmentKind::kPinned);
  EXPECT_EQ((*region)->policy().Describe(), "only dm0");
  EXPECT_EQ((*region)->Describe(), absl::StrCat("region ", (*region)->id(),
                                                " (memfd \"weights\", 12288 bytes, pages of 4096 "
                                                "bytes)"));
}

TEST(MemfdProviderTest, TheHandleIsAFileOfTheRegionsSizeAndName) {
  const auto region = MakeRegion(2 * kSmallPageBytes);
  struct stat file = {};
  ASSERT_EQ(::fstat(region->fd(), &file), 0);
  EXPECT_EQ(file.st_size, static_cast<off_t>(2 * kSmallPageBytes));
  std::array<char, 64> target = {};
  const std::string link = absl::StrCat("/proc/self/fd/", region->fd());
  ASSERT_GT(::readlink(link.c_str(), target.data(), target.size() - 1), 0);
  EXPECT_EQ(std::string(target.data()), "/memfd:test (deleted)");
}

TEST(MemfdProviderTest, TheHandleDoesNotReachAProgramThatIsExecuted) {
  const auto region = MakeRegion(kSmallPageBytes);
  EXPECT_EQ(::fcntl(region->fd(), F_GETFD), FD_CLOEXEC);
}

TEST(MemfdProviderTest, IdsAreSerialsThatNeverRepeat) {
  const auto first = MakeRegion(kSmallPageBytes);
  const uint32_t first_id = first->id();
  uint32_t second_id = 0;
  {
    const auto second = MakeRegion(kSmallPageBytes);
    second_id = second->id();
  }
  const auto third = MakeRegion(kSmallPageBytes);
  EXPECT_GT(first_id, 0u);
  EXPECT_EQ(second_id, first_id + 1);
  EXPECT_EQ(third->id(), first_id + 2);
}

TEST(MemfdProviderTest, ANewRegionIsAllZeroBytes) {
  const auto region = MakeRegion(2 * kSmallPageBytes);
  const auto view = RegionView::Map(*region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(std::count(view->bytes().begin(), view->bytes().end(), 0), 2 * 4096);
}

TEST(MemfdProviderTest, ARegionCannotShrink) {
  const auto region = MakeRegion(2 * kSmallPageBytes);
  EXPECT_EQ(::ftruncate(region->fd(), kSmallPageBytes), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(MemfdProviderTest, ARegionCannotGrow) {
  const auto region = MakeRegion(kSmallPageBytes);
  EXPECT_EQ(::ftruncate(region->fd(), 2 * kSmallPageBytes), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(MemfdProviderTest, AHolderOfTheHandleCannotAddASealAgainstWriting) {
  const auto region = MakeRegion(kSmallPageBytes);
  EXPECT_EQ(::fcntl(region->fd(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::fcntl(region->fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

TEST(MemfdProviderTest, ARegionOfNoBytesIsRefused) {
  const absl::Status refusal = Refusal({.bytes = 0});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(refusal.message()),
            "a memfd region of 0 bytes is refused: the size must be a positive multiple of the "
            "page size, 4096 bytes; ask for 4096");
}

TEST(MemfdProviderTest, ASizeBetweenPagesIsRefusedWithTheNextThatFits) {
  const absl::Status refusal = Refusal({.bytes = 4097});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(refusal.message()),
            "a memfd region of 4097 bytes is refused: the size must be a positive multiple of the "
            "page size, 4096 bytes; ask for 8192");
}

TEST(MemfdProviderTest, HugePagesAskForMultiplesOfTheirOwnSize) {
  const absl::Status refusal = Refusal({.bytes = kSmallPageBytes, .huge_pages = true});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(refusal.message()),
            "a memfd region of 4096 bytes is refused: the size must be a positive multiple of the "
            "page size, 2097152 bytes; ask for 2097152");
}

TEST(MemfdProviderTest, MoreThanTheLargestRegionIsRefused) {
  const absl::Status refusal = Refusal({.bytes = kRegionBytesMax + kSmallPageBytes});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(std::string(refusal.message()),
            "a memfd region of 1099511631872 bytes is refused: the most is 1099511627776 bytes; "
            "ask for less");
}

TEST(MemfdProviderTest, TheLargestNumberIsRefusedAndNotRounded) {
  EXPECT_EQ(Refusal({.bytes = UINT64_MAX}).code(), absl::StatusCode::kOutOfRange);
}

TEST(MemfdProviderTest, MoreThanTheMachineHasIsRefused) {
  const uint64_t bytes = MachineBytes() / kSmallPageBytes * kSmallPageBytes + kSmallPageBytes;
  if (bytes > kRegionBytesMax) GTEST_SKIP() << "this machine has more than the largest region";
  const absl::Status refusal = Refusal({.bytes = bytes});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(std::string(refusal.message()),
            absl::StrCat("a memfd region of ", bytes, " bytes is refused: this machine has ",
                         MachineBytes(), " bytes of memory; ask for less"));
}

TEST(MemfdProviderTest, TheLongestLabelIsTakenAndALongerOneRefused) {
  EXPECT_TRUE(Refusal({.bytes = kSmallPageBytes, .label = std::string(249, 'x')}).ok());
  const absl::Status refusal = Refusal({.bytes = kSmallPageBytes, .label = std::string(250, 'x')});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(refusal.message()),
            "a region's label of 250 bytes is refused: the most is 249 bytes; shorten it");
}

TEST(MemfdProviderTest, MemoryThatMayBeRevokedHasNoHandleAndIsMappedAllTheSame) {
  const auto region =
      MemfdProvider().Allocate({.bytes = kSmallPageBytes, .kind = AttachmentKind::kMayRevoke});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->attachment_kind(), AttachmentKind::kMayRevoke);
  EXPECT_EQ((*region)->fd(), -1);
  const absl::Status refusal = (*region)->ShareHandle().status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refusal.message(),
                                "it may be revoked, and a handle in another process could not be "
                                "taken back"))
      << refusal;
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  const auto attachment = MakeAttachment(**region);
  attachment->mapping().Write(0, std::array<uint8_t, 1>{5});
  EXPECT_EQ(view->bytes()[0], 5);
  (*region)->Revoke("a test");
  EXPECT_EQ(view->bytes()[0], 0);
}

TEST(MemfdProviderTest, HugePagesOnASystemWithoutAnyAreRefusedWithTheSettingThatMakesThem) {
  const HugePageStock stock;
  if (HugePageStock::Read("nr_hugepages") != 0)
    GTEST_SKIP() << "vm.nr_hugepages is not 0 on this system";
  const absl::Status refusal = Refusal({.bytes = 2 * kHugePageBytes, .huge_pages = true});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(refusal.message()),
            "a memfd region of 4194304 bytes needs 2 free huge pages of 2097152 bytes: "
            "nr_hugepages is 0 and 0 of them are free; as root run `sysctl vm.nr_hugepages=2`, or "
            "ask for small pages");
}

// Other programs use the system's huge pages too, so only the numbers that they cannot change
// count.
TEST(MemfdProviderTest, MoreHugePagesThanTheSystemHasAreRefused) {
  const HugePageStock stock;
  const uint64_t total = HugePageStock::Read("nr_hugepages");
  const uint64_t bytes = (total + 1) * kHugePageBytes;
  if (bytes > MachineBytes()) GTEST_SKIP() << "the machine's memory is all huge pages";
  const absl::Status refusal = Refusal({.bytes = bytes, .huge_pages = true});
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StartsWith(
      refusal.message(),
      absl::StrCat("a memfd region of ", bytes, " bytes needs ", total + 1,
                   " free huge pages of 2097152 bytes: nr_hugepages is ", total, " and ")))
      << refusal;
}

TEST(MemfdProviderTest, ARegionOfHugePagesIsAttachedInWholePages) {
  HugePageStock stock;
  if (!stock.Have(1)) {
    GTEST_SKIP() << "no free huge pages; set vm.nr_hugepages to 1 or more to run this test";
  }
  const auto region = MemfdProvider().Allocate({.bytes = kHugePageBytes, .huge_pages = true});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->page_bytes(), kHugePageBytes);
  EXPECT_GE(HugePageStock::Read("resv_hugepages"), 1u);  // Set aside before anything was mapped.
  struct stat file = {};
  ASSERT_EQ(::fstat((*region)->fd(), &file), 0);
  EXPECT_EQ(file.st_blksize, static_cast<blksize_t>(kHugePageBytes));
  const auto attachment = MakeAttachment(**region);
  EXPECT_EQ(attachment->page_bytes(), kHugePageBytes);
  EXPECT_TRUE(attachment->locked());
  attachment->mapping().Write(kHugePageBytes - 1, std::array<uint8_t, 1>{6});
  attachment->Revoke();
  attachment->mapping().Write(kHugePageBytes - 1, std::array<uint8_t, 1>{7});
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes()[kHugePageBytes - 1], 6);
}

}  // namespace
}  // namespace devmem
