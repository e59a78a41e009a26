// SPDX-License-Identifier: Apache-2.0
//
// Slots and their frags.

#include "uapi/host_area.h"

#include <algorithm>
#include <utility>

#include "provider/check.h"
#include "provider/memfd_provider.h"
#include "uapi/limits.h"
#include "uapi/socket_figures.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<HostArea>> HostArea::Create(uint64_t bytes) {
  const uint64_t slots = std::max<uint64_t>(1, (bytes + kHostSlotBytes - 1) / kHostSlotBytes);
  absl::StatusOr<std::unique_ptr<Region>> region =
      MemfdProvider().Allocate({.bytes = slots * kHostSlotBytes, .label = "devmem host region"});
  if (!region.ok()) return region.status();
  absl::StatusOr<UserMapping> mapping =
      UserMapping::Map(**region, 0, (*region)->size_bytes(), MapAccess::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  const auto capacity = static_cast<uint32_t>(slots * kHostSlotBytes / kHostBytesPerToken);
  absl::StatusOr<TokenTable> tokens = TokenTable::CreateInOwnLane(capacity);
  if (!tokens.ok()) return tokens.status();
  return std::unique_ptr<HostArea>(
      new HostArea(*std::move(region), *std::move(mapping), *std::move(tokens)));
}

HostArea::HostArea(std::unique_ptr<Region> region, UserMapping mapping, TokenTable tokens)
    : region_(std::move(region)), mapping_(std::move(mapping)), tokens_(std::move(tokens)) {
  const auto slots = static_cast<uint32_t>(region_->size_bytes() / kHostSlotBytes);
  users_.resize(slots);
  frags_.resize(slots);
  for (uint32_t slot = slots; slot-- > 0;) free_.push_back(slot);
}

Account HostArea::account() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Account account{.total = users_.size(), .free = free_.size()};
  account.used = static_cast<uint64_t>(
      std::count_if(frags_.begin(), frags_.end(), [](uint32_t frags) { return frags > 0; }));
  account.open = account.total - account.free - account.used;
  return account;
}

bool HostArea::Release(Token token) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::optional<Piece> piece = tokens_.Remove(token);
  if (!piece.has_value()) return false;
  const uint32_t slot = piece->netmem.index();
  --frags_[slot];
  if (--users_[slot] == 0) free_.push_back(slot);
  changed_ = true;
  return true;
}

void HostArea::FlushReleases() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Publish();
}

void HostArea::PublishIn(StatsRecord* record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record_ = record;
  changed_ = true;
  Publish();
}

void HostArea::Publish() {
  if (record_ == nullptr || !changed_) return;
  changed_ = false;
  // A slot that is being filled counts as used here: to look at all of them would take too long.
  Account account{.total = users_.size(), .free = free_.size()};
  account.used = account.total - account.free;
  StatsFigures figures =
      QueueFigures(0, account, kHostSlotBytes, tokens_.held(), tokens_.held_bytes());
  figures.kind = StatsKind::kHost;
  record_->Write(figures);
}

bool HostArea::Holds(Token token) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return tokens_.Find(token) != nullptr;
}

uint32_t HostArea::TakeSlot() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (free_.empty()) return kNoSlot;
  const uint32_t slot = free_.back();
  free_.pop_back();
  users_[slot] = 1;
  return slot;
}

void HostArea::PutSlot(uint32_t slot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--users_[slot] == 0) free_.push_back(slot);
}

uint32_t HostArea::Reserve(uint32_t tokens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t left = tokens_.full() ? 0 : tokens_.capacity() - tokens_.held() - reserved_;
  const uint32_t granted = std::min(tokens, left);
  reserved_ += granted;
  return granted;
}

void HostArea::Unreserve(uint32_t tokens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reserved_ -= tokens;
  Publish();
}

Token HostArea::Name(uint32_t slot, uint32_t offset, uint32_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  --reserved_;
  ++users_[slot];
  ++frags_[slot];
  changed_ = true;
  return tokens_.Insert(
      {.netmem = NetmemRef::Host(slot), .offset_bytes = offset, .length_bytes = bytes});
}

uint8_t* HostArea::AddressOf(uint32_t slot) const {
  return static_cast<uint8_t*>(mapping_.address()) + uint64_t{slot} * kHostSlotBytes;
}

HostRoom::~HostRoom() {
  if (slot_ != HostArea::kNoSlot) area_->PutSlot(slot_);
}

std::span<uint8_t> HostRoom::Begin(uint32_t frags) {
  if (slot_ != HostArea::kNoSlot && kHostSlotBytes - filled_bytes_ < kKernelReceiveBytesMax) {
    area_->PutSlot(slot_);
    slot_ = HostArea::kNoSlot;
  }
  if (slot_ == HostArea::kNoSlot) {
    slot_ = area_->TakeSlot();
    filled_bytes_ = 0;
  }
  if (slot_ == HostArea::kNoSlot) return {};
  granted_ = area_->Reserve(frags);
  if (granted_ == 0) return {};
  return {area_->AddressOf(slot_) + filled_bytes_, kKernelReceiveBytesMax};
}

Frag HostRoom::Keep(uint32_t bytes) {
  DEVMEM_CHECK(granted_ > 0 && bytes <= kHostSlotBytes - filled_bytes_,
               "more was received into host memory than there was room for");
  const Frag frag{.region_id = area_->region().id(),
                  .length_bytes = bytes,
                  .offset = uint64_t{slot_} * kHostSlotBytes + filled_bytes_,
                  .token = area_->Name(slot_, filled_bytes_, bytes)};
  --granted_;
  filled_bytes_ += bytes;
  return frag;
}

void HostRoom::End() {
  area_->Unreserve(granted_);
  granted_ = 0;
}

}  // namespace devmem
