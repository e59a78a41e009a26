// SPDX-License-Identifier: Apache-2.0
// The text form of an Ethernet address, for configuration and messages; never on the receive path.
#include "netmem/wire/mac_address.h"

namespace devmem {
namespace {

// Each byte takes two digits, and a colon stands between two bytes.
constexpr size_t kTextBytes = MacAddress::kBytes * 3 - 1;

std::optional<uint8_t> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

}  // namespace

std::string MacAddress::ToString() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(kTextBytes, ':');
  for (size_t i = 0; i < kBytes; ++i) {
    text[3 * i] = kDigits[bytes_[i] >> 4];
    text[3 * i + 1] = kDigits[bytes_[i] & 0xf];
  }
  return text;
}

std::optional<MacAddress> ParseMacAddress(absl::string_view text) {
  if (text.size() != kTextBytes) return std::nullopt;
  std::array<uint8_t, MacAddress::kBytes> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const std::optional<uint8_t> high = HexDigit(text[3 * i]);
    const std::optional<uint8_t> low = HexDigit(text[3 * i + 1]);
    if (!high || !low) return std::nullopt;
    if (i + 1 < bytes.size() && text[3 * i + 2] != ':') return std::nullopt;
    bytes[i] = static_cast<uint8_t>(*high << 4 | *low);
  }
  return MacAddress(bytes);
}

}  // namespace devmem
