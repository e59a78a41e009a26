// SPDX-License-Identifier: Apache-2.0
//
// container_receiver: stands in a container's network namespace with one end of a netkit pair,
// borrows an rx queue of a NIC outside for it, binds a dma-buf to the borrowed queue and receives
// one stream with the kernel's devmem TCP. A scene of tools/lab runs it in the guest. Kernel:
// Documentation/networking/devmem.rst, and the commands queue-create and bind-rx of
// Documentation/netlink/specs/netdev.yaml. One thread.

#include <fcntl.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "provider/system_calls.h"
#include "provider/udmabuf.h"
#include "provider/unique_fd.h"
#include "tools/blocking_tcp.h"
#include "tools/json_object.h"
#include "tools/pattern.h"
#include "uapi/abi/devmem_socket.h"
#include "uapi/netlink/netdev_client.h"

namespace devmem {
namespace {

constexpr uint64_t kRegionBytes = 16 << 20;
constexpr size_t kReadBytesMax = 256 << 10;
// A frag may be as small as a segment; what does not fit comes with the next call.
constexpr size_t kControlBytes = 64 << 10;

struct Options {
  std::string virtual_device;
  uint32_t nic_ifindex = 0;
  uint32_t nic_queue = 0;
  int32_t nic_netns_id = 0;
  std::string address;
  uint16_t port = 0;
};

struct Landed {
  uint64_t dma_bytes = 0;
  uint64_t linear_bytes = 0;
  bool right = true;
};

struct Region {
  UniqueFd memory;
  UniqueFd dmabuf;
  const uint8_t* bytes = nullptr;  // Unmapped by the process's end.
};

absl::StatusOr<Region> MakeRegion() {
  Region region;
  region.memory = UniqueFd(memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (ftruncate(region.memory.get(), kRegionBytes) != 0) return ErrnoToStatus(errno, "ftruncate");
  if (fcntl(region.memory.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
    return ErrnoToStatus(errno, "F_ADD_SEALS");
  }
  void* const mapped = mmap(nullptr, kRegionBytes, PROT_READ, MAP_SHARED, region.memory.get(), 0);
  if (mapped == MAP_FAILED) return ErrnoToStatus(errno, "mmap");
  region.bytes = static_cast<const uint8_t*>(mapped);
  absl::StatusOr<UniqueFd> dmabuf =
      CreateUdmabuf(SystemCalls::OfThisMachine(), region.memory.get(), 0, kRegionBytes);
  if (!dmabuf.ok()) return dmabuf.status();
  region.dmabuf = *std::move(dmabuf);
  return region;
}

// Checks what one call brought, in the stream's order, and gives its tokens back.
absl::Status Take(int socket, msghdr* message, const uint8_t* linear, const Region& region,
                  PatternChecker* checker, Landed* landed) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    abi::dmabuf_cmsg frag = {};
    std::memcpy(&frag, CMSG_DATA(header), sizeof(frag));
    if (header->cmsg_type == SCM_DEVMEM_LINEAR) {
      landed->right = checker->Check({linear, frag.frag_size}) && landed->right;
      linear += frag.frag_size;
      landed->linear_bytes += frag.frag_size;
      continue;
    }
    if (frag.frag_offset + frag.frag_size > kRegionBytes) {
      return absl::OutOfRangeError("a frag ends behind the region");
    }
    landed->right =
        checker->Check({region.bytes + frag.frag_offset, frag.frag_size}) && landed->right;
    landed->dma_bytes += frag.frag_size;
    const abi::dmabuf_token token = {.token_start = frag.frag_token, .token_count = 1};
    const int returned = setsockopt(socket, SOL_SOCKET, SO_DEVMEM_DONTNEED, &token, sizeof(token));
    if (returned != 1) return ErrnoToStatus(errno, "SO_DEVMEM_DONTNEED");
  }
  return absl::OkStatus();
}

absl::StatusOr<Landed> ReceiveAll(int socket, const Region& region) {
  static std::array<uint8_t, kReadBytesMax> linear;
  alignas(cmsghdr) static std::array<uint8_t, kControlBytes> control;
  PatternChecker checker({PatternSpec::Kind::kDemoBlock, 1});
  Landed landed;
  while (true) {
    iovec room = {.iov_base = linear.data(), .iov_len = linear.size()};
    msghdr message = {};
    message.msg_iov = &room;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t bytes = recvmsg(socket, &message, MSG_SOCK_DEVMEM);
    if (bytes < 0) return ErrnoToStatus(errno, "recvmsg");
    if (bytes == 0) return landed;
    if (message.msg_controllen == 0) {
      // Bytes without a control message came in ordinary memory, by another queue.
      landed.right = checker.Check({linear.data(), static_cast<size_t>(bytes)}) && landed.right;
      landed.linear_bytes += static_cast<uint64_t>(bytes);
      continue;
    }
    const absl::Status taken = Take(socket, &message, linear.data(), region, &checker, &landed);
    if (!taken.ok()) return taken;
  }
}

absl::StatusOr<std::string> Run(const Options& options) {
  const absl::StatusOr<std::unique_ptr<NetdevClient>> client = NetdevClient::Open();
  if (!client.ok()) return client.status();
  const uint32_t ifindex = if_nametoindex(options.virtual_device.c_str());
  if (ifindex == 0) return ErrnoToStatus(errno, options.virtual_device);
  const absl::StatusOr<uint32_t> queue =
      (*client)->CreateQueue({.virtual_ifindex = ifindex,
                              .physical_ifindex = options.nic_ifindex,
                              .physical_queue = options.nic_queue,
                              .netns_id = options.nic_netns_id});
  if (!queue.ok()) return queue.status();
  const absl::StatusOr<Region> region = MakeRegion();
  if (!region.ok()) return region.status();
  const std::array<uint32_t, 1> queues = {*queue};
  const absl::StatusOr<uint32_t> binding = (*client)->BindRx(ifindex, region->dmabuf.get(), queues);
  if (!binding.ok()) return binding.status();
  std::fprintf(stderr, "bound\n");
  const absl::StatusOr<UniqueFd> socket = AcceptOne(options.address, options.port, -1);
  if (!socket.ok()) return socket.status();
  const absl::StatusOr<Landed> landed = ReceiveAll(socket->get(), *region);
  if (!landed.ok()) return landed.status();
  JsonObject json;
  json.Number("queue", *queue).Number("binding", *binding).Bool("right", landed->right);
  json.Number("dma_bytes", landed->dma_bytes).Number("linear_bytes", landed->linear_bytes);
  return json.ToString();
}

}  // namespace
}  // namespace devmem

int main(int argc, char** argv) {
  devmem::Options options;
  uint32_t port = 0;
  const bool understood = argc == 7 && absl::SimpleAtoi(argv[2], &options.nic_ifindex) &&
                          absl::SimpleAtoi(argv[3], &options.nic_netns_id) &&
                          absl::SimpleAtoi(argv[4], &options.nic_queue) &&
                          absl::SimpleAtoi(argv[6], &port) && port <= UINT16_MAX;
  if (!understood) {
    std::fprintf(stderr,
                 "usage: container_receiver DEVICE NIC-IFINDEX NIC-NETNS-ID NIC-QUEUE ADDRESS "
                 "PORT\n");
    return 2;
  }
  options.virtual_device = argv[1];
  options.address = argv[5];
  options.port = static_cast<uint16_t>(port);
  const absl::StatusOr<std::string> result = devmem::Run(options);
  if (!result.ok()) {
    std::fprintf(stderr, "container_receiver: %s\n",
                 std::string(result.status().message()).c_str());
    return 1;
  }
  std::printf("%s\n", result->c_str());
  return 0;
}
