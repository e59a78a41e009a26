// SPDX-License-Identifier: Apache-2.0
//
// The host region of a session over kernel sockets: where bytes land that no bound region got, in
// the kernel's words linear ones, and those of queues that are not bound. The kernel copies them
// there at once, so that they are frags like any others. Divided into slots; a receiver fills one
// from its start to its end, and a slot is used again when all its frags are back. Any thread may
// call; one lock, under which nothing is copied.

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/account.h"
#include "netmem/frag.h"
#include "netmem/token_table.h"
#include "provider/region.h"
#include "provider/user_mapping.h"
#include "uapi/socket_queue.h"

namespace devmem {

// One receiver's place in the area; it goes before the area.
class HostRoom;

class HostArea final : public TokenOwner {
 public:
  // At least `bytes` bytes, and one slot. Errors: the memory provider's, and TokenTable's.
  static absl::StatusOr<std::unique_ptr<HostArea>> Create(uint64_t bytes);

  const Region& region() const { return *region_; }
  uint16_t lane() const { return tokens_.lane(); }
  // In slots.
  Account account() const;

  bool Release(Token token) override;
  void FlushReleases() override;
  bool Holds(Token token) const override;

  // Where the area tells how it stands, from now on.
  void PublishIn(StatsRecord* record);

 private:
  friend class HostRoom;
  static constexpr uint32_t kNoSlot = UINT32_MAX;

  HostArea(std::unique_ptr<Region> region, UserMapping mapping, TokenTable tokens);

  uint32_t TakeSlot();
  void PutSlot(uint32_t slot);
  uint32_t Reserve(uint32_t tokens);
  void Unreserve(uint32_t tokens);
  Token Name(uint32_t slot, uint32_t offset, uint32_t bytes);
  void Publish();
  uint8_t* AddressOf(uint32_t slot) const;

  const std::unique_ptr<Region> region_;
  const UserMapping mapping_;

  mutable std::mutex mutex_;  // Guards everything below.
  TokenTable tokens_;
  uint32_t reserved_ = 0;        // Tokens that receivers may still make.
  std::vector<uint32_t> users_;  // Of each slot: its frags, and the receiver that fills it.
  std::vector<uint32_t> frags_;  // Of each slot.
  std::vector<uint32_t> free_;   // Slots; the one freed last is still warm, and goes first.
  StatsRecord* record_ = nullptr;
  bool changed_ = false;  // Since it was published.
};

// Begin(), then Keep() for each stretch that holds received bytes, then End(). Owned and locked by
// its receiver.
class HostRoom {
 public:
  explicit HostRoom(HostArea* area) : area_(area) {}
  ~HostRoom();
  HostRoom(const HostRoom&) = delete;
  HostRoom& operator=(const HostRoom&) = delete;

  // Contiguous room of kKernelReceiveBytesMax bytes, and names for at most `frags` stretches of it;
  // empty when so much of the area is held that there is none.
  std::span<uint8_t> Begin(uint32_t frags);
  // How many stretches Begin() granted.
  uint32_t granted() const { return granted_; }
  // The next `bytes` bytes of the room, as a frag.
  Frag Keep(uint32_t bytes);
  void End();

 private:
  HostArea* const area_;
  uint32_t slot_ = HostArea::kNoSlot;
  uint32_t filled_bytes_ = 0;  // Of the slot.
  uint32_t granted_ = 0;
};

}  // namespace devmem
