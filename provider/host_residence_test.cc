// SPDX-License-Identifier: Apache-2.0
// Where the bytes of regions in host memory are: present pages are counted, absent ones stay
// absent, and huge pages count whole.
#include "provider/host_residence.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

#include "absl/strings/match.h"
#include "provider/dma_mapping.h"
#include "provider/hugetlb_provider.h"
#include "provider/import_provider.h"
#include "provider/limits.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

TEST(HostResidenceTest, ANewRegionIsNowhereAndAskingLeavesItSo) {
  const auto region = MakeRegion(64 * kSmallPageBytes);
  for (int times = 0; times < 2; ++times) {
    const auto residence = region->FindResidence();
    ASSERT_TRUE(residence.ok()) << residence.status();
    EXPECT_EQ(residence->device_bytes, 0u);
    EXPECT_EQ(residence->host_bytes, 0u);
    EXPECT_EQ(residence->absent_bytes, 64 * kSmallPageBytes);
    EXPECT_EQ(residence->where, "host memory");
  }
}

TEST(HostResidenceTest, WrittenPagesAreCountedOneByOneOnTheirNode) {
  // Longer than what the kernel is asked at once.
  const uint64_t bytes = 9 * kHugePageBytes + 3 * kSmallPageBytes;
  const auto region = MakeRegion(bytes);
  const uint8_t one = 1;
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{kSmallPageBytes}, 8 * kHugePageBytes, bytes - kSmallPageBytes}) {
    ASSERT_EQ(::pwrite(region->fd(), &one, 1, static_cast<off_t>(offset)), 1);
  }
  const auto residence = region->FindResidence();
  ASSERT_TRUE(residence.ok()) << residence.status();
  EXPECT_EQ(residence->device_bytes, 4 * kSmallPageBytes);
  EXPECT_EQ(residence->absent_bytes, bytes - 4 * kSmallPageBytes);
  EXPECT_TRUE(absl::StartsWith(residence->where, "host memory, NUMA node")) << residence->where;
}

TEST(HostResidenceTest, AnAttachedRegionIsPresentAsAWhole) {
  const auto region = MakeRegion(16 * kSmallPageBytes);
  const auto attachment = MakeAttachment(*region);
  const auto residence = region->FindResidence();
  ASSERT_TRUE(residence.ok()) << residence.status();
  EXPECT_EQ(residence->device_bytes, region->size_bytes());
  EXPECT_EQ(residence->absent_bytes, 0u);
}

TEST(HostResidenceTest, AnImportedPartIsCountedFromItsOffset) {
  const auto exported = MakeRegion(4 * kSmallPageBytes);
  const uint8_t one = 1;
  ASSERT_EQ(::pwrite(exported->fd(), &one, 1, 0), 1);
  const auto part = ImportDmabuf({.fd = exported->fd(), .offset = kSmallPageBytes});
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ((*part)->FindResidence()->device_bytes, 0u);
  EXPECT_EQ((*part)->FindResidence()->absent_bytes, 3 * kSmallPageBytes);
}

TEST(HostResidenceTest, HugePagesCountWhole) {
  HugePageStock stock;
  if (!stock.Have(2)) GTEST_SKIP() << "no free huge pages, and no right to make them";
  const auto region = HugetlbProvider().Allocate({.bytes = 2 * kHugePageBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->FindResidence()->absent_bytes, 2 * kHugePageBytes);
  const auto attachment = MakeAttachment(**region);
  const auto residence = (*region)->FindResidence();
  ASSERT_TRUE(residence.ok()) << residence.status();
  EXPECT_EQ(residence->device_bytes, 2 * kHugePageBytes);
  EXPECT_TRUE(absl::StartsWith(residence->where, "host memory, NUMA node")) << residence->where;
}

}  // namespace
}  // namespace devmem
