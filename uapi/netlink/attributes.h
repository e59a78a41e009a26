// SPDX-License-Identifier: Apache-2.0
//
// The attributes of a netlink message, read in place: what the kernel sends is checked here once.
// The bytes outlive the view. Wrong lengths make an attribute absent, never a read out of bounds.
// Decoders of uapi/netlink use it, on the thread that received.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace devmem {

class Attributes {
 public:
  struct Item {
    uint16_t type = 0;  // Without the flags for nests and byte order.
    std::span<const uint8_t> payload;
    uint32_t offset = 0;  // Of the attribute's header, from the start of `bytes`.
  };

  // Stops at the first attribute that does not fit.
  explicit Attributes(std::span<const uint8_t> bytes);

  bool Has(uint16_t type) const { return Find(type) != nullptr; }
  std::optional<uint8_t> U8(uint16_t type) const;
  std::optional<uint32_t> U32(uint16_t type) const;
  std::optional<uint64_t> U64(uint16_t type) const;
  // The kernel's `uint`: 4 or 8 bytes, whichever is enough.
  std::optional<uint64_t> Uint(uint16_t type) const;
  std::optional<std::string> String(uint16_t type) const;
  std::optional<std::span<const uint8_t>> Bytes(uint16_t type) const;
  std::optional<Attributes> Nest(uint16_t type) const;
  const std::vector<Item>& items() const { return items_; }

 private:
  const Item* Find(uint16_t type) const;

  std::vector<Item> items_;
};

}  // namespace devmem
