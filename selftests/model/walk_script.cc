// SPDX-License-Identifier: Apache-2.0
//
// Scripts as text, and back. What makes them up is in walk_generator.cc.

#include "selftests/model/walk_script.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace devmem::testing {
namespace {

// In the order of WalkOpKind.
constexpr absl::string_view kNames[] = {
    "connect",   "listen",    "unlisten",    "accept",    "send",    "read",  "release",
    "shutdown",  "abort",     "detach",      "keepalive", "deliver", "burst", "drop",
    "duplicate", "cut",       "split",       "merge",     "flush",   "tick",  "hog",
    "unhog",     "hogpieces", "unhogpieces", "unbind",    "bind",    "icmp"};
static_assert(std::size(kNames) == static_cast<size_t>(WalkOpKind::kCount));

std::vector<uint32_t*> FieldsOf(WalkSide& side) {
  return {&side.mtu_bytes,    &side.gso_bytes,  &side.device_bytes, &side.piece_count,
          &side.window_bytes, &side.send_bytes, &side.connections,  &side.cookies};
}

std::string ToText(size_t index, WalkSide side) {
  std::string text = index == 0 ? "side a" : "side b";
  for (const uint32_t* field : FieldsOf(side)) absl::StrAppend(&text, " ", *field);
  return absl::StrCat(text, " ", side.timestamps ? 1 : 0, " ", side.sack ? 1 : 0, " ",
                      side.ecn ? 1 : 0);
}

absl::Status BadLine(absl::string_view line) {
  return absl::InvalidArgumentError(absl::StrCat("no operation of a walk: ", line));
}

bool ParseSide(const std::vector<absl::string_view>& words, WalkScript* script) {
  if (words.size() != 13 || (words[1] != "a" && words[1] != "b")) return false;
  WalkSide& side = script->sides[words[1] == "a" ? 0 : 1];
  size_t at = 2;
  for (uint32_t* field : FieldsOf(side)) {
    if (!absl::SimpleAtoi(words[at++], field)) return false;
  }
  side.timestamps = words[10] == "1";
  side.sack = words[11] == "1";
  side.ecn = words[12] == "1";
  return true;
}

bool ParseOp(const std::vector<absl::string_view>& words, WalkOp* op) {
  if (words.size() != 5 || (words[1] != "a" && words[1] != "b")) return false;
  const auto name = std::find(std::begin(kNames), std::end(kNames), words[0]);
  uint32_t slot = 0;
  if (name == std::end(kNames) || !absl::SimpleAtoi(words[2], &slot) || slot >= kWalkSlots ||
      !absl::SimpleAtoi(words[3], &op->x) || !absl::SimpleAtoi(words[4], &op->y)) {
    return false;
  }
  op->kind = static_cast<WalkOpKind>(name - std::begin(kNames));
  op->side = words[1] == "a" ? 0 : 1;
  op->slot = static_cast<uint8_t>(slot);
  return true;
}

}  // namespace

HarnessSetup WalkSide::ToSetup() const {
  HarnessSetup setup;
  setup.tcp.mtu_bytes = mtu_bytes;
  setup.tcp.gso_bytes_max = gso_bytes;
  setup.tcp.window_bytes_max = window_bytes;
  setup.tcp.send_buffer_bytes = send_bytes;
  setup.tcp.connections_max = connections;
  setup.tcp.timestamps = timestamps;
  setup.tcp.sack = sack;
  setup.tcp.ecn = ecn ? EcnMode::kOffer : EcnMode::kAccept;
  setup.tcp.syn_cookies = static_cast<SynCookies>(std::min(cookies, 2u));
  setup.device_bytes = device_bytes;
  setup.host_bytes = 128u << 10;
  setup.piece_count = piece_count;
  return setup;
}

std::string ToText(const WalkOp& op) {
  return absl::StrCat(kNames[static_cast<size_t>(op.kind)], op.side == 0 ? " a " : " b ", op.slot,
                      " ", op.x, " ", op.y);
}

std::string ToText(const WalkScript& script) {
  std::string text;
  for (size_t i = 0; i < 2; ++i) absl::StrAppend(&text, ToText(i, script.sides[i]), "\n");
  for (const WalkOp& op : script.ops) absl::StrAppend(&text, ToText(op), "\n");
  return text;
}

absl::StatusOr<WalkScript> ScriptFromText(absl::string_view text) {
  WalkScript script;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty() || words[0][0] == '#') continue;
    WalkOp op;
    if (words[0] == "side") {
      if (!ParseSide(words, &script)) return BadLine(line);
    } else if (ParseOp(words, &op)) {
      script.ops.push_back(op);
    } else {
      return BadLine(line);
    }
  }
  return script;
}

}  // namespace devmem::testing
