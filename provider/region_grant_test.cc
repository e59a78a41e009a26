// SPDX-License-Identifier: Apache-2.0
// Regions that are parts of one: where they lie, who may use them, and who ends with whom.
#include "provider/region_grant.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "provider/dma_mapping.h"
#include "provider/region_view.h"
#include "provider/test_region.h"
#include "provider/user_mapping.h"

namespace devmem {
namespace {

constexpr uint64_t kPage = kSmallPageBytes;

class RegionGrantTest : public testing::Test {
 protected:
  RegionGrantTest() : whole_(MakeRegion(64 * kPage)) {}

  RegionGrant MakeGrant(uint64_t offset = 16 * kPage, uint64_t bytes = 16 * kPage) {
    auto grant = RegionGrant::Create(whole_, offset, bytes);
    EXPECT_TRUE(grant.ok()) << grant.status();
    return *std::move(grant);
  }
  static std::unique_ptr<Region> MakePart(RegionGrant& grant, uint64_t bytes) {
    auto part = grant.Allocate({.bytes = bytes, .label = "part"});
    EXPECT_TRUE(part.ok()) << part.status();
    return part.ok() ? *std::move(part) : nullptr;
  }

  std::shared_ptr<Region> whole_;
};

TEST_F(RegionGrantTest, WhatIsReceivedIntoAPartLiesAtItsPlaceInTheWhole) {
  RegionGrant grant = MakeGrant();
  const auto first = MakePart(grant, 2 * kPage);
  const auto second = MakePart(grant, 4 * kPage);
  EXPECT_NE(first->id(), second->id());
  const auto attachment = MakeAttachment(*second);
  ASSERT_NE(attachment, nullptr);
  EXPECT_EQ(attachment->size_bytes(), 4 * kPage);
  attachment->mapping().Write(3, std::vector<uint8_t>(kPage, 42));
  const auto view = RegionView::Map(*whole_);
  EXPECT_EQ(view->bytes()[18 * kPage + 2], 0);
  EXPECT_EQ(view->bytes()[18 * kPage + 3], 42);
  const std::vector<PartInfo> parts = grant.ListParts();
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[1].region_id, second->id());
  EXPECT_EQ(parts[1].offset, 18 * kPage);
}

TEST_F(RegionGrantTest, APieceIsFreeAgainWhenTheLastUserOfItsPartHasGone) {
  RegionGrant grant = MakeGrant();
  auto part = MakePart(grant, 16 * kPage);
  auto attachment = MakeAttachment(*part);
  auto mapping = UserMapping::Map(*part, 0, kPage, MapAccess::kReadWrite);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  part.reset();
  EXPECT_EQ(grant.free_bytes(), 0u);
  attachment.reset();
  EXPECT_EQ(grant.free_bytes(), 0u);
  mapping = absl::CancelledError();
  EXPECT_EQ(grant.free_bytes(), 16 * kPage);
  EXPECT_TRUE(grant.ListParts().empty());
}

TEST_F(RegionGrantTest, APartNeverShowsWhatAnEarlierOneLeft) {
  RegionGrant grant = MakeGrant();
  {
    const auto part = MakePart(grant, 8 * kPage);
    const auto attachment = MakeAttachment(*part);
    attachment->mapping().Write(0, std::vector<uint8_t>(8 * kPage, 42));
  }
  const auto part = MakePart(grant, 16 * kPage);
  const auto view = RegionView::Map(*part);
  for (const uint8_t byte : view->bytes()) ASSERT_EQ(byte, 0);
}

TEST_F(RegionGrantTest, ARevokeOfTheWholeRevokesEveryPartAndARevokeOfAPartNobodyElse) {
  RegionGrant grant = MakeGrant();
  const auto first = MakePart(grant, 2 * kPage);
  const auto second = MakePart(grant, 2 * kPage);
  const auto attachment = MakeAttachment(*second);
  first->Revoke("the test wants it");
  EXPECT_TRUE(absl::IsAborted(first->status()));
  EXPECT_TRUE(second->status().ok());
  EXPECT_TRUE(whole_->status().ok());
  whole_->Revoke("the test wants it");
  EXPECT_TRUE(absl::IsAborted(second->status()));
  EXPECT_TRUE(attachment->revoked());
  attachment->mapping().Write(0, std::vector<uint8_t>(kPage, 42));
  EXPECT_TRUE(absl::IsAborted(grant.Allocate({.bytes = kPage}).status()));
  EXPECT_EQ(grant.ListParts().size(), 2u) << "they are revoked, and still there";
}

TEST_F(RegionGrantTest, ARemovalOfTheWholeTellsItsPartsAndWaitsForThem) {
  RegionGrant grant = MakeGrant();
  auto part = MakePart(grant, 2 * kPage);
  whole_->BeginRemoval("the test wants it");
  EXPECT_TRUE(absl::IsFailedPrecondition(part->status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Attachment::Create(*part, {.name = "dm0"}).status()));
  EXPECT_FALSE(whole_->life()->WaitForUsers(std::chrono::nanoseconds(0)));
  part.reset();
  EXPECT_TRUE(whole_->life()->WaitForUsers(std::chrono::nanoseconds(0)));
}

TEST_F(RegionGrantTest, ThePartsKeepTheWholeWhenItsOwnerHasGone) {
  std::unique_ptr<Region> part;
  {
    RegionGrant grant = MakeGrant();
    part = MakePart(grant, 2 * kPage);
    whole_.reset();
  }
  const auto attachment = MakeAttachment(*part);
  ASSERT_NE(attachment, nullptr);
  attachment->mapping().Write(0, std::vector<uint8_t>(kPage, 42));
  EXPECT_EQ(RegionView::Map(*part)->bytes()[0], 42);
}

TEST_F(RegionGrantTest, APartHasAPolicyAndAChargeOfItsOwnAndNoHandle) {
  RegionGrant grant = MakeGrant();
  const auto quota = Quota::Create({.pinned_bytes = 4 * kPage});
  auto part = grant.Allocate({.bytes = 4 * kPage,
                              .label = "ann's",
                              .policy = ImportPolicy::Only({"dm7"}),
                              .quota = quota,
                              .quota_user = "ann"});
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_TRUE(absl::IsPermissionDenied(Attachment::Create(**part, {.name = "dm0"}).status()));
  EXPECT_TRUE(Attachment::Create(**part, {.name = "dm7"}).ok());
  const absl::Status shared = (*part)->ShareHandle().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(shared));
  EXPECT_NE(shared.message().find("whose handle is one to all of it"), std::string::npos);
  const absl::Status beyond =
      grant.Allocate({.bytes = kPage, .quota = quota, .quota_user = "ann"}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(beyond));
  part->reset();
  EXPECT_EQ(quota->UsageOf("ann").pinned_bytes, 0u);
}

TEST_F(RegionGrantTest, WhatDoesNotFitIsRefusedAndGivesItsPieceBack) {
  EXPECT_TRUE(absl::IsOutOfRange(RegionGrant::Create(whole_, kPage, 64 * kPage).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(RegionGrant::Create(whole_, 1, kPage).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(RegionGrant::Create(whole_, 0, 0).status()));
  RegionGrant grant = MakeGrant();
  EXPECT_TRUE(absl::IsInvalidArgument(grant.Allocate({.bytes = 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(grant.Allocate({.bytes = 1}).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(grant.Allocate({.bytes = 17 * kPage}).status()));
  whole_->Revoke("the test wants it");
  EXPECT_TRUE(absl::IsAborted(grant.Allocate({.bytes = kPage}).status()));
  EXPECT_EQ(grant.free_bytes(), 16 * kPage);
}

}  // namespace
}  // namespace devmem
