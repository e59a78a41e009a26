// SPDX-License-Identifier: Apache-2.0
//
// Makes the script of a walk from its profile and a seed. The generator knows nothing of what the
// engines will do; weights alone keep walks busy.

#include <algorithm>

#include "netmem/nic/impairment.h"
#include "selftests/model/walk_script.h"

namespace devmem::testing {
namespace {

class Generator {
 public:
  Generator(const WalkProfile& profile, uint64_t seed) : profile_(profile), random_(seed) {}

  WalkScript Make() {
    WalkScript script;
    for (WalkSide& side : script.sides) side = Side();
    for (uint8_t side = 0; side < 2; ++side) Add(WalkOpKind::kListen, side, 0);
    Add(WalkOpKind::kConnect, 0, 0);
    Add(WalkOpKind::kBurst, 1, 0, 1);
    while (ops_.size() < profile_.op_count) Next();
    script.ops = std::move(ops_);
    return script;
  }

 private:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_.Below(bound)); }
  bool Chance(uint32_t per_mille) { return Below(1000) < per_mille; }
  template <size_t n>
  uint32_t OneOf(const uint32_t (&values)[n]) {
    return values[Below(n)];
  }
  void Add(WalkOpKind kind, uint32_t side, uint32_t slot, uint32_t x = 0, uint32_t y = 0) {
    ops_.push_back(WalkOp{kind, static_cast<uint8_t>(side), static_cast<uint8_t>(slot), x, y});
  }
  // Mostly the one connection that every walk begins with.
  uint32_t Slot() { return Chance(profile_.churn == 0 ? 900 : 500) ? 0 : Below(kWalkSlots); }
  // Small numbers are likelier than large ones, and every size of number is there.
  uint32_t Bytes(uint32_t max) { return 1 + Below(std::max(1u, max >> Below(12))); }

  WalkSide Side() {
    WalkSide side;
    side.mtu_bytes = OneOf({576, 1500, 1500, 9000, 65535});
    side.gso_bytes = OneOf({0, 0, 20'000, 65'000});
    side.device_bytes = profile_.small_memory ? 128u << 10 : OneOf({256u << 10, 1u << 20});
    side.piece_count = profile_.small_pieces ? 4 + Below(30) : 4096;
    side.window_bytes = profile_.small_window ? 1 + Below(20'000) : OneOf({65'535, 4u << 20});
    side.connections = profile_.churn != 0 ? OneOf({2, 3, 8}) : 8;
    side.send_bytes = OneOf({8u << 10, 64u << 10});
    side.timestamps = Chance(700);
    side.sack = Chance(800);
    side.ecn = Chance(300);
    side.cookies = Chance(200) ? 1 : 0;
    return side;
  }

  void Next() {
    const uint32_t side = Below(2);
    if (Chance(profile_.churn)) return Churn(side);
    if (Chance(profile_.starve)) return Starve(side);
    if (Chance(profile_.unbind)) {
      return Add(Chance(300) ? WalkOpKind::kUnbind : WalkOpKind::kBind, side, 0);
    }
    if (Chance(profile_.patience)) {
      const uint32_t most = Chance(30) ? 90'000 : profile_.tick_ms_max;
      return Add(WalkOpKind::kTick, 0, 0, Bytes(most));
    }
    if (Chance(profile_.churn / 20)) {
      return Add(WalkOpKind::kIcmp, side, Slot(), 68 + Below(9000), Below(2));
    }
    if (Chance(650)) return Packet(side);
    User(side);
  }

  void Packet(uint32_t side) {
    const uint32_t index = Chance(profile_.reorder) ? Below(12) : 0;
    if (Chance(profile_.loss)) return Add(WalkOpKind::kDrop, side, 0, index);
    if (Chance(profile_.duplicate)) return Add(WalkOpKind::kDuplicate, side, 0, index);
    if (Chance(profile_.cut)) {
      return Add(WalkOpKind::kCut, side, 0, index, Chance(300) ? 0 : Bytes(3000));
    }
    if (Chance(profile_.split)) {
      return Add(WalkOpKind::kSplit, side, 0, index, Bytes(3000) << 1 | Below(2));
    }
    if (Chance(profile_.merge)) return Add(WalkOpKind::kMerge, side, 0, index, Bytes(64u << 10));
    if (Chance(200)) return Add(WalkOpKind::kBurst, side, 0, 1 + Below(8));
    if (Chance(50)) return Add(WalkOpKind::kFlush, side, 0);
    const uint32_t flags =
        (Chance(800) ? 1u : 0u) | (Chance(50) ? 2u : 0u) | (Chance(30) ? 4u : 0u);
    Add(WalkOpKind::kDeliver, side, 0, index, flags);
  }

  void User(uint32_t side) {
    const uint32_t slot = Slot();
    switch (Below(8)) {
      case 0:
      case 1:
      case 2: return Add(WalkOpKind::kSend, side, slot, Bytes(profile_.send_bytes_max));
      case 3:
      case 4:
        if (Below(100) >= profile_.read_percent) return;
        return Add(WalkOpKind::kRead, side, slot, Bytes(100'000));
      case 5:
      case 6:
        if (Below(100) >= profile_.read_percent) return;
        return Add(WalkOpKind::kRelease, side, 0, Below(30));
      default: return Add(WalkOpKind::kAccept, side, slot);
    }
  }

  void Churn(uint32_t side) {
    const uint32_t slot = Slot();
    switch (Below(16)) {
      case 0: return Add(WalkOpKind::kAbort, side, slot);
      case 1: return Add(Chance(500) ? WalkOpKind::kUnlisten : WalkOpKind::kListen, side, slot);
      case 2: return Add(WalkOpKind::kListen, side, slot);
      case 3:
      case 4: return Add(WalkOpKind::kDetach, side, slot);
      case 5:
      case 6: return Add(WalkOpKind::kShutdown, side, slot);
      case 7: return Add(WalkOpKind::kKeepalive, side, slot, Below(200));
      case 8:
      case 9:
      case 10: return Add(WalkOpKind::kAccept, side, slot);
      case 11: return Add(WalkOpKind::kConnect, side, 2);
      default: return Add(WalkOpKind::kConnect, side, slot);
    }
  }

  void Starve(uint32_t side) {
    switch (Below(4)) {
      case 0: return Add(WalkOpKind::kHog, side, 0, 1 + Below(64));
      case 1: return Add(WalkOpKind::kUnhog, side, 0);
      case 2: return Add(WalkOpKind::kHogPieces, side, 0, 1 + Below(40));
      default: return Add(WalkOpKind::kUnhogPieces, side, 0);
    }
  }

  const WalkProfile& profile_;
  SeededRandom random_;
  std::vector<WalkOp> ops_;
};

}  // namespace

WalkScript MakeScript(const WalkProfile& profile, uint64_t seed) {
  return Generator(profile, seed).Make();
}

}  // namespace devmem::testing
