// SPDX-License-Identifier: Apache-2.0
//
// A multi-queue TAP with virtio-net headers: /dev/net/tun opened once per rx queue, offloads on,
// the link up. Made by TapNic on the control thread; afterwards each descriptor is read and written
// by the worker of its queue. architecture.md, "Life of a packet"; linux/if_tun.h.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/nic/limits.h"
#include "netmem/wire/mac_address.h"
#include "provider/unique_fd.h"

namespace devmem {

struct TapDeviceOptions {
  std::string name = "dm0";
  uint32_t queue_count = 1;    // 1 to kQueuesMax.
  uint32_t mtu = kMtuDefault;  // kMtuMin to kMtuMax bytes.
  std::string kernel_address =
      {};  // Of the kernel's side: "192.0.2.1/24[,2001:db8::1/64...]" or empty.
  std::string tun_path = "/dev/net/tun";  // Some systems keep it elsewhere (Android: /dev/tun).
};

// Invariants:
//   1. The interface exists as long as this object, and not longer: it is not persistent, so the
//   kernel
//      removes it when the last descriptor closes, which the end of the process does too, however
//      it ends. The descriptors are closed on exec.
//   2. Queue i of the kernel, as a steering program names it, is queue_fd(i).
class TapDevice {
 public:
  // Errors: kInvalidArgument    the name or the address is none.
  //         kOutOfRange         the MTU or the number of queues.
  //         kAlreadyExists      an interface of that name is there already.
  //         kNotFound           there is no /dev/net/tun.
  //         kPermissionDenied   it may not be opened, or no interface may be made here.
  static absl::StatusOr<std::unique_ptr<TapDevice>> Create(const TapDeviceOptions& options);

  TapDevice(const TapDevice&) = delete;
  TapDevice& operator=(const TapDevice&) = delete;

  const std::string& name() const { return name_; }
  uint32_t mtu() const { return mtu_; }
  uint32_t queue_count() const { return static_cast<uint32_t>(queues_.size()); }
  // Non-blocking; each read and write is one frame behind its 10-byte virtio-net header.
  int queue_fd(uint32_t queue) const { return queues_[queue].get(); }
  // The Ethernet address of the kernel's side, which frames to it go to.
  const MacAddress& kernel_mac() const { return kernel_mac_; }

 private:
  explicit TapDevice(const TapDeviceOptions& options) : name_(options.name), mtu_(options.mtu) {}

  absl::Status OpenQueues(const TapDeviceOptions& options);
  absl::Status AttachQueue(int fd, bool first) const;
  absl::Status ConfigureInterface(const TapDeviceOptions& options);

  const std::string name_;
  const uint32_t mtu_;
  std::vector<UniqueFd> queues_;
  MacAddress kernel_mac_;
};

}  // namespace devmem
