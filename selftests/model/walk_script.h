// SPDX-License-Identifier: Apache-2.0
//
// What a random walk does, as data: the shape of two engines and a list of operations on them, on
// their users and on the packets between them. All chance of a walk is in its script, so a script
// replays exactly, any part of it is a script again, and a failing one can be made smaller. Used by
// the tests of selftests/model on their one thread.
//
// The text form is one operation a line, "deliver b 0 0 1": name, side, slot, x, y. A line that
// begins with '#' is a comment, one that begins with "side" shapes an engine.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "selftests/testing/engine_harness.h"

namespace devmem::testing {

// `side` is who acts or who receives; `slot` one of kWalkSlots 4-tuples. An operation that makes no
// sense at its place does nothing.
enum class WalkOpKind : uint8_t {
  // The users.
  kConnect,
  kListen,
  kUnlisten,
  kAccept,
  kSend,     // x bytes.
  kRead,     // At most x bytes.
  kRelease,  // The oldest x held pieces.
  kShutdown,
  kAbort,
  kDetach,
  kKeepalive,  // After x idle seconds; 0 switches it off.
  // The packets on their way to `side`: the one numbered x, or the last.
  kDeliver,  // y & 1: flush afterwards; y & 2: into host memory; y & 4: marked by a router.
  kBurst,    // The first x, and one flush.
  kDrop,
  kDuplicate,  // Deliver a copy.
  kCut,        // Deliver, and memory suffices for y bytes only.
  kSplit,      // Into segments of y >> 1 bytes; y & 1: the last goes first.
  kMerge,      // Neighbours in order behind it, up to y bytes, travel as one from now on.
  // Memory and time.
  kFlush,
  kTick,  // x milliseconds pass.
  kHog,   // Somebody else takes x net_iovs of the device pool.
  kUnhog,
  kHogPieces,  // And x entries of the piece array.
  kUnhogPieces,
  kUnbind,  // The binding goes: bound connections are reset.
  kBind,
  kIcmp,  // A router says that packets of x bytes are the largest; y & 1: that it is unreachable.
  kCount,
};

struct WalkOp {
  WalkOpKind kind = WalkOpKind::kFlush;
  uint8_t side = 0;
  uint8_t slot = 0;
  uint32_t x = 0;
  uint32_t y = 0;
};

// Slots 0 and 4: side A connects to B's listener. 1: B to A's. 2: either or both connect, nobody
// listens. 3: as 0, over IPv6.
inline constexpr uint32_t kWalkSlots = 5;

struct WalkSide {
  uint32_t mtu_bytes = 1500;
  uint32_t gso_bytes = 0;
  uint32_t device_bytes = 512u << 10;
  uint32_t piece_count = 4096;
  uint32_t window_bytes = 4u << 20;
  uint32_t send_bytes = 64u << 10;
  uint32_t connections = 8;
  uint32_t cookies = 1;  // As SynCookies.
  bool timestamps = true;
  bool sack = true;
  bool ecn = false;

  HarnessSetup ToSetup() const;
};

struct WalkScript {
  std::array<WalkSide, 2> sides;
  std::vector<WalkOp> ops;
};

// How likely what is: a kind of walk. Per mille of operations unless the name says otherwise.
struct WalkProfile {
  const char* name = "";
  uint32_t op_count = 400;
  uint32_t loss = 0;
  uint32_t duplicate = 0;
  uint32_t reorder = 0;  // Of deliveries: not the first packet.
  uint32_t cut = 0;
  uint32_t split = 0;
  uint32_t merge = 0;
  uint32_t starve = 0;  // Hogs of net_iovs and of piece entries.
  uint32_t churn = 0;   // Opening, closing, aborting, listeners.
  uint32_t unbind = 0;
  uint32_t patience = 50;  // Ticks, and how long they may be.
  uint32_t tick_ms_max = 50;
  uint32_t send_bytes_max = 8000;
  uint32_t read_percent = 100;  // Of the reads that a user would make.
  bool small_memory = false;
  bool small_pieces = false;
  bool small_window = false;
};

WalkScript MakeScript(const WalkProfile& profile, uint64_t seed);

std::string ToText(const WalkOp& op);
std::string ToText(const WalkScript& script);
// Errors: kInvalidArgument, with the line.
absl::StatusOr<WalkScript> ScriptFromText(absl::string_view text);

}  // namespace devmem::testing
