// SPDX-License-Identifier: Apache-2.0
//
// Rows of the refusal table about io_uring's registration, and data on sockets.

#include <cerrno>

#include "uapi/abi/devmem_socket.h"
#include "uapi/netlink/refusal_table.h"

namespace devmem {
namespace {

constexpr RefusalRow kDataRows[] = {
    {KernelOperation::kZcrxRegister, EPERM, "", "", RefusalWhen::kNotInitialUserNamespace,
     absl::StatusCode::kPermissionDenied,
     "zero-copy receive needs CAP_NET_ADMIN in the initial user namespace, which a container's "
     "root lacks",
     "use the kernel backend there, which needs less, or run on the host"},
    {KernelOperation::kZcrxRegister, EPERM, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kPermissionDenied, "zero-copy receive needs CAP_NET_ADMIN",
     "run as root or give CAP_NET_ADMIN"},
    {KernelOperation::kZcrxRegister, EINVAL, "", "", RefusalWhen::kSplitOff,
     absl::StatusCode::kFailedPrecondition, "header split is off or not set explicitly",
     "ethtool -G {device} tcp-data-split on"},
    {KernelOperation::kZcrxRegister, EINVAL, "", "", RefusalWhen::kHdsThreshold,
     absl::StatusCode::kFailedPrecondition,
     "short packets would stay in one piece: the split threshold is not 0",
     "ethtool -G {device} hds-thresh 0"},
    {KernelOperation::kZcrxRegister, EINVAL, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kUnimplemented,
     "this kernel has no zero-copy receive, or refuses the ring's flags, a size, or the length of "
     "the dma-buf",
     "it takes Linux 6.15 or later; a dma-buf is registered whole"},
    {KernelOperation::kZcrxRegister, EFAULT, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kInvalidArgument, "an address of the area is not mapped",
     "map the whole area before registering it"},
    {KernelOperation::kZcrxRegister, ENODEV, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kNotFound, "there is no such device in this network namespace",
     "check the name with `ip link`"},
    {KernelOperation::kZcrxRegister, EOPNOTSUPP, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kUnimplemented,
     "{driver} cannot restart a single queue or takes no larger buffers, or the kernel was built "
     "without zero-copy receive",
     "leave the buffer size out, or take another NIC or backend"},
    {KernelOperation::kZcrxRegister, ERANGE, "", "", RefusalWhen::kQueueZero,
     absl::StatusCode::kInvalidArgument, "{driver} cannot restart queue 0", "take another queue"},
    {KernelOperation::kZcrxRegister, ERANGE, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kOutOfRange,
     "the NIC has no queue {queues}, or the memory is too scattered for the buffer size",
     "name an existing queue, and leave the buffer size out"},
    {KernelOperation::kZcrxRegister, EEXIST, "", "", RefusalWhen::kXdpAttached,
     absl::StatusCode::kFailedPrecondition,
     "an XDP program is attached, and programs cannot read device memory",
     "detach it: ip link set dev {device} xdp off"},
    {KernelOperation::kZcrxRegister, EEXIST, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kAlreadyExists,
     "the queue is bound to somebody else's memory, or another thread than the ring's asked",
     "take another queue, or end its owner (`devmemctl queue show`)"},
    {KernelOperation::kZcrxRegister, EBUSY, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition,
     "the queue is in use by AF_XDP or lent to a virtual device", "take another queue"},
    {KernelOperation::kZcrxRegister, ENOMEM, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kResourceExhausted, "more memory would be locked than this process may",
     "raise RLIMIT_MEMLOCK (ulimit -l), or make the area smaller"},
    {KernelOperation::kZcrxRegister, ENODATA, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition,
     "{driver} made the queue without the memory: it splits headers in a way of its own that is "
     "off",
     "on mlx5_core: ethtool -K {device} rx-gro-hw on; then register again"},
    {KernelOperation::kZcrxRegister, EAGAIN, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition, "the device is down", "ip link set dev {device} up"},
    {KernelOperation::kZcrxRegister, ENETDOWN, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition, "the device is down", "ip link set dev {device} up"},
    {KernelOperation::kZcrxRegister, EBADF, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kInvalidArgument, "the descriptor is no zero-copy receive of a ring",
     "import what another ring exported"},
    {KernelOperation::kZcrxRegister, ENXIO, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kNotFound, "the ring has no zero-copy receive of that number",
     "use the number that registration gave"},
    {KernelOperation::kReceive, EFAULT, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition,
     "the next bytes are in device memory and were not asked for, or the buffer for plain bytes is "
     "not mapped",
     "pass MSG_SOCK_DEVMEM with a control buffer and a mapped buffer"},
    {KernelOperation::kReceive, ENODEV, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition,
     "the next bytes are in memory of another owner (io_uring), which this socket cannot hand out",
     "steer the flow to a queue of this binding, and connect again"},
    {KernelOperation::kReceive, abi::ETOOSMALL, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kInvalidArgument, "the control buffer has no room for a single message",
     "make it at least 40 bytes for each frag"},
    {KernelOperation::kReceive, ENOMEM, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kResourceExhausted, "the kernel has no memory for tokens",
     "give frags back, and receive again"},
    {KernelOperation::kSend, EINVAL, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition,
     "the binding is unknown or is one for receiving, or SO_ZEROCOPY or MSG_ZEROCOPY is missing, "
     "or the route's device cannot gather",
     "bind with bind-tx, set SO_ZEROCOPY, and pass MSG_ZEROCOPY"},
    {KernelOperation::kSend, ENODEV, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kFailedPrecondition,
     "the route of the connection leaves by another device than the bound one",
     "bind the socket to the device (SO_BINDTODEVICE), or correct the route"},
    {KernelOperation::kSend, EHOSTUNREACH, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kUnavailable, "there is no route to the peer any more",
     "correct the route: ip route get ADDRESS"},
    {KernelOperation::kSend, EFAULT, "", "", RefusalWhen::kAlways, absl::StatusCode::kOutOfRange,
     "the range runs past the end of the dma-buf", "send within the region"},
    {KernelOperation::kSend, ENOBUFS, "", "", RefusalWhen::kAlways,
     absl::StatusCode::kResourceExhausted, "the socket has no room for completion notices",
     "read completions, or raise net.core.optmem_max"},
};

}  // namespace

std::span<const RefusalRow> DataRefusalRows() { return kDataRows; }

}  // namespace devmem
