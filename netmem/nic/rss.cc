// SPDX-License-Identifier: Apache-2.0
//
// The Toeplitz hash, half a byte at a time. Runs where frames are sorted into queues: on the thread
// that drives the wire.

#include "netmem/nic/rss.h"

#include "absl/strings/str_cat.h"
#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

constexpr uint32_t kNibbles = 2 * kToeplitzInputBytesMax;
static_assert(kToeplitzInputBytesMax + sizeof(uint32_t) <= kRssKeyBytes);

// The 32 bits of the key from bit `bit` on, counted from its first byte's highest.
constexpr uint32_t KeyWindow(uint32_t bit) {
  uint32_t window = 0;
  for (uint32_t i = bit; i < bit + 32; ++i) {
    const uint32_t key_bit = uint32_t{kRssKeyMicrosoft[i / 8]} >> (7 - i % 8) & 1;
    window = window << 1 | key_bit;
  }
  return window;
}

using NibbleTable = std::array<std::array<uint32_t, 16>, kNibbles>;

// What each value of each half byte of input adds to the hash: the key windows of its set bits.
constexpr NibbleTable MakeTable() {
  NibbleTable table{};
  for (uint32_t nibble = 0; nibble < kNibbles; ++nibble) {
    for (uint32_t bit = 0; bit < 4; ++bit) {
      const uint32_t window = KeyWindow(4 * nibble + bit);
      for (uint32_t value = 0; value < 16; ++value) {
        if ((value >> (3 - bit) & 1) != 0) table[nibble][value] ^= window;
      }
    }
  }
  return table;
}

constexpr NibbleTable kTable = MakeTable();

// Writes an address in the length that its family has on the wire. Returns that length.
size_t StoreAddress(const IpAddress& address, uint8_t* out) {
  if (address.is_v4()) {
    StoreBe32(out, address.v4());
    return sizeof(uint32_t);
  }
  address.StoreTo(out);
  return IpAddress::kBytes;
}

}  // namespace

uint32_t ToeplitzHash(std::span<const uint8_t> input) {
  uint32_t hash = 0;
  for (size_t i = 0; i < input.size(); ++i) {
    hash ^= kTable[2 * i][input[i] >> 4] ^ kTable[2 * i + 1][input[i] & 0xf];
  }
  return hash;
}

uint32_t RssHash(const FlowKey& flow, bool with_ports) {
  std::array<uint8_t, kToeplitzInputBytesMax> input;
  size_t bytes = StoreAddress(flow.remote, input.data());
  bytes += StoreAddress(flow.local, input.data() + bytes);
  if (with_ports) {
    StoreBe16(input.data() + bytes, flow.remote_port);
    StoreBe16(input.data() + bytes + 2, flow.local_port);
    bytes += 4;
  }
  return ToeplitzHash(std::span(input).first(bytes));
}

uint32_t RssHash(const FrameHeaders& headers) {
  switch (headers.kind) {
    case FrameKind::kTcp: return RssHash(headers.flow, true);
    case FrameKind::kIcmp:
    case FrameKind::kIcmpV6: return RssHash(headers.flow, false);
    case FrameKind::kOther:
      // Of kOther, only IP packets have an IP length and so an expected size.
      return headers.frame_bytes_expected == 0 ? 0 : RssHash(headers.flow, false);
    case FrameKind::kArp:
    case FrameKind::kMalformed: return 0;
  }
  return 0;
}

absl::Status RssTable::SetQueues(std::span<const uint32_t> queues, uint32_t queue_count) {
  if (queues.empty()) {
    return absl::InvalidArgumentError(
        "the list of RSS queues is empty; name at least one queue that is not bound");
  }
  for (const uint32_t queue : queues) {
    if (queue >= queue_count) {
      return absl::OutOfRangeError(absl::StrCat(
          "RSS queue ", queue, " does not exist; the device has queues 0 to ", queue_count - 1));
    }
  }
  for (size_t entry = 0; entry < entries_.size(); ++entry) {
    entries_[entry] = queues[entry % queues.size()];
  }
  return absl::OkStatus();
}

}  // namespace devmem
