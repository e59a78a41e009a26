// SPDX-License-Identifier: Apache-2.0
//
// The kernel's netlink family `netdev`: devices, queues, NAPIs, page pools, queue statistics, and
// the bindings of device memory (the kernel's Documentation/netlink/specs/netdev.yaml and
// Documentation/networking/devmem.rst). Interface numbers are those of the socket's namespace.
// Called by NicSetup and devmemctl; one thread at a time.
//
// Errors of every call: a refusal of the kernel as ExplainRefusal() tells it (KernelErrorOf() has
// the errno), or the transport's.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/binding.h"
#include "uapi/netlink/genl_channel.h"
#include "uapi/netlink/netdev_types.h"
#include "uapi/netlink/refusal.h"

namespace devmem {

class NetdevClient {
 public:
  // Errors: kNotFound  the kernel is older than 6.3; and OpenNetlink().
  static absl::StatusOr<std::unique_ptr<NetdevClient>> Open(absl::string_view netns_path = {});
  explicit NetdevClient(std::unique_ptr<GenlChannel> channel);

  const GenlFamily& family() const { return channel_->family(); }

  // Of one device, or of all of the namespace.
  absl::StatusOr<std::vector<NetdevDevice>> Devices(std::optional<uint32_t> ifindex = {});
  // Queues exist while their device is up.
  absl::StatusOr<std::vector<NetdevQueue>> Queues(std::optional<uint32_t> ifindex = {});
  absl::StatusOr<NetdevQueue> Queue(uint32_t ifindex, QueueType type, uint32_t id);
  absl::StatusOr<std::vector<NetdevNapi>> Napis(std::optional<uint32_t> ifindex = {});
  absl::StatusOr<std::vector<PagePool>> PagePools(std::optional<uint32_t> ifindex = {});
  absl::StatusOr<std::vector<PagePoolStats>> PagePoolsStats(std::optional<uint32_t> ifindex = {});
  absl::StatusOr<std::vector<QueueStats>> Statistics(std::optional<uint32_t> ifindex = {},
                                                     bool per_queue = false);

  // Binds a dma-buf on this client's socket, to which the binding belongs from then on. Returns its
  // id. With descriptor -1 it asks whether the NIC could: EBADF means that it got as far as the
  // descriptor. Needs CAP_NET_ADMIN over the namespace.
  absl::StatusOr<uint32_t> BindRx(uint32_t ifindex, int dmabuf_fd,
                                  std::span<const uint32_t> queues);
  absl::StatusOr<uint32_t> BindTx(uint32_t ifindex, int dmabuf_fd);
  // Makes a queue of a virtual device from one of a physical device; returns its number there. Ends
  // with the virtual device. Needs CAP_NET_ADMIN in the initial user namespace.
  absl::StatusOr<uint32_t> CreateQueue(const QueueLeaseRequest& lease);

  // The socket, with the bindings that were made on it. The client is of no use afterwards.
  std::unique_ptr<GenlChannel> TakeChannel() { return std::move(channel_); }

 private:
  absl::StatusOr<std::vector<GenlMessage>> Ask(NetlinkRequest request, KernelOperation operation,
                                               RefusalContext context);
  template <typename Value>
  absl::StatusOr<std::vector<Value>> Dump(uint8_t command, uint16_t filter,
                                          std::optional<uint32_t> ifindex,
                                          Value (*decode)(const Attributes&));

  std::unique_ptr<GenlChannel> channel_;
};

}  // namespace devmem
