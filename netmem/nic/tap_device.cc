// SPDX-License-Identifier: Apache-2.0
//
// Opening and configuring the TAP, and what to tell people when the system refuses. Control thread.

#include "netmem/nic/tap_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/nic/tap_interface.h"
#include "netmem/nic/tap_vnet_header.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// Frames may come with unfinished checksums and as TCP super-frames of either IP version, with or
// without congestion marks. UDP super-frames are not wanted: nobody here takes UDP.
constexpr unsigned long kOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

absl::Status CheckOptions(const TapDeviceOptions& options) {
  absl::Status name = CheckInterfaceName(options.name);
  if (!name.ok()) return name;
  if (options.queue_count == 0 || options.queue_count > kQueuesMax) {
    return absl::OutOfRangeError(
        absl::StrCat("queue count is ", options.queue_count, "; choose 1 to ", kQueuesMax));
  }
  if (options.mtu < kMtuMin || options.mtu > kMtuMax) {
    return absl::OutOfRangeError(
        absl::StrCat("MTU is ", options.mtu, " bytes; choose ", kMtuMin, " to ", kMtuMax));
  }
  absl::StatusOr<std::vector<InterfaceAddress>> addresses =
      ParseInterfaceAddresses(options.kernel_address);
  if (!addresses.ok()) return addresses.status();
  const bool any_v6 = std::any_of(addresses->begin(), addresses->end(),
                                  [](const auto& entry) { return !entry.address.is_v4(); });
  if (any_v6 && options.mtu < kMtuMinIpv6) {
    return absl::OutOfRangeError(absl::StrCat("MTU is ", options.mtu, " bytes, and IPv6 needs ",
                                              kMtuMinIpv6,
                                              "; raise it or leave out the IPv6 address"));
  }
  return absl::OkStatus();
}

absl::Status ExplainOpen(int err, const std::string& path) {
  if (err == EACCES || err == EPERM) {
    return ErrnoToStatus(err, absl::StrCat("opening ", path,
                                           ": this user may not; run as root, or let the user in "
                                           "(chmod 0666 ",
                                           path, ")"));
  }
  if (err == ENOENT || err == ENODEV || err == ENXIO) {
    return absl::NotFoundError(
        absl::StrCat("opening ", path,
                     ": there is no TAP driver here; load it (modprobe tun), or in a container "
                     "pass the device in (--device ",
                     path, ")"));
  }
  return ErrnoToStatus(err, absl::StrCat("opening ", path));
}

absl::Status ExplainAttach(int err, const std::string& name, uint32_t queue) {
  if (err == EBUSY || err == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat("a network interface called ", name,
                                                 " exists already; choose another name, or end its "
                                                 "owner (`ip -details link show ",
                                                 name, "`)"));
  }
  if (err == EPERM || err == EACCES) {
    return absl::PermissionDeniedError(absl::StrCat(
        "making the interface ", name,
        " needs CAP_NET_ADMIN in this network namespace; run as root, or in a namespace "
        "of your own (unshare -Urn)"));
  }
  return ErrnoToStatus(err, absl::StrCat("attaching queue ", queue, " of ", name, " (TUNSETIFF)"));
}

absl::Status SetOffloads(int fd, const std::string& name) {
  int vnet_header_bytes = kVnetHeaderBytes;
  if (::ioctl(fd, TUNSETVNETHDRSZ, &vnet_header_bytes) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("setting the virtio-net header size of ", name, " to ",
                                           kVnetHeaderBytes, " bytes"));
  }
  if (::ioctl(fd, TUNSETOFFLOAD, kOffloads) != 0) {
    const int err = errno;
    return ErrnoToStatus(
        err, absl::StrCat("switching on checksum and TCP segmentation offload of ", name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TapDevice>> TapDevice::Create(const TapDeviceOptions& options) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  std::unique_ptr<TapDevice> device(new TapDevice(options));
  status = device->OpenQueues(options);
  if (!status.ok()) return status;
  status = device->ConfigureInterface(options);
  if (!status.ok()) return status;
  return device;
}

absl::Status TapDevice::OpenQueues(const TapDeviceOptions& options) {
  for (uint32_t queue = 0; queue < options.queue_count; ++queue) {
    UniqueFd fd(::open(options.tun_path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid()) {
      const int err = errno;
      return ExplainOpen(err, options.tun_path);
    }
    absl::Status attached = AttachQueue(fd.get(), queue == 0);
    if (!attached.ok()) return attached;
    queues_.push_back(std::move(fd));
  }
  return SetOffloads(queues_[0].get(), name_);
}

absl::Status TapDevice::AttachQueue(int fd, bool first) const {
  ifreq request{};
  std::copy(name_.begin(), name_.end(), request.ifr_name);
  // Exclusive for the first queue: without it an existing TAP of somebody else's would be joined.
  const int flags =
      IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | (first ? IFF_TUN_EXCL : 0);
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(fd, TUNSETIFF, &request) == 0) return absl::OkStatus();
  const int err = errno;
  return ExplainAttach(err, name_, static_cast<uint32_t>(queues_.size()));
}

absl::Status TapDevice::ConfigureInterface(const TapDeviceOptions& options) {
  absl::StatusOr<TapInterface> interface = TapInterface::Open(name_);
  if (!interface.ok()) return interface.status();
  absl::StatusOr<MacAddress> mac = interface->GetMac();
  if (!mac.ok()) return mac.status();
  kernel_mac_ = *mac;
  absl::Status status = interface->SetMtu(mtu_);
  if (!status.ok()) return status;
  interface->SkipAddressDetection();
  status = interface->SetUp();
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<InterfaceAddress>> addresses =
      ParseInterfaceAddresses(options.kernel_address);
  if (!addresses.ok()) return addresses.status();
  for (const InterfaceAddress& address : *addresses) {
    status = interface->AddAddress(address);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace devmem
