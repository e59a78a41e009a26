// SPDX-License-Identifier: Apache-2.0
// The owner's look at a region.
#include "provider/region_view.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

// Memory that the CPU cannot see, as a GPU's without a window would be.
class InvisibleRegion final : public Region {
 public:
  InvisibleRegion()
      : Region({.provider_name = "invisible",
                .label = {},
                .size_bytes = kSmallPageBytes,
                .page_bytes = kSmallPageBytes,
                .fd = {}}) {}

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess) const override {
    return absl::FailedPreconditionError("this memory has no address on the CPU");
  }
};

TEST(RegionViewTest, TheOwnerSeesWhatTheNicWrote) {
  const auto region = MakeRegion(2 * kSmallPageBytes);
  const auto attachment = MakeAttachment(*region);
  const auto view = RegionView::Map(*region);
  ASSERT_TRUE(view.ok()) << view.status();
  ASSERT_EQ(view->bytes().size(), 2 * kSmallPageBytes);
  const std::array<uint8_t, 3> payload = {7, 8, 9};
  attachment->mapping().Write(kSmallPageBytes - 1, payload);
  EXPECT_EQ(view->bytes()[kSmallPageBytes - 2], 0);
  EXPECT_EQ(view->bytes()[kSmallPageBytes - 1], 7);
  EXPECT_EQ(view->bytes()[kSmallPageBytes], 8);
  EXPECT_EQ(view->bytes()[kSmallPageBytes + 1], 9);
  EXPECT_EQ(view->bytes()[kSmallPageBytes + 2], 0);
}

TEST(RegionViewTest, AViewOutlivesItsRegionAndItsOwnMove) {
  auto region = MakeRegion(kSmallPageBytes);
  const auto attachment = MakeAttachment(*region);
  auto mapped = RegionView::Map(*region);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  const RegionView view = *std::move(mapped);
  region.reset();
  attachment->mapping().Write(0, std::array<uint8_t, 1>{42});
  EXPECT_EQ(view.bytes()[0], 42);
}

TEST(RegionViewTest, MemoryWithoutACpuAddressIsRefusedInItsProvidersWords) {
  const absl::Status refusal = RegionView::Map(InvisibleRegion()).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(refusal.message()), "this memory has no address on the CPU");
}

TEST(RegionViewTest, ARegionWithoutALabelDescribesItselfWithoutQuotes) {
  const InvisibleRegion region;
  EXPECT_EQ(region.fd(), -1);
  EXPECT_EQ(region.Describe(), "region " + std::to_string(region.id()) +
                                   " (invisible, 4096 bytes, pages of 4096 bytes)");
}

}  // namespace
}  // namespace devmem
