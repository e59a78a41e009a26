// SPDX-License-Identifier: Apache-2.0
//
// Interface ioctls of the kernel's side of a TAP. Control thread only.

#include "netmem/nic/tap_interface.h"

#include <arpa/inet.h>
#include <fcntl.h>
// linux/ipv6.h wants the kernel's own in6_addr, which netinet/in.h has already defined alike.
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr uint32_t kPrefixBitsMaxV4 = 32;
constexpr uint32_t kPrefixBitsMaxV6 = 128;

// Longer only where detection could not be switched off; nobody is kept waiting for that.
constexpr int kUsableMillisecondsMax = 100;

// `name` fits: CheckInterfaceName() has seen it.
ifreq Request(const std::string& name) {
  ifreq request{};
  std::copy(name.begin(), name.end(), request.ifr_name);
  return request;
}

sockaddr ToSockaddr(uint32_t address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address);
  sockaddr out;
  static_assert(sizeof(in) == sizeof(out));
  std::memcpy(&out, &in, sizeof(out));
  return out;
}

std::string Text(const InterfaceAddress& address) {
  return absl::StrCat(address.address.ToString(), "/", address.prefix_bits);
}

// Even without detection it is a kernel worker that makes a new IPv6 address usable, as a rule
// within a millisecond. An address that may not be bound to yet is one that nobody can connect
// from.
void WaitUntilUsable(int socket, const IpAddress& address) {
  sockaddr_in6 local{};
  local.sin6_family = AF_INET6;
  address.StoreTo(local.sin6_addr.s6_addr);
  for (int milliseconds = 0; milliseconds < kUsableMillisecondsMax; ++milliseconds) {
    if (::bind(socket, reinterpret_cast<sockaddr*>(&local), sizeof(local)) == 0) return;
    ::poll(nullptr, 0, 1);
  }
}

absl::StatusOr<InterfaceAddress> ParseOne(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('/', 1));
  const std::optional<IpAddress> address = ParseIpAddress(parts.first);
  if (!address) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel address \"", text,
                     "\" is no IP address with a prefix length; write it like 192.0.2.1/24"));
  }
  const uint32_t bits_max = address->is_v4() ? kPrefixBitsMaxV4 : kPrefixBitsMaxV6;
  uint32_t bits = 0;
  if (!absl::SimpleAtoi(parts.second, &bits) || bits == 0 || bits > bits_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel address \"", text, "\" has the prefix length \"", parts.second,
                     "\"; write 1 to ", bits_max, " bits behind the slash"));
  }
  return InterfaceAddress{*address, bits};
}

}  // namespace

absl::StatusOr<std::vector<InterfaceAddress>> ParseInterfaceAddresses(absl::string_view text) {
  std::vector<InterfaceAddress> addresses;
  if (text.empty()) return addresses;
  uint32_t v4_count = 0;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    absl::StatusOr<InterfaceAddress> address = ParseOne(absl::StripAsciiWhitespace(part));
    if (!address.ok()) return address.status();
    if (address->address.is_v4() && ++v4_count > 1) {
      return absl::InvalidArgumentError(absl::StrCat("kernel address \"", text,
                                                     "\" has more than one IPv4 address; give one, "
                                                     "and add others with `ip addr add`"));
    }
    addresses.push_back(*address);
  }
  return addresses;
}

absl::Status CheckInterfaceName(absl::string_view name) {
  const auto forbidden = [](char c) {
    return c == '/' || c == ':' || c == '%' || absl::ascii_isspace(static_cast<unsigned char>(c));
  };
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return absl::InvalidArgumentError(absl::StrCat("interface name \"", name, "\" is ", name.size(),
                                                   " bytes long; choose 1 to ", IFNAMSIZ - 1,
                                                   " bytes"));
  }
  if (name == "." || name == ".." || std::any_of(name.begin(), name.end(), forbidden)) {
    return absl::InvalidArgumentError(
        absl::StrCat("interface name \"", name,
                     "\" has a character that no interface name may have ('/', ':', '%' or white "
                     "space); choose a name like dm0"));
  }
  return absl::OkStatus();
}

absl::StatusOr<TapInterface> TapInterface::Open(absl::string_view name) {
  absl::Status valid = CheckInterfaceName(name);
  if (!valid.ok()) return valid;
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, "opening a socket to configure a network interface");
  }
  return TapInterface(std::string(name), std::move(socket));
}

absl::Status TapInterface::SetMtu(uint32_t mtu) const {
  ifreq request = Request(name_);
  request.ifr_mtu = static_cast<int>(mtu);
  if (::ioctl(socket_.get(), SIOCSIFMTU, &request) == 0) return absl::OkStatus();
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("setting the MTU of ", name_, " to ", mtu, " bytes"));
}

absl::Status TapInterface::SetUp() const {
  ifreq request = Request(name_);
  if (::ioctl(socket_.get(), SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (::ioctl(socket_.get(), SIOCSIFFLAGS, &request) == 0) return absl::OkStatus();
  }
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("bringing ", name_, " up"));
}

absl::StatusOr<MacAddress> TapInterface::GetMac() const {
  ifreq request = Request(name_);
  if (::ioctl(socket_.get(), SIOCGIFHWADDR, &request) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("reading the Ethernet address of ", name_));
  }
  std::array<uint8_t, MacAddress::kBytes> bytes;
  std::memcpy(bytes.data(), request.ifr_hwaddr.sa_data, bytes.size());
  return MacAddress(bytes);
}

void TapInterface::SkipAddressDetection() const {
  const std::string path = absl::StrCat("/proc/sys/net/ipv6/conf/", name_, "/accept_dad");
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  // Refused without harm: see the declaration.
  if (file.valid()) [[maybe_unused]]
    const ssize_t written = ::write(file.get(), "0", 1);
}

absl::Status TapInterface::AddAddress(const InterfaceAddress& address) const {
  return address.address.is_v4() ? AddV4(address) : AddV6(address);
}

absl::Status TapInterface::AddV4(const InterfaceAddress& address) const {
  ifreq request = Request(name_);
  request.ifr_addr = ToSockaddr(address.address.v4());
  if (::ioctl(socket_.get(), SIOCSIFADDR, &request) == 0) {
    request.ifr_netmask = ToSockaddr(~uint32_t{0} << (kPrefixBitsMaxV4 - address.prefix_bits));
    if (::ioctl(socket_.get(), SIOCSIFNETMASK, &request) == 0) return absl::OkStatus();
  }
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("giving ", name_, " the address ", Text(address)));
}

absl::Status TapInterface::AddV6(const InterfaceAddress& address) const {
  const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string what = absl::StrCat("giving ", name_, " the address ", Text(address));
  if (!socket.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat(what, " (is IPv6 switched on?)"));
  }
  in6_ifreq request{};
  address.address.StoreTo(request.ifr6_addr.s6_addr);
  request.ifr6_prefixlen = address.prefix_bits;
  request.ifr6_ifindex = static_cast<int>(::if_nametoindex(name_.c_str()));
  if (::ioctl(socket.get(), SIOCSIFADDR, &request) == 0) {
    WaitUntilUsable(socket.get(), address.address);
    return absl::OkStatus();
  }
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat(what, " (is net.ipv6.conf.", name_, ".disable_ipv6 0?)"));
}

}  // namespace devmem
