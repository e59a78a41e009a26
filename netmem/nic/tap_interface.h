// SPDX-License-Identifier: Apache-2.0
//
// The kernel's side of a TAP: its MTU, its Ethernet address, its IP addresses, up. Plain interface
// ioctls (netdevice(7)), called once by TapDevice on the control thread, in the network namespace
// of the calling thread.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/wire/ip_address.h"
#include "netmem/wire/mac_address.h"
#include "provider/unique_fd.h"

namespace devmem {

// An address of the kernel's side and the length of its subnet's prefix in bits.
struct InterfaceAddress {
  IpAddress address;
  uint32_t prefix_bits = 0;

  friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

// Reads "192.0.2.1/24", "2001:db8::1/64", or several of them joined by commas: at most one IPv4
// address, any number of IPv6 ones. An empty text is an empty list.
//
// Errors: kInvalidArgument  names the part that is no address, has no prefix length or too long a
// one.
absl::StatusOr<std::vector<InterfaceAddress>> ParseInterfaceAddresses(absl::string_view text);

// Whether Linux takes `name` for a network interface, and a TAP made under it keeps it: 1 to 15
// bytes without '/', ':', '%' and white space, and not "." or "..".
absl::Status CheckInterfaceName(absl::string_view name);

// Invariant: `name_` passed CheckInterfaceName().
class TapInterface {
 public:
  // `name` is an interface of the calling thread's network namespace.
  static absl::StatusOr<TapInterface> Open(absl::string_view name);

  // Each is refused with the system's reason, the value and what to do.
  absl::Status SetMtu(uint32_t mtu) const;
  absl::Status SetUp() const;
  absl::StatusOr<MacAddress> GetMac() const;
  // The interface is up. An IPv6 address is usable at once: duplicate address detection is switched
  // off for this interface, whose link has nobody but us on it.
  absl::Status AddAddress(const InterfaceAddress& address) const;

  // Switches duplicate address detection off; before SetUp(), so that the link-local address
  // profits too. Where /proc/sys is read-only, addresses stay tentative for about two seconds
  // instead.
  void SkipAddressDetection() const;

 private:
  TapInterface(std::string name, UniqueFd socket)
      : name_(std::move(name)), socket_(std::move(socket)) {}

  absl::Status AddV4(const InterfaceAddress& address) const;
  absl::Status AddV6(const InterfaceAddress& address) const;

  std::string name_;
  UniqueFd socket_;  // An IPv4 datagram socket: the handle that interface ioctls want.
};

}  // namespace devmem
