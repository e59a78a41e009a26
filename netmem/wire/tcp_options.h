// SPDX-License-Identifier: Apache-2.0
// TCP options (RFC 9293 section 3.2, RFC 7323, RFC 2018) between their encoded form and one plain
// value. Called by the TCP engine for each segment on the worker's thread, and by the frame
// builder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

// RFC 7323 section 2.3: a larger shift that arrives counts as this one.
inline constexpr uint8_t kTcpWindowScaleMax = 14;
// As many as fit into 40 bytes of options (RFC 2018 section 3); three beside a timestamp.
inline constexpr size_t kTcpSackBlocksMax = 4;

// Times are in the ticks of whoever made them (RFC 7323 section 5.4).
struct TcpTimestamps {
  uint32_t value = 0;  // TSval: the sender's clock.
  uint32_t echo = 0;   // TSecr: the receiver's clock, sent back.

  friend constexpr bool operator==(const TcpTimestamps&, const TcpTimestamps&) = default;
};

// The received bytes from `left` up to, and without, `right`.
struct SackBlock {
  SeqNum left = {};
  SeqNum right = {};

  friend constexpr bool operator==(const SackBlock&, const SackBlock&) = default;
};

struct TcpOptions {
  std::optional<uint16_t> mss = {};  // In bytes.
  std::optional<uint8_t> window_scale = {};
  bool sack_permitted = false;
  // The list broke off: an option was shorter than its kind allows or ran past the end. The options
  // before it are kept.
  bool malformed = false;
  uint8_t sack_block_count = 0;
  std::optional<TcpTimestamps> timestamps = {};
  std::array<SackBlock, kTcpSackBlocksMax> sack_blocks{};

  // The blocks that are present, in the order of the segment.
  std::span<const SackBlock> sacks() const { return {sack_blocks.data(), sack_block_count}; }

  friend constexpr bool operator==(const TcpOptions&, const TcpOptions&) = default;
};

// Reads any sequence of options; the path for everything but a bare timestamp.
TcpOptions ParseTcpOptionsSlow(std::span<const uint8_t> options);

// Reads the bytes between the fixed header and the data offset. Unknown kinds are skipped; of a
// kind that comes twice the last one counts. Nearly every segment of a running connection carries
// exactly NOP, NOP, timestamp, aligned as RFC 7323 appendix A recommends: that case takes one
// comparison.
inline TcpOptions ParseTcpOptions(std::span<const uint8_t> options) {
  constexpr uint32_t kNopNopTimestamp = 0x0101080a;
  if (options.size() == 12 && LoadBe32(options.data()) == kNopNopTimestamp) [[likely]] {
    return TcpOptions{.timestamps = TcpTimestamps{LoadBe32(&options[4]), LoadBe32(&options[8])}};
  }
  return ParseTcpOptionsSlow(options);
}

// Writes the options that are set to the start of `out`, in the order MSS, SACK-permitted,
// timestamps, window scale, SACK, padded with NOPs to a multiple of 4 bytes. Returns the bytes
// written: at most 40 and at most out.size(). An option that finds no room is left out; of the SACK
// blocks as many are written as fit. `malformed` is ignored.
size_t EmitTcpOptions(const TcpOptions& options, std::span<uint8_t> out);

}  // namespace devmem
