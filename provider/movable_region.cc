// SPDX-License-Identifier: Apache-2.0
// See movable_region.h. memfd_create(2), fallocate(2).
#include "provider/movable_region.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// Through the processor's second-level cache.
constexpr size_t kCopyBytes = 256 << 10;

absl::StatusOr<UniqueFd> MakeFile(const std::string& label, uint64_t bytes) {
  UniqueFd fd(::memfd_create(label.c_str(), MFD_ALLOW_SEALING | MFD_CLOEXEC));
  if (!fd.valid() || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("a memfd of ", bytes, " bytes for memory that moves"));
  }
  return fd;
}

// All of a range of a file, or why it cannot be had.
absl::Status Reserve(int fd, uint64_t offset, uint64_t bytes) {
  if (::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)) == 0) {
    return absl::OkStatus();
  }
  const int err = errno;
  return absl::ResourceExhaustedError(
      ErrnoToStatus(err, absl::StrCat("the machine cannot supply ", bytes,
                                      " bytes for memory that moves; free some, or try later"))
          .message());
}

void GiveBack(int fd, uint64_t offset, uint64_t bytes) {
  // Only memory is at stake: a hole that is not punched keeps bytes that nobody looks at.
  (void)::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(bytes));
}

// Both ranges are present, so nothing but a mistake of ours can fail here.
void CopyBetween(int from, int to, uint64_t offset, uint64_t bytes) {
  std::vector<uint8_t> buffer(std::min<uint64_t>(bytes, kCopyBytes));
  for (uint64_t done = 0; done < bytes;) {
    const size_t part = std::min<uint64_t>(bytes - done, buffer.size());
    const off_t at = static_cast<off_t>(offset + done);
    const ssize_t got = ::pread(from, buffer.data(), part, at);
    DEVMEM_CHECK(got > 0, "a memfd cannot be read");
    const ssize_t put = ::pwrite(to, buffer.data(), static_cast<size_t>(got), at);
    DEVMEM_CHECK(put == got, "a reserved range of a memfd cannot be written");
    done += static_cast<uint64_t>(got);
  }
}

// Short-term pins are out of the way for as long as it lives.
class MoveTurn {
 public:
  MoveTurn(RegionLife& life, std::chrono::nanoseconds patience)
      : life_(life), granted_(life.BeginMove(patience)) {}
  ~MoveTurn() {
    if (granted_) life_.EndMove();
  }
  MoveTurn(const MoveTurn&) = delete;
  MoveTurn& operator=(const MoveTurn&) = delete;

  bool granted() const { return granted_; }

 private:
  RegionLife& life_;
  const bool granted_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<MovableMemory>> MovableMemory::Create(const std::string& label,
                                                                     uint64_t bytes,
                                                                     uint64_t home_budget_bytes) {
  absl::StatusOr<UniqueFd> home = MakeFile(label, bytes);
  if (!home.ok()) return home.status();
  absl::StatusOr<UniqueFd> away = MakeFile(absl::StrCat(label, " evicted"), bytes);
  if (!away.ok()) return away.status();
  return std::shared_ptr<MovableMemory>(
      new MovableMemory(label, bytes, home_budget_bytes, *std::move(home), *std::move(away)));
}

MovableMemory::MovableMemory(std::string label, uint64_t bytes, uint64_t home_budget_bytes,
                             UniqueFd home, UniqueFd away)
    : label_(std::move(label)),
      bytes_(bytes),
      home_budget_bytes_(home_budget_bytes == 0 ? bytes : home_budget_bytes),
      home_(std::move(home)),
      away_(std::move(away)),
      resident_((bytes + kPagingBlockBytes - 1) / kPagingBlockBytes, true),
      resident_bytes_(bytes) {}

uint64_t MovableMemory::block_bytes(uint64_t block) const {
  return std::min(kPagingBlockBytes, bytes_ - block * kPagingBlockBytes);
}

absl::StatusOr<MappedMemory> MovableMemory::Map(MapAccess access) const {
  absl::StatusOr<MappedMemory> memory = MappedMemory::MapFile(home_.get(), bytes_, access);
  if (!memory.ok()) return memory.status();
  // Looked at where it is; a NIC is told by EvictedPlaces() not to write there.
  for (const RegionPlace& place : EvictedPlaces()) {
    if (!memory->CoverWithFile(place.offset, place.bytes, place.fd, place.fd_offset)) {
      return absl::ResourceExhaustedError("the kernel refused to map evicted memory");
    }
  }
  return memory;
}

std::vector<RegionPlace> MovableMemory::EvictedPlaces() const {
  std::vector<RegionPlace> places;
  for (uint64_t block = 0; block < resident_.size(); ++block) {
    if (resident_[block]) continue;
    const uint64_t offset = block * kPagingBlockBytes;
    places.push_back(RegionPlace{offset, block_bytes(block), away_.get(), offset, false});
  }
  return places;
}

Residence MovableMemory::FindResidence() const {
  return Residence{.device_bytes = resident_bytes_,
                   .host_bytes = bytes_ - resident_bytes_,
                   .where = "memory that moves: resident blocks, and evicted ones"};
}

// One block from one file to another, under every user. The caller holds the places.
absl::Status MovableMemory::MoveBlock(RegionLife& life, uint64_t block, int from, int to,
                                      bool resident) {
  const uint64_t offset = block * kPagingBlockBytes;
  const uint64_t bytes = block_bytes(block);
  absl::Status reserved = Reserve(to, offset, bytes);
  if (!reserved.ok()) return reserved;
  life.ForEachUser([&](RegionUser& user) { user.Withdraw(offset, bytes); });
  CopyBetween(from, to, offset, bytes);
  absl::Status lost;
  const RegionPlace place{offset, bytes, to, offset, resident};
  for (const bool writers : {false, true}) {
    life.ForEachUser([&](RegionUser& user) {
      if (user.writes() != writers) return;
      const absl::Status back = user.PutBack(place);
      if (!back.ok()) lost = back;
    });
  }
  GiveBack(from, offset, bytes);
  if (resident != resident_[block]) {
    resident_bytes_ = resident ? resident_bytes_ + bytes : resident_bytes_ - bytes;
  }
  resident_[block] = resident;
  if (!lost.ok()) life.Revoke(std::string(lost.message()));
  return lost;
}

absl::Status MovableMemory::PinnedElsewhere() const {
  return absl::UnavailableError(
      absl::StrCat("\"", label_, "\" is pinned by somebody who looked up where its bytes lie; ",
                   "try again when he has finished, or with more patience"));
}

absl::Status MovableMemory::Move(std::chrono::nanoseconds pin_patience) {
  const std::shared_ptr<RegionLife> life = life_.lock();
  // Before the places are locked: whoever holds a pin may want them until he gives it back.
  const MoveTurn turn(*life, pin_patience);
  if (!turn.granted()) return PinnedElsewhere();
  const std::unique_lock<std::mutex> places = life->LockPlaces();
  if (life->phase() == RegionPhase::kRevoked) return life->status();
  absl::StatusOr<UniqueFd> home = MakeFile(label_, bytes_);
  if (!home.ok()) return home.status();
  // Everything is had before anything moves, so that the region is never in two places.
  absl::Status moved;
  for (uint64_t block = 0; block < resident_.size() && moved.ok(); ++block) {
    if (!resident_[block]) continue;
    moved = Reserve(home->get(), block * kPagingBlockBytes, block_bytes(block));
  }
  if (!moved.ok()) return moved;
  for (uint64_t block = 0; block < resident_.size() && moved.ok(); ++block) {
    if (resident_[block]) moved = MoveBlock(*life, block, home_.get(), home->get(), true);
  }
  home_ = *std::move(home);
  return AfterMove(*life, moved);
}

// Revoked in the middle: the bytes are wherever they are, and nobody has access.
absl::Status MovableMemory::AfterMove(RegionLife& life, const absl::Status& moved) {
  return life.phase() == RegionPhase::kRevoked ? life.status() : moved;
}

absl::Status MovableMemory::Evict(uint64_t offset, uint64_t bytes,
                                  std::chrono::nanoseconds pin_patience) {
  if (offset > bytes_ || bytes > bytes_ - offset) {
    return absl::OutOfRangeError(absl::StrCat("eviction of ", bytes, " bytes from byte ", offset,
                                              " ends beyond the region of ", bytes_, " bytes"));
  }
  const std::shared_ptr<RegionLife> life = life_.lock();
  const MoveTurn turn(*life, pin_patience);
  if (!turn.granted()) return PinnedElsewhere();
  const std::unique_lock<std::mutex> places = life->LockPlaces();
  if (life->phase() == RegionPhase::kRevoked) return life->status();
  if (bytes == 0) return absl::OkStatus();
  const uint64_t end = (offset + bytes + kPagingBlockBytes - 1) / kPagingBlockBytes;
  absl::Status moved;
  for (uint64_t block = offset / kPagingBlockBytes; block < end && moved.ok(); ++block) {
    if (resident_[block]) moved = MoveBlock(*life, block, home_.get(), away_.get(), false);
  }
  return AfterMove(*life, moved);
}

bool MovableMemory::FaultIn(uint64_t offset, uint64_t bytes) {
  const std::shared_ptr<RegionLife> life = life_.lock();
  if (life == nullptr) return false;
  const MoveTurn turn(*life, std::chrono::nanoseconds(0));
  if (!turn.granted()) return false;
  const std::unique_lock<std::mutex> places = life->TryLockPlaces();
  if (!places.owns_lock() || life->phase() == RegionPhase::kRevoked) return false;
  const uint64_t end = (offset + bytes + kPagingBlockBytes - 1) / kPagingBlockBytes;
  bool in_place = true;
  for (uint64_t block = offset / kPagingBlockBytes; block < end && in_place; ++block) {
    if (resident_[block]) continue;
    in_place = resident_bytes_ + block_bytes(block) <= home_budget_bytes_ &&
               MoveBlock(*life, block, away_.get(), home_.get(), true).ok();
  }
  return in_place;
}

namespace {

class MovableRegion final : public Region {
 public:
  MovableRegion(RegionTraits traits, std::shared_ptr<MovableMemory> memory)
      : Region(std::move(traits)), memory_(std::move(memory)) {
    memory_->SetLife(life());
  }

  absl::Status Move(std::chrono::nanoseconds pin_patience) override {
    return memory_->Move(pin_patience);
  }
  absl::Status Evict(uint64_t offset, uint64_t bytes,
                     std::chrono::nanoseconds pin_patience) override {
    return memory_->Evict(offset, bytes, pin_patience);
  }
  absl::StatusOr<Residence> FindResidence() const override {
    const std::unique_lock<std::mutex> places = life()->LockPlaces();
    return memory_->FindResidence();
  }

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override { return memory_->Map(access); }
  std::vector<RegionPlace> EvictedPlaces() const override { return memory_->EvictedPlaces(); }
  std::shared_ptr<PagingSource> paging() const override { return memory_; }

  const std::shared_ptr<MovableMemory> memory_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Region>> MakeMovableRegion(RegionTraits traits,
                                                          uint64_t home_budget_bytes) {
  absl::StatusOr<std::shared_ptr<MovableMemory>> memory = MovableMemory::Create(
      traits.label.empty() ? "devmem movable" : traits.label, traits.size_bytes, home_budget_bytes);
  if (!memory.ok()) return memory.status();
  traits.attachment_kind = AttachmentKind::kMayMove;
  traits.local_because = "it may move, and a handle in another process could not follow it";
  return std::make_unique<MovableRegion>(std::move(traits), *std::move(memory));
}

}  // namespace devmem
