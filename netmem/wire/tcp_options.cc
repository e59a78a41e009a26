// SPDX-License-Identifier: Apache-2.0
// Reading and writing TCP options, the general case: tcp_options.h holds the fast one. Runs on the
// worker's thread for each SYN and each segment that carries SACK blocks.
#include "netmem/wire/tcp_options.h"

#include <algorithm>

#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

// Option kinds and their lengths in bytes, kind and length included (RFC 9293 section 3.2, RFC 7323
// sections 2.2 and 3.2, RFC 2018 sections 2 and 3).
constexpr uint8_t kKindEnd = 0;
constexpr uint8_t kKindNop = 1;
constexpr uint8_t kKindMss = 2;
constexpr uint8_t kKindWindowScale = 3;
constexpr uint8_t kKindSackPermitted = 4;
constexpr uint8_t kKindSack = 5;
constexpr uint8_t kKindTimestamps = 8;

constexpr size_t kMssBytes = 4;
constexpr size_t kWindowScaleBytes = 3;
constexpr size_t kSackPermittedBytes = 2;
constexpr size_t kTimestampsBytes = 10;
constexpr size_t kSackBlockBytes = 8;
constexpr size_t kHeadBytes = 2;  // Kind and length.

bool ParseSack(std::span<const uint8_t> option, TcpOptions& parsed) {
  const size_t count = (option.size() - kHeadBytes) / kSackBlockBytes;
  if (count == 0 || count > kTcpSackBlocksMax) return false;
  if (option.size() != kHeadBytes + count * kSackBlockBytes) return false;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* block = &option[kHeadBytes + i * kSackBlockBytes];
    parsed.sack_blocks[i] = {SeqNum(LoadBe32(block)), SeqNum(LoadBe32(block + 4))};
  }
  // Of two lists the last one counts, so the longer first one leaves nothing behind.
  std::fill(parsed.sack_blocks.begin() + static_cast<std::ptrdiff_t>(count),
            parsed.sack_blocks.end(), SackBlock());
  parsed.sack_block_count = static_cast<uint8_t>(count);
  return true;
}

// Takes one option, head included, into `parsed`. Returns false if its length is wrong for its
// kind.
bool ParseOne(std::span<const uint8_t> option, TcpOptions& parsed) {
  switch (option[0]) {
    case kKindMss:
      if (option.size() != kMssBytes) return false;
      parsed.mss = LoadBe16(&option[2]);
      return true;
    case kKindWindowScale:
      if (option.size() != kWindowScaleBytes) return false;
      parsed.window_scale = std::min(option[2], kTcpWindowScaleMax);
      return true;
    case kKindSackPermitted:
      if (option.size() != kSackPermittedBytes) return false;
      parsed.sack_permitted = true;
      return true;
    case kKindSack: return ParseSack(option, parsed);
    case kKindTimestamps:
      if (option.size() != kTimestampsBytes) return false;
      parsed.timestamps = TcpTimestamps{LoadBe32(&option[2]), LoadBe32(&option[6])};
      return true;
    default: return true;  // RFC 9293 MUST-6: an unknown option is stepped over.
  }
}

// Appends options to a buffer. What does not fit whole is refused and leaves no trace.
class OptionWriter {
 public:
  explicit OptionWriter(std::span<uint8_t> out)
      : out_(out.first(std::min(out.size(), kTcpOptionsBytesMax) / 4 * 4)) {}

  // Takes `bytes` bytes that end on a 4-byte boundary, with NOPs before them (RFC 7323 appendix A).
  // Returns where they begin, or null if there is no room.
  uint8_t* Take(size_t bytes) {
    const size_t nop_count = (4 - (used_ + bytes) % 4) % 4;
    if (nop_count + bytes > room()) return nullptr;
    uint8_t* start = std::fill_n(out_.data() + used_, nop_count, kKindNop);
    used_ += nop_count + bytes;
    return start;
  }

  // Starts one option of `bytes` bytes. Returns where its values go, or null if there is no room.
  uint8_t* Start(uint8_t kind, size_t bytes) {
    uint8_t* start = Take(bytes);
    return start == nullptr ? nullptr : WriteHead(start, kind, bytes);
  }

  // Writes kind and length to `start`. Returns where the values go.
  static uint8_t* WriteHead(uint8_t* start, uint8_t kind, size_t bytes) {
    start[0] = kind;
    start[1] = static_cast<uint8_t>(bytes);
    return start + kHeadBytes;
  }

  size_t room() const { return out_.size() - used_; }
  size_t used() const { return used_; }

 private:
  std::span<uint8_t> out_;
  size_t used_ = 0;
};

// SACK-permitted has two bytes where timestamps alone would have two NOPs: together they fill three
// words, which leaves a SYN room for every other option.
void EmitSackPermittedAndTimestamps(const TcpOptions& options, OptionWriter& writer) {
  uint8_t* start = nullptr;
  if (options.sack_permitted && options.timestamps) {
    start = writer.Take(kSackPermittedBytes + kTimestampsBytes);
  }
  uint8_t* values = nullptr;
  if (start != nullptr) {
    start = OptionWriter::WriteHead(start, kKindSackPermitted, kSackPermittedBytes);
    values = OptionWriter::WriteHead(start, kKindTimestamps, kTimestampsBytes);
  } else {
    if (options.sack_permitted) writer.Start(kKindSackPermitted, kSackPermittedBytes);
    if (options.timestamps) values = writer.Start(kKindTimestamps, kTimestampsBytes);
  }
  if (values == nullptr) return;
  StoreBe32(values, options.timestamps->value);
  StoreBe32(values + 4, options.timestamps->echo);
}

void EmitSack(std::span<const SackBlock> blocks, OptionWriter& writer) {
  // Two NOPs come before the head, so the blocks are aligned.
  constexpr size_t kOverheadBytes = 4;
  if (blocks.empty() || writer.room() < kOverheadBytes + kSackBlockBytes) return;
  const size_t count = std::min(blocks.size(), (writer.room() - kOverheadBytes) / kSackBlockBytes);
  uint8_t* values = writer.Start(kKindSack, kHeadBytes + count * kSackBlockBytes);
  for (const SackBlock& block : blocks.first(count)) {
    StoreBe32(values, block.left.value());
    StoreBe32(values + 4, block.right.value());
    values += kSackBlockBytes;
  }
}

}  // namespace

TcpOptions ParseTcpOptionsSlow(std::span<const uint8_t> options) {
  TcpOptions parsed;
  while (!options.empty() && options[0] != kKindEnd) {
    if (options[0] == kKindNop) {
      options = options.subspan(1);
      continue;
    }
    const size_t bytes = options.size() < kHeadBytes ? 0 : options[1];
    if (bytes < kHeadBytes || bytes > options.size() || !ParseOne(options.first(bytes), parsed)) {
      parsed.malformed = true;
      break;
    }
    options = options.subspan(bytes);
  }
  return parsed;
}

size_t EmitTcpOptions(const TcpOptions& options, std::span<uint8_t> out) {
  OptionWriter writer(out);
  if (options.mss) {
    if (uint8_t* values = writer.Start(kKindMss, kMssBytes)) StoreBe16(values, *options.mss);
  }
  EmitSackPermittedAndTimestamps(options, writer);
  if (options.window_scale) {
    uint8_t* values = writer.Start(kKindWindowScale, kWindowScaleBytes);
    if (values != nullptr) *values = *options.window_scale;
  }
  EmitSack(options.sacks(), writer);
  return writer.used();
}

}  // namespace devmem
