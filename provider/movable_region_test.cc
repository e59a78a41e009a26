// SPDX-License-Identifier: Apache-2.0
// Memory that moves: what its users see before, during and after.
#include "provider/movable_region.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "provider/attachment.h"
#include "provider/dma_engine.h"
#include "provider/memfd_provider.h"
#include "provider/region_view.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 3 * kPagingBlockBytes + 5 * kSmallPageBytes;  // A short last block.

class MovableRegionTest : public testing::Test {
 protected:
  MovableRegionTest() {
    auto region = MemfdProvider().Allocate(
        {.bytes = kBytes, .label = "mover", .kind = AttachmentKind::kMayMove});
    EXPECT_TRUE(region.ok()) << region.status();
    region_ = *std::move(region);
  }

  std::unique_ptr<Attachment> Attach(ImporterCaps caps = ImporterCaps::kFault) {
    auto attachment = Attachment::Create(*region_, {.name = "dm0", .caps = caps});
    EXPECT_TRUE(attachment.ok()) << attachment.status();
    return attachment.ok() ? *std::move(attachment) : nullptr;
  }

  RegionView View() { return *RegionView::Map(*region_); }

  std::unique_ptr<Region> region_;
};

std::vector<uint8_t> SeededBytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// A NIC's access, as dma_mapping.h prescribes it. False: it has to wait.
bool WriteAs(DmaMapping& mapping, uint64_t offset, std::span<const uint8_t> bytes) {
  uint64_t before;
  do {
    before = mapping.generation();
    if (mapping.moving() || !mapping.Resident(offset, bytes.size())) return false;
  } while (before != mapping.generation());
  mapping.Write(offset, bytes);
  return mapping.Landed(before);
}

TEST_F(MovableRegionTest, AMoveKeepsEveryByteForViewsAndImporters) {
  const auto attachment = Attach();
  const RegionView view = View();
  const std::vector<uint8_t> content = SeededBytes(kBytes, 1);
  ASSERT_TRUE(WriteAs(attachment->mapping(), 0, content));
  ASSERT_TRUE(region_->Move().ok());
  EXPECT_TRUE(std::equal(content.begin(), content.end(), view.bytes().begin()));
  const std::array<uint8_t, 3> news = {1, 2, 3};
  ASSERT_TRUE(WriteAs(attachment->mapping(), kPagingBlockBytes - 1, news));
  EXPECT_EQ(view.bytes()[kPagingBlockBytes - 1], 1);
  EXPECT_EQ(view.bytes()[kPagingBlockBytes + 1], 3);
}

TEST_F(MovableRegionTest, AWriteThatMeetsAMoveDoesNotCountAsLanded) {
  const auto attachment = Attach();
  const uint64_t before = attachment->mapping().generation();
  ASSERT_TRUE(region_->Move().ok());
  attachment->mapping().Write(0, SeededBytes(16, 2));
  EXPECT_FALSE(attachment->mapping().Landed(before));
}

TEST_F(MovableRegionTest, EvictedBytesAreStillSeenByAViewAndComeBackAtTheNextAccess) {
  const auto attachment = Attach();
  const RegionView view = View();
  const std::vector<uint8_t> content = SeededBytes(kBytes, 3);
  ASSERT_TRUE(WriteAs(attachment->mapping(), 0, content));
  ASSERT_TRUE(region_->Evict(kPagingBlockBytes + 5, 1).ok());
  EXPECT_EQ(region_->FindResidence()->host_bytes, kPagingBlockBytes);
  EXPECT_TRUE(attachment->mapping().any_away());
  EXPECT_TRUE(std::equal(content.begin(), content.end(), view.bytes().begin()));
  // Its neighbours are in place and fetch nothing.
  ASSERT_TRUE(WriteAs(attachment->mapping(), 0, std::array<uint8_t, 1>{9}));
  EXPECT_TRUE(attachment->mapping().any_away());
  ASSERT_TRUE(WriteAs(attachment->mapping(), kPagingBlockBytes, std::array<uint8_t, 1>{9}));
  EXPECT_FALSE(attachment->mapping().any_away());
  EXPECT_EQ(region_->FindResidence()->host_bytes, 0u);
  EXPECT_EQ(view.bytes()[kPagingBlockBytes], 9);
  EXPECT_TRUE(std::equal(content.begin() + kPagingBlockBytes + 1, content.end(),
                         view.bytes().begin() + kPagingBlockBytes + 1));
}

TEST_F(MovableRegionTest, WhoAttachesLaterLearnsWhatIsEvicted) {
  ASSERT_TRUE(region_->Evict(0, kBytes).ok());
  const auto attachment = Attach();
  EXPECT_TRUE(attachment->mapping().any_away());
  ASSERT_TRUE(WriteAs(attachment->mapping(), kBytes - 1, std::array<uint8_t, 1>{7}));
  EXPECT_EQ(View().bytes()[kBytes - 1], 7);
}

TEST_F(MovableRegionTest, MemoryThatCannotComeBackNowHasItsImporterWait) {
  auto region = MakeMovableRegion({.provider_name = "memfd",
                                   .label = "tight",
                                   .size_bytes = 2 * kPagingBlockBytes,
                                   .page_bytes = kSmallPageBytes,
                                   .fd = {}},
                                  kPagingBlockBytes);
  ASSERT_TRUE(region.ok()) << region.status();
  const auto attachment = Attachment::Create(**region, {.name = "dm0"});
  ASSERT_TRUE(attachment.ok());
  ASSERT_TRUE((*region)->Evict(0, 2 * kPagingBlockBytes).ok());
  const std::array<uint8_t, 1> byte = {1};
  EXPECT_TRUE(WriteAs((*attachment)->mapping(), 0, byte));
  EXPECT_FALSE(WriteAs((*attachment)->mapping(), kPagingBlockBytes, byte));
  ASSERT_TRUE((*region)->Evict(0, 1).ok());
  EXPECT_TRUE(WriteAs((*attachment)->mapping(), kPagingBlockBytes, byte));
}

TEST_F(MovableRegionTest, AnImporterThatCannotFollowWritesThroughAnEngineThatDoes) {
  auto staging_region = MemfdProvider().Allocate({.bytes = 1 << 20});
  ASSERT_TRUE(staging_region.ok());
  const auto staging = Attachment::Create(**staging_region, {.name = "dm0"});
  const auto attachment = Attach(ImporterCaps::kRevoke);
  ASSERT_TRUE(attachment->staged());
  const auto engine = attachment->CreateEngine(*region_, (*staging)->mapping());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const std::vector<uint8_t> content = SeededBytes(4000, 4);
  (*staging)->mapping().Write(100, content);
  ASSERT_TRUE(region_->Evict(0, kBytes).ok());
  const std::array copies = {DmaCopy{100, kPagingBlockBytes - 1000, 4000}};
  EXPECT_EQ((*engine)->Submit(copies), 1u);
  EXPECT_EQ((*engine)->Completed(), 0u);  // Bringing it back made the try void.
  EXPECT_EQ((*engine)->Completed(), 1u);
  ASSERT_TRUE(region_->Move().ok());
  std::vector<uint8_t> back(4000);
  ASSERT_TRUE((*engine)->ReadBack(kPagingBlockBytes - 1000, back));
  EXPECT_EQ(back, content);
}

TEST_F(MovableRegionTest, AMoveDoesNotPullTheMemoryFromUnderAPin) {
  ASSERT_TRUE(region_->life()->TryPin());
  EXPECT_EQ(region_->Move(std::chrono::nanoseconds(0)).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(region_->Evict(0, 1, std::chrono::nanoseconds(0)).code(),
            absl::StatusCode::kUnavailable);
  region_->life()->Unpin();
  EXPECT_TRUE(region_->Move(std::chrono::nanoseconds(0)).ok());
}

TEST_F(MovableRegionTest, ARevokedRegionNeitherMovesNorComesBack) {
  const auto attachment = Attach();
  ASSERT_TRUE(region_->Evict(0, kBytes).ok());
  region_->Revoke("sold");
  EXPECT_EQ(region_->Move().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(region_->Evict(0, 1).code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(attachment->mapping().revoked());
  EXPECT_FALSE(WriteAs(attachment->mapping(), 0, std::array<uint8_t, 1>{1}));
}

// A revoke that comes between the halves of a move wins: nobody sees the region afterwards.
TEST_F(MovableRegionTest, ARevokeInTheMiddleOfAMoveIsNotUndoneByItsEnd) {
  const auto attachment = Attach();
  const RegionView view = View();
  ASSERT_TRUE(WriteAs(attachment->mapping(), 0, SeededBytes(kBytes, 6)));
  std::atomic<bool> moving{true};
  std::thread mover([&] {
    while (region_->Move().ok()) {
    }
    moving = false;
  });
  region_->Revoke("sold");
  mover.join();
  EXPECT_FALSE(moving);
  const auto shown = view.bytes();
  EXPECT_TRUE(std::all_of(shown.begin(), shown.end(), [](uint8_t byte) { return byte == 0; }));
}

// A byte may be handed out as soon as a writer is back; whoever reads it must be there before.
TEST_F(MovableRegionTest, WhoReadsIsPutBackBeforeWhoWrites) {
  class Recorder final : public RegionUser {
   public:
    Recorder(bool writes, std::vector<bool>* order) : writes_(writes), order_(order) {}
    void TakeAway() override {}
    void Withdraw(uint64_t, uint64_t) override {}
    absl::Status PutBack(const RegionPlace&) override {
      order_->push_back(writes_);
      return absl::OkStatus();
    }
    bool writes() const override { return writes_; }

   private:
    const bool writes_;
    std::vector<bool>* const order_;
  };
  std::vector<bool> order;
  Recorder writer(true, &order);
  Recorder reader(false, &order);
  ASSERT_TRUE(region_->life()->Join(&writer).ok());
  ASSERT_TRUE(region_->life()->Join(&reader).ok());
  ASSERT_TRUE(region_->Evict(0, 1).ok());
  EXPECT_EQ(order, (std::vector<bool>{false, true}));
  region_->life()->Leave(&writer);
  region_->life()->Leave(&reader);
}

TEST_F(MovableRegionTest, RangesBeyondTheRegionAndHandlesAreRefusedWithTheReason) {
  EXPECT_EQ(region_->Evict(kBytes, 1).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(region_->Evict(1, UINT64_MAX).code(), absl::StatusCode::kOutOfRange);
  const absl::Status handle = region_->ShareHandle().status();
  EXPECT_EQ(handle.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(handle.message().find("it may move"), absl::string_view::npos) << handle;
  const auto pinned = MemfdProvider().Allocate({.bytes = 4096});
  EXPECT_EQ((*pinned)->Move().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*pinned)->Evict(0, 1).code(), absl::StatusCode::kFailedPrecondition);
}

// A NIC thread stamps pages in turn and remembers what landed, while the exporter moves and evicts.
// Afterwards every page holds what was last counted, or a later write that met the region but was
// not counted: it is nobody's yet, and would be made again.
TEST_F(MovableRegionTest, NothingThatLandedIsLostWhileTheMemoryMovesAllTheTime) {
  const auto attachment = Attach();
  const RegionView view = View();
  constexpr uint64_t kPages = 512;
  std::vector<uint64_t> landed(kPages, 0);
  std::vector<uint64_t> tried(kPages, 0);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> rounds{0};
  std::thread nic([&] {
    for (uint64_t number = 1; !stop.load(); ++number) {
      const uint64_t page = number % kPages;
      std::array<uint8_t, sizeof(number)> stamp;
      std::memcpy(stamp.data(), &number, sizeof(number));
      const uint64_t offset = page * (kBytes / kPages / 8 * 8);
      tried[page] = number;
      if (WriteAs(attachment->mapping(), offset, stamp)) landed[page] = number;
      rounds.store(number);
    }
  });
  std::mt19937 random(5);
  for (int step = 0; step < 60; ++step) {
    while (rounds.load() < static_cast<uint64_t>(step) * 300) std::this_thread::yield();
    if (step % 2 == 0) {
      ASSERT_TRUE(region_->Move().ok());
    } else {
      ASSERT_TRUE(region_->Evict(random() % kBytes, 1).ok());
    }
  }
  stop.store(true);
  nic.join();
  for (uint64_t page = 0; page < kPages; ++page) {
    uint64_t held = 0;
    std::memcpy(&held, &view.bytes()[page * (kBytes / kPages / 8 * 8)], sizeof(held));
    EXPECT_TRUE(held >= landed[page]) << "page " << page << " lost " << landed[page];
    EXPECT_LE(held, tried[page]);
    EXPECT_TRUE(held == 0 || held % kPages == page) << "page " << page << " holds " << held;
  }
}

}  // namespace
}  // namespace devmem
