// SPDX-License-Identifier: Apache-2.0
//
// Only the tables of attribute_names.h know what is a nest; a value's kind is told by its size.

#include "uapi/netlink/netlink_event.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/abi/ethtool_netlink.h"
#include "uapi/netlink/attribute_names.h"
#include "uapi/netlink/attributes.h"

namespace devmem {
namespace {

constexpr uint16_t kBitsetValue = 4;  // ETHTOOL_A_BITSET_VALUE

using Values = std::vector<std::pair<std::string, std::string>>;

template <typename Number>
std::string Decimal(std::span<const uint8_t> bytes) {
  Number number = 0;
  std::memcpy(&number, bytes.data(), sizeof number);
  return absl::StrCat(number);
}

// The queues of an RSS table.
std::string NumberList(std::span<const uint8_t> bytes) {
  std::vector<std::string> numbers;
  for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
    numbers.push_back(Decimal<uint32_t>(bytes.subspan(at)));
  }
  return absl::StrJoin(numbers, ",");
}

std::string ValueText(absl::string_view name, std::span<const uint8_t> bytes) {
  if (name == "dev-name" || name == "name") {
    const auto end = std::find(bytes.begin(), bytes.end(), 0);
    return {bytes.begin(), end};
  }
  if (name == "indir") return NumberList(bytes);
  switch (bytes.size()) {
    case 0: return "yes";
    case 1: return absl::StrCat(bytes[0]);
    case 2: return Decimal<uint16_t>(bytes);
    case 4: return Decimal<uint32_t>(bytes);
    case 8: return Decimal<uint64_t>(bytes);
    default: return absl::StrCat(bytes.size(), " bytes");
  }
}

// A bitset in its compact form, as notifications carry it: 32-bit words, the lowest first.
std::string Bitmap(std::span<const uint8_t> bytes) {
  std::string text = "0x";
  for (size_t at = bytes.size() / 4 * 4; at > 0; at -= 4) {
    uint32_t word = 0;
    std::memcpy(&word, &bytes[at - 4], sizeof word);
    absl::StrAppend(&text, absl::Hex(word, absl::kZeroPad8));
  }
  return text;
}

bool IsBitset(const AttributeSet* set) { return NameOf(set, abi::ETHTOOL_A_BITSET_SIZE) == "size"; }

void Flatten(const AttributeSet* set, const Attributes& attributes, const std::string& prefix,
             Values* values) {
  for (const Attributes::Item& item : attributes.items()) {
    const std::string name = NameOf(set, item.type);
    const AttributeSet* const nested = NestedSet(set, item.type);
    if (nested == nullptr) {
      values->emplace_back(absl::StrCat(prefix, name), ValueText(name, item.payload));
      continue;
    }
    const Attributes inner(item.payload);
    if (IsBitset(nested) && inner.Has(kBitsetValue)) {
      values->emplace_back(absl::StrCat(prefix, name), Bitmap(*inner.Bytes(kBitsetValue)));
    } else if (name == "bit") {
      // One of a bitset: its own name says more than its number, which differs between kernels.
      values->emplace_back(
          absl::StrCat(prefix, inner.String(abi::ETHTOOL_A_BITSET_BIT_NAME).value_or("bit")),
          inner.Has(abi::ETHTOOL_A_BITSET_BIT_VALUE) ? "on" : "off");
    } else {
      // The list of bits is no level of its own to people.
      Flatten(nested, inner, name == "bits" ? prefix : absl::StrCat(prefix, name, "."), values);
    }
  }
}

// Takes what names the device out of the attributes, wherever the family puts it.
void TakeDevice(NetlinkEvent* event, const std::function<std::string(uint32_t)>& name) {
  Values rest;
  for (auto& [key, value] : event->attributes) {
    if (key == "ifindex" || key == "header.dev-index") {
      if (!absl::SimpleAtoi(value, &event->ifindex)) event->ifindex = 0;
    } else if (key == "header.dev-name") {
      event->ifname = value;
    } else {
      rest.emplace_back(key, value);
    }
  }
  event->attributes = std::move(rest);
  if (event->ifname.empty() && event->ifindex != 0) event->ifname = name(event->ifindex);
}

}  // namespace

NetlinkEvent DecodeEvent(absl::string_view family, const GenlMessage& message,
                         const std::function<std::string(uint32_t ifindex)>& name) {
  NetlinkEvent event;
  event.family = std::string(family);
  event.event = NotificationName(family, message.command);
  Flatten(NotificationAttributes(family, message.command), message.attributes(), "",
          &event.attributes);
  TakeDevice(&event, name);
  return event;
}

}  // namespace devmem
