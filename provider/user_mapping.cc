// SPDX-License-Identifier: Apache-2.0
// See user_mapping.h. mremap(2), munmap(2).
#include "provider/user_mapping.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/posix_error.h"

namespace devmem {

// The mapped memory, on the heap, where the region's life and the table find it.
class UserMapping::Range final : public RegionUser {
 public:
  Range(const Region& region, uint64_t offset, MapAccess access)
      : life_(region.life()), region_id_(region.id()), offset_(offset), access_(access) {}
  ~Range() override {
    if (joined_) life_->Leave(this);
  }

  // Maps [offset, offset + bytes) of the region alone, at `at` if that is not null.
  absl::Status Map(const Region& region, uint64_t bytes, void* at);

  uintptr_t begin() const { return reinterpret_cast<uintptr_t>(memory_->address_); }
  uintptr_t end() const { return begin() + memory_->bytes_; }
  uint32_t region_id() const { return region_id_; }
  uint64_t offset() const { return offset_; }
  RegionLife& life() { return *life_; }
  bool valid() const { return valid_.load(std::memory_order_acquire); }

  // The mark first: who finds it unset after an access made that before the swap.
  void TakeAway() override {
    valid_.store(false, std::memory_order_seq_cst);
    const bool swapped = memory_->CoverWithScratch(0, memory_->bytes());
    DEVMEM_CHECK(swapped, "the kernel refused to take a region from a user's mapping");
  }
  bool writes() const override { return access_ == MapAccess::kReadWrite; }
  bool holds_up_removal() const override { return writes(); }
  // What may move is mapped for reading only, and until PutBack() the bytes stay where it reads.
  void Withdraw(uint64_t /*offset*/, uint64_t /*bytes*/) override {}
  absl::Status PutBack(const RegionPlace& place) override;

 private:
  const std::shared_ptr<RegionLife> life_;  // Goes after what it holds.
  std::unique_ptr<MappedMemory> memory_;
  const uint32_t region_id_;
  const uint64_t offset_;  // Of the mapping in the region.
  const MapAccess access_;
  std::atomic<bool> valid_{true};
  bool joined_ = false;
};

absl::Status UserMapping::Range::Map(const Region& region, uint64_t bytes, void* at) {
  const std::unique_lock<std::mutex> places = life_->LockPlaces();
  absl::StatusOr<MappedMemory> whole = region.Map(access_);
  if (!whole.ok()) return whole.status();
  memory_ = std::make_unique<MappedMemory>(*std::move(whole));
  // What was not asked for goes, so that a stray access beside the range faults.
  memory_->TrimTo(offset_, bytes);
  if (at != nullptr) {
    if (::mremap(memory_->address_, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at) {
      const int err = errno;
      return ErrnoToStatus(err, absl::StrCat("putting ", bytes, " bytes of device memory at 0x",
                                             absl::Hex(reinterpret_cast<uintptr_t>(at))));
    }
    memory_->address_ = static_cast<uint8_t*>(at);
  }
  absl::Status joined = life_->Join(this);
  joined_ = joined.ok();
  return joined;
}

absl::Status UserMapping::Range::PutBack(const RegionPlace& place) {
  const uint64_t first = std::max(place.offset, offset_);
  const uint64_t end = std::min(place.offset + place.bytes, offset_ + memory_->bytes());
  if (first >= end || !valid()) return absl::OkStatus();
  if (memory_->CoverWithFile(first - offset_, end - first, place.fd,
                             place.fd_offset + (first - place.offset))) {
    return absl::OkStatus();
  }
  TakeAway();
  return absl::ResourceExhaustedError("the kernel refused to map the new place of a region");
}

// Every mapping of this process that can be translated: a flat array in the order of the addresses,
// read under a shared lock and changed under the exclusive one. No other lock is taken under it.
class UserRangeTable {
 public:
  static UserRangeTable& OfThisProcess() {
    static auto* const table = new UserRangeTable;  // Outlives mappings with static storage.
    return *table;
  }

  bool Overlaps(uintptr_t begin, uintptr_t end) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto after = FirstEndingAfter(begin);
    return after != entries_.end() && after->begin < end;
  }

  void Add(const std::shared_ptr<UserMapping::Range>& range) {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    entries_.insert(FirstEndingAfter(range->begin()), {range->begin(), range->end(), range});
  }

  void Remove(const UserMapping::Range& range) {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    entries_.erase(FirstEndingAfter(range.begin()));
  }

  absl::StatusOr<UserRangeGuard> Translate(uintptr_t begin, uintptr_t end) const;

 private:
  struct Entry {
    uintptr_t begin;
    uintptr_t end;
    std::shared_ptr<UserMapping::Range> range;
  };

  std::vector<Entry>::const_iterator FirstEndingAfter(uintptr_t address) const {
    return std::upper_bound(entries_.begin(), entries_.end(), address,
                            [](uintptr_t at, const Entry& entry) { return at < entry.end; });
  }

  mutable std::shared_mutex mutex_;
  std::vector<Entry> entries_;  // By address; disjoint.
};

absl::StatusOr<UserRangeGuard> UserRangeTable::Translate(uintptr_t begin, uintptr_t end) const {
  UserRangeGuard guard;
  std::shared_ptr<UserMapping::Range> unpinned;
  uintptr_t at = begin;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    for (auto entry = FirstEndingAfter(begin);
         at < end && entry != entries_.end() && entry->begin <= at; ++entry) {
      if (!entry->range->life().TryPin()) {
        unpinned = entry->range;
        break;
      }
      const uintptr_t stop = std::min(end, entry->end);
      guard.Add(
          {entry->range,
           {entry->range->region_id(), entry->range->offset() + (at - entry->begin), stop - at}});
      at = stop;
    }
  }
  if (at == end) [[likely]]
    return guard;
  if (unpinned == nullptr) {
    return absl::NotFoundError(absl::StrCat("0x", absl::Hex(at), " is no device memory that was ",
                                            "mapped for this process; ", at - begin, " of ",
                                            end - begin, " bytes before it are"));
  }
  absl::Status ended = unpinned->life().status();
  if (!ended.ok()) return ended;
  return absl::UnavailableError(absl::StrCat("the memory at 0x", absl::Hex(at), " of region ",
                                             unpinned->region_id(),
                                             " is on its way to another place; try again"));
}

absl::StatusOr<UserMapping> UserMapping::Map(const Region& region, uint64_t offset, uint64_t bytes,
                                             MapAccess access, void* at) {
  const std::string refused =
      absl::StrCat("mapping ", bytes, " bytes at ", offset, " of ", region.Describe(), ": ");
  const uint64_t page = region.page_bytes();
  if (offset > region.size_bytes() || bytes > region.size_bytes() - offset) {
    return absl::OutOfRangeError(absl::StrCat(refused, "it ends before"));
  }
  if (bytes == 0 || bytes % page != 0 || offset % page != 0 ||
      reinterpret_cast<uintptr_t>(at) % page != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(refused, "ranges and addresses are multiples of ", page, " bytes"));
  }
  if (access == MapAccess::kReadWrite && region.attachment_kind() == AttachmentKind::kMayMove) {
    return absl::FailedPreconditionError(absl::StrCat(
        refused, "memory that may move is mapped for reading only, because what is stored during ",
        "a move would be lost; allocate pinned memory"));
  }
  UserRangeTable& table = UserRangeTable::OfThisProcess();
  const auto wanted = reinterpret_cast<uintptr_t>(at);
  if (at != nullptr && table.Overlaps(wanted, wanted + bytes)) {
    return absl::AlreadyExistsError(
        absl::StrCat(refused, "other device memory is mapped at 0x", absl::Hex(wanted)));
  }
  auto range = std::make_shared<Range>(region, offset, access);
  absl::Status mapped = range->Map(region, bytes, at);
  if (!mapped.ok()) return mapped;
  table.Add(range);
  return UserMapping(std::move(range));
}

UserMapping::~UserMapping() {
  if (range_ != nullptr) UserRangeTable::OfThisProcess().Remove(*range_);
}

void* UserMapping::address() const { return reinterpret_cast<void*>(range_->begin()); }
size_t UserMapping::bytes() const { return range_->end() - range_->begin(); }

UserRangeGuard::~UserRangeGuard() {
  for (size_t n = 0; n < count_; ++n) HeldAt(n).range->life().Unpin();
}

void UserRangeGuard::Add(Held held) {
  if (count_ < kInlinePieces) {
    first_[count_] = std::move(held);
  } else {
    more_.push_back(std::move(held));
  }
  ++count_;
}

bool UserRangeGuard::valid() const {
  for (size_t n = 0; n < count_; ++n) {
    if (!HeldAt(n).range->valid()) return false;
  }
  return true;
}

absl::StatusOr<UserRangeGuard> TranslateUserRange(const void* address, uint64_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(address);
  if (bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a range of 0 bytes at 0x", absl::Hex(begin), " has no pieces"));
  }
  if (bytes > UINTPTR_MAX - begin) {
    return absl::OutOfRangeError(
        absl::StrCat(bytes, " bytes at 0x", absl::Hex(begin), " end behind the last address"));
  }
  return UserRangeTable::OfThisProcess().Translate(begin, begin + bytes);
}

}  // namespace devmem
