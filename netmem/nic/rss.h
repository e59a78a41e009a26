// SPDX-License-Identifier: Apache-2.0
//
// Receive-side scaling: the Toeplitz hash over a frame's addresses and ports, and the indirection
// table that maps it to a queue. The wire NIC asks it for each frame that no flow rule names, as
// hardware does; the table is filled by the control thread. The hash is Microsoft's "RSS Hashing
// Functions", and every NIC that speaks of RSS computes the same one.

#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "netmem/nic/limits.h"
#include "netmem/wire/frame.h"

namespace devmem {

// The key with which Microsoft publishes its verification vectors.
inline constexpr std::array<uint8_t, kRssKeyBytes> kRssKeyMicrosoft = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

// The most input that the key covers: two IPv6 addresses and two ports.
inline constexpr size_t kToeplitzInputBytesMax = 36;

// A key made ready for hashing: what each value of each half byte of input adds to the hash, which
// is the key windows of its set bits.
class ToeplitzKey {
 public:
  explicit constexpr ToeplitzKey(std::span<const uint8_t, kRssKeyBytes> key) {
    for (uint32_t nibble = 0; nibble < kNibbles; ++nibble) {
      for (uint32_t bit = 0; bit < 4; ++bit) {
        const uint32_t window = KeyWindow(key, 4 * nibble + bit);
        for (uint32_t value = 0; value < 16; ++value) {
          if ((value >> (3 - bit) & 1) != 0) table_[nibble][value] ^= window;
        }
      }
    }
  }

  // The hash of `input`, at most kToeplitzInputBytesMax bytes.
  uint32_t Hash(std::span<const uint8_t> input) const;

 private:
  static constexpr uint32_t kNibbles = 2 * kToeplitzInputBytesMax;

  // The 32 bits of the key from bit `bit` on, counted from its first byte's highest.
  static constexpr uint32_t KeyWindow(std::span<const uint8_t, kRssKeyBytes> key, uint32_t bit) {
    uint32_t window = 0;
    for (uint32_t i = bit; i < bit + 32; ++i) {
      const uint32_t key_bit = uint32_t{key[i / 8]} >> (7 - i % 8) & 1;
      window = window << 1 | key_bit;
    }
    return window;
  }

  std::array<std::array<uint32_t, 16>, kNibbles> table_{};
};

// The hash of `input`, at most kToeplitzInputBytesMax bytes, under kRssKeyMicrosoft.
uint32_t ToeplitzHash(std::span<const uint8_t> input);

// The hash of a received flow: source address, destination address and, if asked for, source port
// and destination port.
uint32_t RssHash(const ToeplitzKey& key, const FlowKey& flow, bool with_ports);
// The same under kRssKeyMicrosoft.
uint32_t RssHash(const FlowKey& flow, bool with_ports);

// The hash that chooses a frame's queue: addresses and ports of TCP, addresses of other IP packets
// and of fragments, 0 for what is not IP.
uint32_t RssHash(const FrameHeaders& headers);

// Which queue a hash value goes to. Starts with everything on queue 0.
class RssTable {
 public:
  // Spreads the entries evenly over `queues`, in turn.
  //
  // Errors: kInvalidArgument  no queue is given.
  //         kOutOfRange       a queue is not below `queue_count`. The table is unchanged.
  absl::Status SetQueues(std::span<const uint32_t> queues, uint32_t queue_count);

  // Takes the table as somebody else has made it.
  //
  // Errors: kInvalidArgument  it has not kRssTableEntries entries.
  //         kOutOfRange       a queue is not below `queue_count`. The table is unchanged.
  absl::Status SetEntries(std::span<const uint32_t> queues, uint32_t queue_count);

  uint32_t QueueFor(uint32_t hash) const { return entries_[hash % kRssTableEntries]; }

 private:
  std::array<uint32_t, kRssTableEntries> entries_{};
};

}  // namespace devmem
