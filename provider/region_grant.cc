// SPDX-License-Identifier: Apache-2.0
// See region_grant.h.
#include "provider/region_grant.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/dma_engine.h"
#include "provider/suballocator.h"
#include "provider/user_mapping.h"

namespace devmem {

// What the grant and its parts share.
class RegionGrant::Books {
 public:
  Books(std::shared_ptr<Region> whole, Suballocator pieces)
      : whole_(std::move(whole)), pieces_(std::move(pieces)) {}

  const Region& whole() const { return *whole_; }

  absl::StatusOr<uint64_t> Take(uint64_t bytes, uint64_t alignment) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return pieces_.Alloc(bytes, alignment);
  }
  void Give(uint64_t offset, uint64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    parts_.erase(offset);
    const absl::Status freed = pieces_.Free(offset, bytes);
    DEVMEM_CHECK(freed.ok(), "a part gives back a piece that it never had");
    used_end_ = std::max(used_end_, offset + bytes);
  }
  void List(PartInfo part) {
    const std::lock_guard<std::mutex> lock(mutex_);
    parts_.emplace(part.offset, std::move(part));
  }

  // How much of a piece may hold what an earlier part left there, from its start.
  uint64_t UsedBytes(uint64_t offset, uint64_t bytes) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return used_end_ <= offset ? 0 : std::min(bytes, used_end_ - offset);
  }
  uint64_t free_bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return pieces_.free_bytes();
  }
  std::vector<PartInfo> parts() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<PartInfo> listed;
    for (const auto& [offset, part] : parts_) listed.push_back(part);
    return listed;
  }

 private:
  const std::shared_ptr<Region> whole_;
  mutable std::mutex mutex_;  // Guards the rest; no other lock is taken under it.
  Suballocator pieces_;
  uint64_t used_end_ = 0;  // Behind everything that a part ever gave back.
  std::map<uint64_t, PartInfo> parts_;
};

// A piece of the grant, and the tie between two lives: held by the part's life, and a user of the
// whole's. Whoever uses the part keeps it; who ends the whole ends the part through it.
class RegionGrant::Tie final : public RegionUser {
 public:
  Tie(std::shared_ptr<Books> books, uint64_t offset, uint64_t bytes)
      : books_(std::move(books)), offset_(offset), bytes_(bytes) {}
  ~Tie() override {
    if (part_ != nullptr) books_->whole().life()->Leave(this);
    books_->Give(offset_, bytes_);
  }

  absl::Status Join(RegionLife* part) {
    part_ = part;
    absl::Status joined = books_->whole().life()->Join(this);
    if (!joined.ok()) part_ = nullptr;
    return joined;
  }

  // Under the lock of the whole's life, which is taken before that of a part's, never after it.
  void TakeAway() override { part_->Revoke("the region that it is a part of was revoked"); }
  void Withdraw(uint64_t /*offset*/, uint64_t /*bytes*/) override {}  // It does not move.
  absl::Status PutBack(const RegionPlace& /*place*/) override { return absl::OkStatus(); }
  void Notify() override {
    if (books_->whole().life()->phase() != RegionPhase::kRemoving) return;
    part_->BeginRemoval("the region that it is a part of is being removed");
  }

 private:
  const std::shared_ptr<Books> books_;
  const uint64_t offset_;
  const uint64_t bytes_;
  RegionLife* part_ = nullptr;  // Holds this, and is there while this is. Null unless joined.
};

// Copies into a part by the engine of the whole.
class PartDmaEngine final : public DmaEngine {
 public:
  PartDmaEngine(std::unique_ptr<DmaEngine> whole, uint64_t offset)
      : whole_(std::move(whole)), offset_(offset) {}

  uint64_t Submit(std::span<const DmaCopy> copies) override {
    DEVMEM_CHECK(copies.size() <= copies_.size(), "a batch of too many copies");
    for (size_t n = 0; n < copies.size(); ++n) {
      copies_[n] = copies[n];
      copies_[n].region_offset += offset_;
    }
    return whole_->Submit(std::span(copies_).first(copies.size()));
  }
  bool full() const override { return whole_->full(); }
  uint64_t Completed() override { return whole_->Completed(); }
  bool Fence() override { return whole_->Fence(); }
  bool ReadBack(uint64_t region_offset, std::span<uint8_t> to) override {
    return whole_->ReadBack(offset_ + region_offset, to);
  }
  void Halt() override { whole_->Halt(); }
  bool lost() const override { return whole_->lost(); }

 private:
  const std::unique_ptr<DmaEngine> whole_;
  const uint64_t offset_;
  std::array<DmaCopy, kDmaBatchCopiesMax> copies_;
};

class RegionGrant::Part final : public Region {
 public:
  Part(const PartOptions& options, std::shared_ptr<Books> books, uint64_t offset)
      : Region({.provider_name = books->whole().provider_name(),
                .label = options.label,
                .size_bytes = options.bytes,
                .page_bytes = books->whole().page_bytes(),
                .attachment_kind = books->whole().attachment_kind(),
                .policy = options.policy,
                .fd = {},
                .local_because = absl::StrCat("it is a part of region ", books->whole().id(),
                                              ", whose handle is one to all of it"),
                .cpu_visible = books->whole().cpu_visible()}),
        books_(std::move(books)),
        offset_(offset) {}

  absl::StatusOr<UniqueFd> ExportDmabuf(uint64_t offset, uint64_t bytes) const override {
    if (offset <= size_bytes() && bytes <= size_bytes() - offset) {
      return books_->whole().ExportDmabuf(offset_ + offset, bytes);
    }
    return absl::OutOfRangeError(
        absl::StrCat(bytes, " bytes at ", offset, " lie outside ", Describe()));
  }

  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    absl::StatusOr<MappedMemory> memory = books_->whole().Map(access);
    if (memory.ok()) memory->TrimTo(offset_, size_bytes());
    return memory;
  }

  absl::StatusOr<std::unique_ptr<DmaEngine>> CreateDmaEngine(DmaMapping& staging) const override {
    absl::StatusOr<std::unique_ptr<DmaEngine>> engine = books_->whole().CreateDmaEngine(staging);
    if (!engine.ok()) return engine.status();
    return std::make_unique<PartDmaEngine>(*std::move(engine), offset_);
  }

  // Zeroes what an earlier part left, as a user of the part whom a revoke reaches. Memory that the
  // processor cannot map stays as it is.
  absl::Status Clean() const {
    const uint64_t used = books_->UsedBytes(offset_, size_bytes());
    if (used == 0 || !cpu_visible()) return absl::OkStatus();
    const absl::StatusOr<UserMapping> mapping =
        UserMapping::Map(*this, 0, used, MapAccess::kReadWrite);
    if (!mapping.ok()) return mapping.status();
    std::memset(mapping->address(), 0, used);
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<Books> books_;
  const uint64_t offset_;
};

absl::StatusOr<RegionGrant> RegionGrant::Create(std::shared_ptr<Region> whole, uint64_t offset,
                                                uint64_t bytes) {
  const std::string refused =
      absl::StrCat("a grant of ", bytes, " bytes at ", offset, " of ", whole->Describe(), ": ");
  if (whole->attachment_kind() == AttachmentKind::kMayMove) {
    return absl::FailedPreconditionError(absl::StrCat(
        refused,
        "memory that may move is not cut into parts; allocate pinned or revocable memory"));
  }
  if (offset > whole->size_bytes() || bytes > whole->size_bytes() - offset) {
    return absl::OutOfRangeError(absl::StrCat(refused, "the region ends before"));
  }
  if (bytes == 0 || bytes % whole->page_bytes() != 0 || offset % whole->page_bytes() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(refused, "both must be multiples of ", whole->page_bytes(), " bytes"));
  }
  absl::StatusOr<Suballocator> pieces = Suballocator::Create(offset, bytes);
  if (!pieces.ok()) return pieces.status();
  return RegionGrant(std::make_shared<Books>(std::move(whole), *std::move(pieces)));
}

absl::StatusOr<std::unique_ptr<Region>> RegionGrant::Allocate(const PartOptions& options) {
  absl::Status usable = whole().status();
  if (!usable.ok()) return usable;
  if (options.bytes % whole().page_bytes() != 0 || options.label.size() > kRegionLabelBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a part of ", options.bytes, " bytes with a label of ", options.label.size(), " of ",
        whole().Describe(), " is refused: parts are of whole pages, and labels of at most ",
        kRegionLabelBytesMax, " bytes"));
  }
  QuotaCharge charge;
  if (options.quota != nullptr && options.bytes != 0) {
    absl::StatusOr<QuotaCharge> charged =
        options.quota->Charge(options.quota_user, QuotaKind::kPinned, options.label, options.bytes);
    if (!charged.ok()) return charged.status();
    charge = *std::move(charged);
  }
  const absl::StatusOr<uint64_t> offset =
      books_->Take(options.bytes, std::max(options.alignment, whole().page_bytes()));
  if (!offset.ok()) return offset.status();
  // From here on whatever fails gives the piece back.
  auto tie = std::make_shared<Tie>(books_, *offset, options.bytes);
  auto part = std::make_unique<Part>(options, books_, *offset);
  absl::Status ready = tie->Join(part->life().get());
  if (!ready.ok()) return ready;
  books_->List({part->id(), options.label, *offset, options.bytes});
  part->life()->HoldWithMemory(std::make_shared<QuotaCharge>(std::move(charge)));
  part->life()->HoldWithMemory(std::move(tie));
  ready = part->Clean();
  if (!ready.ok()) return ready;
  return part;
}

const Region& RegionGrant::whole() const { return books_->whole(); }
uint64_t RegionGrant::free_bytes() const { return books_->free_bytes(); }
std::vector<PartInfo> RegionGrant::ListParts() const { return books_->parts(); }

}  // namespace devmem
