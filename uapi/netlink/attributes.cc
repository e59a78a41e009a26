// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/attributes.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cstring>

namespace devmem {
namespace {

constexpr size_t kHeaderBytes = sizeof(nlattr);
constexpr size_t kAlignBytes = NLA_ALIGNTO;

template <typename T>
std::optional<T> Load(std::span<const uint8_t> payload) {
  if (payload.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, payload.data(), sizeof(value));
  return value;
}

}  // namespace

Attributes::Attributes(std::span<const uint8_t> bytes) {
  size_t at = 0;
  while (bytes.size() - at >= kHeaderBytes) {
    nlattr header;
    std::memcpy(&header, bytes.data() + at, sizeof(header));
    const size_t length = header.nla_len;
    if (length < kHeaderBytes || length > bytes.size() - at) return;
    items_.push_back({static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                      bytes.subspan(at + kHeaderBytes, length - kHeaderBytes),
                      static_cast<uint32_t>(at)});
    // The last attribute may lack its padding.
    at = std::min(at + (length + kAlignBytes - 1) / kAlignBytes * kAlignBytes, bytes.size());
  }
}

const Attributes::Item* Attributes::Find(uint16_t type) const {
  for (const Item& item : items_) {
    if (item.type == type) return &item;
  }
  return nullptr;
}

std::optional<uint8_t> Attributes::U8(uint16_t type) const {
  const Item* const item = Find(type);
  return item != nullptr ? Load<uint8_t>(item->payload) : std::nullopt;
}

std::optional<uint32_t> Attributes::U32(uint16_t type) const {
  const Item* const item = Find(type);
  return item != nullptr ? Load<uint32_t>(item->payload) : std::nullopt;
}

std::optional<uint64_t> Attributes::U64(uint16_t type) const {
  const Item* const item = Find(type);
  return item != nullptr ? Load<uint64_t>(item->payload) : std::nullopt;
}

std::optional<uint64_t> Attributes::Uint(uint16_t type) const {
  if (const std::optional<uint32_t> narrow = U32(type)) return *narrow;
  return U64(type);
}

std::optional<std::string> Attributes::String(uint16_t type) const {
  const Item* const item = Find(type);
  if (item == nullptr) return std::nullopt;
  const auto end = std::find(item->payload.begin(), item->payload.end(), uint8_t{0});
  return std::string(item->payload.begin(), end);
}

std::optional<std::span<const uint8_t>> Attributes::Bytes(uint16_t type) const {
  const Item* const item = Find(type);
  if (item == nullptr) return std::nullopt;
  return item->payload;
}

std::optional<Attributes> Attributes::Nest(uint16_t type) const {
  const Item* const item = Find(type);
  if (item == nullptr) return std::nullopt;
  return Attributes(item->payload);
}

}  // namespace devmem
