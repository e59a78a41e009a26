// SPDX-License-Identifier: Apache-2.0
// See region_view.h.
#include "provider/region_view.h"

#include <mutex>
#include <utility>

#include "provider/check.h"
#include "provider/mapped_memory.h"

namespace devmem {

// Stands still on the heap, where the region's life can find it.
class RegionView::Look final : public RegionUser {
 public:
  Look(MappedMemory memory, std::shared_ptr<RegionLife> life)
      : life_(std::move(life)), memory_(std::move(memory)) {}
  ~Look() override {
    if (joined_) life_->Leave(this);
  }

  absl::Status Join() {
    absl::Status joined = life_->Join(this);
    joined_ = joined.ok();
    return joined;
  }

  std::span<const uint8_t> bytes() const { return {memory_.address_, memory_.bytes()}; }

  void TakeAway() override {
    taken_ = true;
    const bool swapped = memory_.CoverWithScratch(0, memory_.bytes());
    DEVMEM_CHECK(swapped, "the kernel refused to take a region from its view");
  }
  bool writes() const override { return false; }
  bool holds_up_removal() const override { return false; }
  // It only reads, and until PutBack() the bytes stay where it reads them.
  void Withdraw(uint64_t /*offset*/, uint64_t /*bytes*/) override {}
  absl::Status PutBack(const RegionPlace& place) override {
    // Revoked while it was on its way: it never comes back.
    if (taken_) return absl::OkStatus();
    if (memory_.CoverWithFile(place.offset, place.bytes, place.fd, place.fd_offset)) {
      return absl::OkStatus();
    }
    TakeAway();
    return absl::ResourceExhaustedError("the kernel refused to map the new place of a region");
  }

 private:
  const std::shared_ptr<RegionLife> life_;  // Goes after what it holds.
  MappedMemory memory_;
  bool joined_ = false;
  bool taken_ = false;  // Under the life's lock.
};

absl::StatusOr<RegionView> RegionView::Map(const Region& region) {
  const std::unique_lock<std::mutex> places = region.life()->LockPlaces();
  absl::StatusOr<MappedMemory> memory = region.Map(MapAccess::kReadOnly);
  if (!memory.ok()) return memory.status();
  auto look = std::make_shared<Look>(*std::move(memory), region.life());
  absl::Status joined = look->Join();
  if (!joined.ok()) return joined;
  return RegionView(std::move(look));
}

std::span<const uint8_t> RegionView::bytes() const { return look_->bytes(); }

}  // namespace devmem
