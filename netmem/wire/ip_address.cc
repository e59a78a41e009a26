// SPDX-License-Identifier: Apache-2.0
// The text forms of IP addresses, for configuration and messages; never on the receive path. The C
// library reads and writes them, so they are those of every other tool on the machine.
#include "netmem/wire/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

namespace devmem {

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  const std::array<uint8_t, kBytes> address = bytes();
  if (is_v4()) {
    inet_ntop(AF_INET, &address[12], text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, address.data(), text, sizeof(text));
  }
  return text;
}

std::optional<IpAddress> ParseIpAddress(absl::string_view text) {
  // inet_pton() wants an end mark, and would take one inside the text for the end.
  char terminated[INET6_ADDRSTRLEN] = {};
  if (text.size() >= sizeof(terminated)) return std::nullopt;
  if (std::find(text.begin(), text.end(), '\0') != text.end()) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated);

  std::array<uint8_t, IpAddress::kBytes> bytes;
  if (inet_pton(AF_INET, terminated, bytes.data()) == 1) {
    return IpAddress::FromV4(LoadBe32(bytes.data()));
  }
  if (inet_pton(AF_INET6, terminated, bytes.data()) == 1) return IpAddress::FromV6(bytes);
  return std::nullopt;
}

}  // namespace devmem
