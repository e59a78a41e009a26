// SPDX-License-Identifier: Apache-2.0
// Device memory in the application's address space: which bytes of which region lie behind an
// address, what is refused and where, and how mappings and guards live with moves and revokes.
#include "provider/user_mapping.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr uint64_t kPage = kSmallPageBytes;

uint8_t* BytesOf(const UserMapping& mapping) { return static_cast<uint8_t*>(mapping.address()); }

UserMapping MapOrDie(const Region& region, uint64_t offset, uint64_t bytes, void* at = nullptr) {
  auto mapping = UserMapping::Map(region, offset, bytes, MapAccess::kReadWrite, at);
  EXPECT_TRUE(mapping.ok()) << mapping.status();
  return *std::move(mapping);
}

std::vector<UserRangePiece> PiecesOf(const UserRangeGuard& guard) {
  std::vector<UserRangePiece> pieces;
  for (size_t n = 0; n < guard.piece_count(); ++n) pieces.push_back(guard.piece(n));
  return pieces;
}

// Address space that belongs to nobody else, for mappings that are neighbours.
class Window {
 public:
  explicit Window(uint64_t pages)
      : bytes_(pages * kPage),
        begin_(static_cast<uint8_t*>(::mmap(nullptr, bytes_, PROT_NONE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~Window() { ::munmap(begin_, bytes_); }
  uint8_t* page(uint64_t index) const { return begin_ + index * kPage; }

 private:
  const uint64_t bytes_;
  uint8_t* const begin_;
};

TEST(UserMappingTest, AnAddressIsTheSameByteOfTheRegion) {
  const auto region = MakeRegion(8 * kPage);
  const UserMapping mapping = MapOrDie(*region, 2 * kPage, 4 * kPage);
  EXPECT_EQ(mapping.bytes(), 4 * kPage);
  BytesOf(mapping)[kPage + 5] = 77;
  const auto view = RegionView::Map(*region);
  EXPECT_EQ(view->bytes()[3 * kPage + 5], 77);
  const auto guard = TranslateUserRange(BytesOf(mapping) + kPage + 5, 2 * kPage);
  ASSERT_TRUE(guard.ok()) << guard.status();
  EXPECT_TRUE(guard->valid());
  EXPECT_EQ(PiecesOf(*guard),
            (std::vector<UserRangePiece>{{region->id(), 3 * kPage + 5, 2 * kPage}}));
}

TEST(UserMappingTest, ARangeMayRunOverManyNeighbouringMappings) {
  const Window window(12);
  std::vector<std::unique_ptr<Region>> regions;
  std::vector<UserMapping> mappings;
  for (uint64_t n = 0; n < 6; ++n) {
    regions.push_back(MakeRegion(4 * kPage));
    mappings.push_back(MapOrDie(*regions[n], kPage, 2 * kPage, window.page(2 * n)));
  }
  const auto guard = TranslateUserRange(window.page(0) + 1, 12 * kPage - 2);
  ASSERT_TRUE(guard.ok()) << guard.status();
  std::vector<UserRangePiece> expected;
  for (const auto& region : regions) expected.push_back({region->id(), kPage, 2 * kPage});
  expected.front().offset += 1;
  expected.front().bytes -= 1;
  expected.back().bytes -= 1;
  EXPECT_EQ(PiecesOf(*guard), expected);
}

TEST(UserMappingTest, TheFirstBadAddressIsNamedExactly) {
  const Window window(6);
  const auto region = MakeRegion(8 * kPage);
  const UserMapping low = MapOrDie(*region, 0, 2 * kPage, window.page(1));
  const UserMapping high = MapOrDie(*region, 2 * kPage, kPage, window.page(4));
  const auto refusal = [](const uint8_t* address, uint64_t bytes) {
    return TranslateUserRange(address, bytes).status();
  };
  const auto names = [](const absl::Status& status, const uint8_t* address) {
    return absl::IsNotFound(status) &&
           status.message().find(absl::StrCat("0x", absl::Hex(reinterpret_cast<uintptr_t>(address)),
                                              " is no device memory")) != std::string::npos;
  };
  const uint8_t on_the_stack = 0;
  EXPECT_TRUE(names(refusal(&on_the_stack, 1), &on_the_stack)) << "foreign memory";
  EXPECT_TRUE(names(refusal(window.page(0), 2 * kPage), window.page(0))) << "a hole in front";
  EXPECT_TRUE(names(refusal(window.page(1), 4 * kPage), window.page(3))) << "a hole inside";
  EXPECT_TRUE(names(refusal(window.page(4) + 9, kPage), window.page(5))) << "a hole behind";
  EXPECT_TRUE(absl::IsInvalidArgument(refusal(window.page(1), 0)));
  EXPECT_TRUE(absl::IsOutOfRange(refusal(window.page(1), UINT64_MAX)));
  EXPECT_TRUE(refusal(window.page(1), 2 * kPage).ok());
  EXPECT_TRUE(refusal(window.page(4) + kPage - 1, 1).ok());
  EXPECT_EQ(region->life()->pin_count(), 0u) << "what is refused pins nothing";
}

TEST(UserMappingTest, BadRangesOfARegionAreRefused) {
  const auto region = MakeRegion(4 * kPage);
  const auto code = [&region](uint64_t offset, uint64_t bytes) {
    return UserMapping::Map(*region, offset, bytes, MapAccess::kReadWrite).status().code();
  };
  EXPECT_EQ(code(0, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(1, kPage), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0, kPage + 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4 * kPage, kPage), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(kPage, UINT64_MAX), absl::StatusCode::kOutOfRange);
  const UserMapping mapping = MapOrDie(*region, 0, 2 * kPage);
  EXPECT_EQ(UserMapping::Map(*region, 0, kPage, MapAccess::kReadOnly, BytesOf(mapping) + kPage)
                .status()
                .code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(UserMappingTest, TranslatingTouchesNoPage) {
  const auto region = MakeRegion(64 * kPage);
  const UserMapping mapping = MapOrDie(*region, 0, 64 * kPage);
  ASSERT_EQ(::mprotect(mapping.address(), mapping.bytes(), PROT_NONE), 0);
  EXPECT_TRUE(TranslateUserRange(mapping.address(), mapping.bytes()).ok());
  std::vector<unsigned char> present(64);
  ASSERT_EQ(::mincore(mapping.address(), mapping.bytes(), present.data()), 0);
  for (const unsigned char page : present) EXPECT_EQ(page & 1, 0);
}

TEST(UserMappingTest, AGuardKeepsTheMemoryMappedWithoutItsMapping) {
  const auto region = MakeRegion(2 * kPage);
  std::optional<UserMapping> mapping = MapOrDie(*region, 0, 2 * kPage);
  uint8_t* const bytes = BytesOf(*mapping);
  bytes[0] = 9;
  {
    const auto guard = TranslateUserRange(bytes, kPage);
    ASSERT_TRUE(guard.ok());
    mapping.reset();
    EXPECT_EQ(bytes[0], 9);
    EXPECT_TRUE(absl::IsNotFound(TranslateUserRange(bytes, 1).status()))
        << "it is on its way out and found by nobody";
  }
  unsigned char present = 0;
  EXPECT_EQ(::mincore(bytes, kPage, &present), -1) << "nothing is mapped any more";
}

TEST(UserMappingTest, ARevokeWaitsForNoGuardAndMakesItInvalid) {
  const auto region = MakeRegion(2 * kPage);
  const UserMapping mapping = MapOrDie(*region, 0, 2 * kPage);
  BytesOf(mapping)[0] = 9;
  const auto guard = TranslateUserRange(mapping.address(), kPage);
  ASSERT_TRUE(guard.ok());
  region->Revoke("the test wants it");
  EXPECT_FALSE(guard->valid());
  EXPECT_EQ(BytesOf(mapping)[0], 0) << "scratch, and no fault";
  EXPECT_TRUE(absl::IsAborted(TranslateUserRange(mapping.address(), 1).status()));
  EXPECT_TRUE(absl::IsAborted(UserMapping::Map(*region, 0, kPage, MapAccess::kReadOnly).status()));
}

TEST(UserMappingTest, MemoryThatMayMoveStaysWhereItIsUnderAGuardAndIsFollowedWithoutOne) {
  auto region = MemfdProvider().Allocate(
      {.bytes = 4 * kPage, .label = "moves", .kind = AttachmentKind::kMayMove});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(
      UserMapping::Map(**region, 0, kPage, MapAccess::kReadWrite).status()));
  const auto mapping = UserMapping::Map(**region, kPage, 2 * kPage, MapAccess::kReadOnly);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  {
    const auto guard = TranslateUserRange(mapping->address(), kPage);
    ASSERT_TRUE(guard.ok()) << guard.status();
    EXPECT_FALSE((*region)->life()->BeginMove(std::chrono::nanoseconds(0)));
  }
  ASSERT_TRUE((*region)->life()->BeginMove(std::chrono::nanoseconds(0)));
  EXPECT_TRUE(absl::IsUnavailable(TranslateUserRange(mapping->address(), kPage).status()));
  (*region)->life()->EndMove();
  const auto attachment = MakeAttachment(**region);
  const std::vector<uint8_t> stored(kPage, 42);
  attachment->mapping().Write(kPage, stored);
  ASSERT_TRUE((*region)->Move().ok());
  EXPECT_EQ(BytesOf(*mapping)[0], 42);
  attachment->mapping().Write(2 * kPage, stored);
  EXPECT_EQ(BytesOf(*mapping)[kPage], 42) << "it looks at the new place";
}

TEST(UserMappingTest, ManyThreadsTranslateWhileOthersMapAndUnmap) {
  const auto region = MakeRegion(16 * kPage);
  const UserMapping steady = MapOrDie(*region, 0, kPage);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int n = 0; n < 2; ++n) {
    threads.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const auto guard = TranslateUserRange(steady.address(), kPage);
        ASSERT_TRUE(guard.ok()) << guard.status();
        ASSERT_EQ(guard->piece(0).offset, 0u);
      }
    });
  }
  for (uint64_t round = 0; round < 300; ++round) {
    const UserMapping other = MapOrDie(*region, round % 16 * kPage, kPage);
    const auto guard = TranslateUserRange(other.address(), 1);
    ASSERT_TRUE(guard.ok());
    EXPECT_EQ(guard->piece(0).offset, round % 16 * kPage);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(region->life()->pin_count(), 0u);
}

}  // namespace
}  // namespace devmem
