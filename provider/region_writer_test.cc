// SPDX-License-Identifier: Apache-2.0
// Writing into a region without a NIC: what the owner sees afterwards, and what revocation does.
#include "provider/region_writer.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr uint64_t kRegionBytes = 4 * kSmallPageBytes;
constexpr std::array<uint8_t, 3> kBytes = {7, 8, 9};

TEST(RegionWriterTest, BytesLandAtTheirOffsetAndNowhereElse) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  const auto view = RegionView::Map(*region);
  ASSERT_TRUE(view.ok()) << view.status();
  RegionWriter writer = *RegionWriter::Create(*region, *attachment);
  ASSERT_TRUE(writer.Write(kRegionBytes - kBytes.size(), kBytes));
  for (uint64_t i = 0; i < kRegionBytes; ++i) {
    const uint64_t from_end = kRegionBytes - i;
    const uint8_t expected = from_end <= kBytes.size() ? kBytes[kBytes.size() - from_end] : 0;
    ASSERT_EQ(view->bytes()[i], expected) << "at " << i;
  }
}

TEST(RegionWriterTest, AWriteAfterRevocationSaysSoAndTheRegionKeepsItsBytes) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  const auto view = RegionView::Map(*region);
  ASSERT_TRUE(view.ok()) << view.status();
  RegionWriter writer = *RegionWriter::Create(*region, *attachment);
  attachment->Revoke();
  EXPECT_FALSE(writer.Write(0, kBytes));
  EXPECT_EQ(view->bytes()[0], 0);
}

TEST(RegionWriterDeathTest, AWriteBeyondTheRegionStopsTheProgram) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  RegionWriter writer = *RegionWriter::Create(*region, *attachment);
  EXPECT_DEATH((void)writer.Write(kRegionBytes - 2, kBytes), "a DMA range lies outside its region");
}

}  // namespace
}  // namespace devmem
