// SPDX-License-Identifier: Apache-2.0
//
// See packet_port.h.

#include "selftests/lossy/packet_port.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "netmem/nic/tap_vnet_header.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "provider/posix_error.h"

namespace devmem::lossy {
namespace {

constexpr char kTunPath[] = "/dev/net/tun";

absl::Status Explain(const std::string& what, const std::string& name) {
  const int err = errno;
  return ErrnoToStatus(err, absl::StrCat("lossy relay, device ", name, ": ", what));
}

// A TAP's descriptor and a packet socket with PACKET_VNET_HDR speak the same: a virtio-net header,
// then the frame.
ssize_t ReadParts(int fd, VnetFields& fields, std::span<uint8_t> frame) {
  std::array<iovec, 2> parts{iovec{&fields, sizeof(fields)}, iovec{frame.data(), frame.size()}};
  return ::readv(fd, parts.data(), parts.size());
}

// Whether a frame found no device, or one that is down: as on a cable that leads nowhere. A TAP
// says EIO, a packet socket the others.
bool IsAway(int err) { return err == ENXIO || err == ENODEV || err == ENETDOWN || err == EIO; }

}  // namespace

bool CompleteChecksum(std::span<uint8_t> frame, uint16_t start, uint16_t offset) {
  const size_t field = size_t{start} + offset;
  if (field + sizeof(uint16_t) > frame.size()) return false;
  // The field holds the pseudo-header's sum, so summing it along counts that.
  StoreBe16(&frame[field], ChecksumField(PartialSum(frame.subspan(start))));
  return true;
}

absl::StatusOr<PacketPort> PacketPort::MakeTap(const std::string& name) {
  UniqueFd fd(::open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return Explain("cannot open /dev/net/tun", name);
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return Explain("cannot make the TAP", name);
  if (::ioctl(fd.get(), TUNSETOFFLOAD, TUN_F_CSUM) != 0) {
    return Explain("cannot switch on checksum offload", name);
  }
  return PacketPort(std::move(fd));
}

absl::StatusOr<PacketPort> PacketPort::JoinDevice(const std::string& name) {
  // Protocol 0: nothing is received until the socket is bound to the device.
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Explain("cannot open a packet socket", name);
  const int on = 1;
  // The queueing discipline would be one more queue on this side only.
  for (const int option : {PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING, PACKET_QDISC_BYPASS}) {
    if (::setsockopt(fd.get(), SOL_PACKET, option, &on, sizeof(on)) != 0) {
      return Explain(absl::StrCat("the kernel has no packet option ", option), name);
    }
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  if (address.sll_ifindex == 0) return Explain("there is no such device", name);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return Explain("cannot bind a packet socket", name);
  }
  return PacketPort(std::move(fd));
}

bool PacketPort::Receive(Frame& frame) {
  for (;;) {
    frame.resize(kPortFrameBytesMax);
    VnetFields fields;
    const ssize_t got = ReadParts(fd_.get(), fields, frame);
    if (got <= static_cast<ssize_t>(sizeof(fields))) return false;
    frame.resize(std::min(static_cast<size_t>(got) - sizeof(fields), kPortFrameBytesMax));
    const bool cut = frame.size() == kPortFrameBytesMax;
    const bool partial = (fields.flags & kVnetNeedsChecksum) != 0;
    if (!cut && fields.gso_type == kVnetGsoNone &&
        (!partial || CompleteChecksum(frame, fields.checksum_start, fields.checksum_offset))) {
      return true;
    }
    ++refused_;
  }
}

void PacketPort::Send(const Frame& frame) {
  VnetFields nothing_said;
  std::array<iovec, 2> parts{iovec{&nothing_said, sizeof(nothing_said)},
                             iovec{const_cast<uint8_t*>(frame.data()), frame.size()}};
  if (::writev(fd_.get(), parts.data(), parts.size()) < 0) ++(IsAway(errno) ? away_ : unsent_);
}

}  // namespace devmem::lossy
