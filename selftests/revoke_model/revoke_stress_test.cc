// SPDX-License-Identifier: Apache-2.0
// Threads on the real classes: NICs write numbered pages by the loop of provider/dma_mapping.h
// while an exporter moves and evicts chunks from under them, strangers use each place that was
// given back, and at the end everything is revoked. Also run under ThreadSanitizer.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "provider/attachment.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region.h"

namespace devmem {
namespace {

constexpr uint64_t kChunks = 2;
constexpr uint64_t kChunkBytes = kPagingBlockBytes;
constexpr uint64_t kBytes = kChunks * kChunkBytes;
constexpr uint64_t kPages = kBytes / kSmallPageBytes;
constexpr uint64_t kStranger = 0xeeeeeeeeeeeeeeee;
constexpr uint32_t kNics = 2;
constexpr uint32_t kRounds = 24;

// The exporter: two files, of which a chunk lies in one; the other's is a stranger's meanwhile.
class Exporter final : public PagingSource {
 public:
  Exporter() {
    for (UniqueFd& fd : fds_) {
      fd.Reset(::memfd_create("stress", MFD_CLOEXEC));
      EXPECT_EQ(::ftruncate(fd.get(), kBytes), 0);
    }
    for (uint64_t chunk = 0; chunk < kChunks; ++chunk) LetStrangerIn(1, chunk);
  }

  // Set before anybody else knows of it.
  void set_life(std::weak_ptr<RegionLife> life) { life_ = std::move(life); }

  bool FaultIn(uint64_t offset, uint64_t /*bytes*/) override {
    const std::shared_ptr<RegionLife> life = life_.lock();
    const std::unique_lock<std::mutex> places = life->LockPlaces();
    if (life->phase() == RegionPhase::kRevoked) return false;
    const uint64_t chunk = offset / kChunkBytes;
    if (!resident_[chunk]) MoveLocked(*life, chunk, true);
    ++faults_;
    return true;
  }

  void Move(uint64_t chunk, bool resident) {
    const std::shared_ptr<RegionLife> life = life_.lock();
    const std::unique_lock<std::mutex> places = life->LockPlaces();
    MoveLocked(*life, chunk, resident);
  }

  absl::StatusOr<MappedMemory> Map(MapAccess access) const {
    return MappedMemory::MapFile(fds_[0].get(), kBytes, access);
  }

  // The number at the start of a page, where the region has it.
  uint64_t NumberAt(uint64_t page) const {
    return NumberIn(lies_in_[page * kSmallPageBytes / kChunkBytes], page);
  }
  uint64_t NumberIn(size_t file, uint64_t page) const {
    uint64_t number = 0;
    const ssize_t got = ::pread(fds_[file].get(), &number, sizeof(number),
                                static_cast<off_t>(page * kSmallPageBytes));
    EXPECT_EQ(got, ssize_t{sizeof(number)});
    return number;
  }

  // Whether anybody wrote to what is a stranger's.
  void CheckStranger(size_t file, uint64_t chunk) const {
    const uint64_t first = chunk * kChunkBytes / kSmallPageBytes;
    for (uint64_t page = first; page < first + kChunkBytes / kSmallPageBytes; ++page) {
      ASSERT_EQ(NumberIn(file, page), kStranger) << "page " << page;
    }
  }
  void CheckStrangers() const {
    for (uint64_t chunk = 0; chunk < kChunks; ++chunk) CheckStranger(1 - lies_in_[chunk], chunk);
  }
  uint64_t faults() const { return faults_; }

 private:
  void MoveLocked(RegionLife& life, uint64_t chunk, bool resident) {
    const uint64_t offset = chunk * kChunkBytes;
    const size_t from = lies_in_[chunk];
    const size_t to = 1 - from;
    CheckStranger(to, chunk);
    life.ForEachUser([&](RegionUser& user) { user.Withdraw(offset, kChunkBytes); });
    std::vector<uint8_t> bytes(kChunkBytes);
    const off_t at = static_cast<off_t>(offset);
    EXPECT_EQ(::pread(fds_[from].get(), bytes.data(), kChunkBytes, at), ssize_t{kChunkBytes});
    EXPECT_EQ(::pwrite(fds_[to].get(), bytes.data(), kChunkBytes, at), ssize_t{kChunkBytes});
    // Withdraw() promised that the old place does not change.
    std::vector<uint8_t> again(kChunkBytes);
    EXPECT_EQ(::pread(fds_[from].get(), again.data(), kChunkBytes, at), ssize_t{kChunkBytes});
    EXPECT_EQ(bytes, again);
    lies_in_[chunk] = to;
    resident_[chunk] = resident;
    const RegionPlace place{offset, kChunkBytes, fds_[to].get(), offset, resident};
    life.ForEachUser([&](RegionUser& user) { EXPECT_TRUE(user.PutBack(place).ok()); });
    LetStrangerIn(from, chunk);
  }

  void LetStrangerIn(size_t file, uint64_t chunk) {
    const std::vector<uint8_t> bytes(kChunkBytes, uint8_t{0xee});
    EXPECT_EQ(::pwrite(fds_[file].get(), bytes.data(), kChunkBytes,
                       static_cast<off_t>(chunk * kChunkBytes)),
              ssize_t{kChunkBytes});
  }

  std::weak_ptr<RegionLife> life_;
  std::array<UniqueFd, 2> fds_;
  // Guarded by RegionLife::LockPlaces().
  std::array<size_t, kChunks> lies_in_ = {};
  std::array<bool, kChunks> resident_ = {true, true};
  uint64_t faults_ = 0;
};

class StressRegion final : public Region {
 public:
  explicit StressRegion(std::shared_ptr<Exporter> exporter)
      : Region({.provider_name = "stress",
                .label = "stress",
                .size_bytes = kBytes,
                .page_bytes = kSmallPageBytes,
                .attachment_kind = AttachmentKind::kMayMove,
                .fd = UniqueFd(),
                .local_because = "it is a test"}),
        exporter_(std::move(exporter)) {
    exporter_->set_life(life());
  }

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    return exporter_->Map(access);
  }
  std::shared_ptr<PagingSource> paging() const override { return exporter_; }

  const std::shared_ptr<Exporter> exporter_;
};

// What a NIC knows of its pages: those of its number modulo kNics.
struct Nic {
  std::unique_ptr<Attachment> attachment;
  std::vector<uint64_t> landed = std::vector<uint64_t>(kPages, 0);  // The last number.
  std::vector<uint64_t> tried = std::vector<uint64_t>(kPages, 0);
  std::atomic<uint64_t> count{0};  // Of those that landed.
};

// The loop of dma_mapping.h, until the region is revoked.
void WriteUntilRevoked(Nic& nic, uint32_t index) {
  DmaMapping& mapping = nic.attachment->mapping();
  std::array<uint8_t, sizeof(uint64_t)> bytes;
  for (uint64_t number = 1;; ++number) {
    const uint64_t page = (number * kNics + index) % kPages;
    const uint64_t offset = page * kSmallPageBytes;
    uint64_t before = 0;
    bool in_place = false;
    do {
      before = mapping.generation();
      in_place = !mapping.moving() && mapping.Resident(offset, bytes.size());
    } while (before != mapping.generation() || (!in_place && !mapping.revoked()));
    if (mapping.revoked()) return;
    std::memcpy(bytes.data(), &number, sizeof(number));
    nic.tried[page] = number;
    mapping.Write(offset, bytes);
    if (!mapping.Landed(before)) continue;
    nic.landed[page] = number;
    nic.count.fetch_add(1, std::memory_order_relaxed);
  }
}

TEST(RevokeStressTest, WhatLandedIsAtTheFinalPlaceAndNothingIsWrittenElsewhere) {
  const auto exporter = std::make_shared<Exporter>();
  StressRegion region(exporter);
  std::array<Nic, kNics> nics;
  std::vector<std::thread> threads;
  for (uint32_t n = 0; n < kNics; ++n) {
    auto attachment = Attachment::Create(region, {.name = "dm0", .caps = ImporterCaps::kFault});
    ASSERT_TRUE(attachment.ok()) << attachment.status();
    nics[n].attachment = *std::move(attachment);
    threads.emplace_back([&nics, n] { WriteUntilRevoked(nics[n], n); });
  }
  std::mt19937 random(1);
  for (uint32_t round = 0; round < kRounds; ++round) {
    for (const Nic& nic : nics) {
      const uint64_t goal = nic.count.load(std::memory_order_relaxed) + 1 + random() % 300;
      while (nic.count.load(std::memory_order_relaxed) < goal) std::this_thread::yield();
    }
    exporter->Move(random() % kChunks, random() % 3 != 0);
  }
  // The last round may be in the middle of anything.
  std::thread mover([&exporter] { exporter->Move(0, true); });
  region.Revoke("stress");
  mover.join();
  std::vector<uint64_t> held(kPages);
  {
    // A NIC's fault may have begun before the revoke.
    const std::unique_lock<std::mutex> places = region.life()->LockPlaces();
    for (uint64_t page = 0; page < kPages; ++page) held[page] = exporter->NumberAt(page);
  }
  for (std::thread& thread : threads) thread.join();

  exporter->CheckStrangers();
  EXPECT_GT(exporter->faults(), 0u);
  for (uint64_t page = 0; page < kPages; ++page) {
    const Nic& nic = nics[page % kNics];
    const uint64_t number = exporter->NumberAt(page);
    ASSERT_EQ(number, held[page]) << "page " << page << " was written after the revoke";
    ASSERT_GE(number, nic.landed[page]) << "page " << page;
    ASSERT_LE(number, nic.tried[page]) << "page " << page;
  }
}

}  // namespace
}  // namespace devmem
