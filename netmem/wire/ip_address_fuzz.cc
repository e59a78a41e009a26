// SPDX-License-Identifier: Apache-2.0
// Fuzzes the text forms of addresses: any text parses or is refused, and what was parsed has a text
// that gives the same address; any 16 bytes survive the trip through text as well.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "netmem/wire/ip_address.h"
#include "netmem/wire/mac_address.h"
#include "netmem/wire/wire_fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace devmem;
  const std::string text(data, data + size);
  if (const std::optional<IpAddress> address = ParseIpAddress(text)) {
    RequireThat(ParseIpAddress(address->ToString()) == address, "IP text survives the round trip");
  }
  if (const std::optional<MacAddress> address = ParseMacAddress(text)) {
    RequireThat(ParseMacAddress(address->ToString()) == address, "MAC text survives");
  }
  if (size >= IpAddress::kBytes) {
    const IpAddress address = IpAddress::FromV6({data, IpAddress::kBytes});
    RequireThat(ParseIpAddress(address.ToString()) == address, "any 16 bytes have a text");
    const IpAddress v4 = IpAddress::FromV4(LoadBe32(data));
    RequireThat(ParseIpAddress(v4.ToString()) == v4, "any 4 bytes have a text");
  }
  return 0;
}
