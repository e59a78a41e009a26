// SPDX-License-Identifier: Apache-2.0
// Regions of huge pages: what the provider finds on machines of the test's making, and on this one,
// where pages can be had, what a region is.
#include "provider/hugetlb_provider.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/dma_mapping.h"
#include "provider/huge_pages.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr char kFolder[] = "/sys/kernel/mm/hugepages/hugepages-";

void SetPages(TestMachine& machine, const std::string& size, int total, int free, int reserved) {
  machine.Write(kFolder + size + "/nr_hugepages", absl::StrCat(total, "\n"));
  machine.Write(kFolder + size + "/free_hugepages", absl::StrCat(free, "\n"));
  machine.Write(kFolder + size + "/resv_hugepages", absl::StrCat(reserved, "\n"));
}

TEST(HugetlbProviderTest, AKernelWithoutHugePagesIsUnavailable) {
  const TestMachine machine;
  const absl::Status missing = HugetlbProvider(machine).Probe().status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(std::string(missing.message()),
            "this kernel has no huge pages: there is no /sys/kernel/mm/hugepages; it needs "
            "CONFIG_HUGETLBFS and a processor that has such pages");
}

TEST(HugetlbProviderTest, AnEmptyStockIsASettingWithTheLineThatMendsIt) {
  TestMachine machine;
  SetPages(machine, "2048kB", 4, 3, 3);
  SetPages(machine, "1048576kB", 0, 0, 0);
  const absl::Status missing = HugetlbProvider(machine).Probe().status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(missing.message()),
            "0 of 4 pages of 2 MiB and 0 of 0 pages of 1 GiB are free; as root run `sysctl "
            "vm.nr_hugepages=36` for 64 MiB more");
}

TEST(HugetlbProviderTest, FreePagesAreCountedWithoutThoseThatAreSetAside) {
  TestMachine machine;
  SetPages(machine, "2048kB", 8, 5, 2);
  const auto found = HugetlbProvider(machine).Probe();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, "3 of 8 pages of 2 MiB and 0 of 0 pages of 1 GiB are free");
}

TEST(HugetlbProviderTest, PagesOfAnotherSizeAreRefusedWithTheSizesThatThereAre) {
  const absl::Status refusal =
      HugetlbProvider().Allocate({.bytes = kHugePageBytes, .device = "16MiB"}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(refusal.message()),
            "hugetlb has no device \"16MiB\": pages are of 2MiB or of 1GiB");
}

TEST(HugetlbProviderTest, SizesAreMultiplesOfThePage) {
  const absl::Status half = HugetlbProvider().Allocate({.bytes = kHugePageBytes / 2}).status();
  EXPECT_EQ(half.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(half.message(), "ask for 2097152")) << half;
  const absl::Status none = HugetlbProvider().Allocate({.bytes = 0}).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kInvalidArgument);
  const absl::Status giant =
      HugetlbProvider().Allocate({.bytes = kHugePageBytes, .device = "1GiB"}).status();
  EXPECT_EQ(giant.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(giant.message(), "ask for 1073741824")) << giant;
}

TEST(HugetlbProviderTest, MovableMemoryIsRefused) {
  const absl::Status refusal =
      HugetlbProvider()
          .Allocate({.bytes = kHugePageBytes, .kind = AttachmentKind::kMayMove})
          .status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(refusal.message()),
            "a hugetlb region cannot be memory that may move: huge pages stay where the kernel "
            "made them; ask for AttachmentKind::kPinned, or another provider");
}

TEST(HugetlbProviderTest, GiantPagesThatAreNotThereAreRefusedWithTheFileThatMakesThem) {
  if (CountHugePages(SystemCalls::OfThisMachine(), kGiantPageBytes).free != 0) {
    GTEST_SKIP() << "this machine has giant pages";
  }
  const absl::Status refusal =
      HugetlbProvider().Allocate({.bytes = kGiantPageBytes, .device = "1GiB"}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(refusal.message(),
                                "hugepages-1048576kB/nr_hugepages`, or ask for small pages"))
      << refusal;
}

TEST(HugetlbProviderTest, ARegionIsSealedSetAsideAndOfHugePages) {
  HugePageStock stock;
  if (!stock.Have(2)) GTEST_SKIP() << "no free huge pages, and no right to make them";
  const uint64_t free_before = HugePageStock::Free();
  auto region = HugetlbProvider().Allocate({.bytes = 2 * kHugePageBytes, .label = "weights"});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ(HugePageStock::Free(), free_before - 2);
  EXPECT_EQ((*region)->provider_name(), "hugetlb");
  EXPECT_EQ((*region)->page_bytes(), kHugePageBytes);
  EXPECT_EQ(::fcntl((*region)->fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  region->reset();
  EXPECT_EQ(HugePageStock::Free(), free_before);
}

TEST(HugetlbProviderTest, ARevocableRegionIsLocalAndEndsAtOnce) {
  HugePageStock stock;
  if (!stock.Have(1)) GTEST_SKIP() << "no free huge pages, and no right to make them";
  const auto region =
      HugetlbProvider().Allocate({.bytes = kHugePageBytes, .kind = AttachmentKind::kMayRevoke});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->fd(), -1);
  const auto attachment = MakeAttachment(**region);
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  attachment->mapping().Write(kHugePageBytes - 1, std::array<uint8_t, 1>{8});
  EXPECT_EQ(view->bytes()[kHugePageBytes - 1], 8);
  (*region)->Revoke("a test");
  EXPECT_TRUE(attachment->revoked());
  EXPECT_EQ(view->bytes()[kHugePageBytes - 1], 0);
}

}  // namespace
}  // namespace devmem
