// SPDX-License-Identifier: Apache-2.0
//
// IORING_REGISTER_QUERY, and the meaning of errnos.

#include "uapi/ring/zcrx_support.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "uapi/abi/io_uring_zcrx.h"
#include "uapi/ring/ring_calls.h"

namespace devmem {
namespace {

std::string MemoryLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "unknown";
  return limit.rlim_cur == RLIM_INFINITY ? "unlimited" : absl::StrCat(limit.rlim_cur, " bytes");
}

std::string Subject(const ZcrxRequest& request) {
  return absl::StrCat("io_uring refused zero-copy receive on rx queue ", request.queue, " of ",
                      request.device, " into ", request.area_bytes,
                      request.dmabuf ? " bytes of a dma-buf: " : " bytes of host memory: ");
}

// The causes of EINVAL that this library does not rule out by itself.
std::string InvalidCauses(const ZcrxRequest& request) {
  std::string causes = absl::StrCat(
      "header split is not switched on by request (`ethtool -G ", request.device,
      " tcp-data-split on`, also where it shows as on), or its threshold is not 0 (`ethtool -G ",
      request.device,
      " hds-thresh 0`), or the driver could not exchange the queue (`dmesg` has its reason)");
  if (request.dmabuf) {
    absl::StrAppend(&causes,
                    ", or the dma-buf has another size (all of it must be bound), or the kernel is "
                    "older than 6.16 and takes host memory only");
  }
  if (request.chunk_bytes != 0) {
    absl::StrAppend(&causes, ", or the kernel is older than 7.0 and knows no chunks of ",
                    request.chunk_bytes, " bytes (leave net_iov_bytes at the page size)");
  }
  return causes;
}

std::string UnsupportedCauses(const ZcrxRequest& request) {
  return absl::StrCat(
      "the driver cannot hand a queue over (`ethtool -i ", request.device,
      "` names it; bnxt, mlx5, gve and fbnic can), the device does no DMA, or the kernel was built "
      "without CONFIG_IO_URING_ZCRX",
      request.chunk_bytes == 0 ? "" : ", or the NIC cannot fill chunks larger than a page",
      "; use the backend copy or stack");
}

}  // namespace

bool ZcrxSupport::nodev() const { return (register_flags & abi::ZCRX_REG_NODEV) != 0; }
bool ZcrxSupport::can_flush() const { return control_opcodes > abi::ZCRX_CTRL_FLUSH_RQ; }
bool ZcrxSupport::has_events() const { return (features & abi::ZCRX_FEATURE_EVENTS) != 0; }
bool ZcrxSupport::chunk_sizes() const { return (features & abi::ZCRX_FEATURE_RX_PAGE_SIZE) != 0; }

ZcrxSupport QueryZcrx() {
  ZcrxSupport support;
  abi::io_uring_query_zcrx answer{};
  abi::io_uring_query_hdr question{};
  question.query_data = reinterpret_cast<uintptr_t>(&answer);
  question.query_op = abi::IO_URING_QUERY_ZCRX;
  question.size = sizeof(answer);
  if (RingRegister(-1, abi::IORING_REGISTER_QUERY, &question, 0) != 0) return support;
  support.queried = true;
  if (question.result != 0) return support;
  support.register_flags = answer.register_flags;
  support.area_flags = answer.area_flags;
  support.control_opcodes = answer.nr_ctrl_opcodes;
  support.features = answer.features;
  return support;
}

absl::Status CheckZcrx() {
  absl::StatusOr<Ring> ring = Ring::Create({.requests = 1, .completions = 1});
  if (!ring.ok()) return ring.status();
  // A request that cannot be read registers nothing: a kernel that knows the operation stops there,
  // after it has looked at our rights.
  void* const nowhere = reinterpret_cast<void*>(uintptr_t{1});
  const int result = RingRegister(ring->fd(), abi::IORING_REGISTER_ZCRX_IFQ, nowhere, 1);
  if (result == -EFAULT || result == 0) return absl::OkStatus();
  if (result == -EPERM) {
    return absl::PermissionDeniedError(
        "zero-copy receive by io_uring needs CAP_NET_ADMIN in the initial user namespace, which "
        "root in a container does not have; run on the host as root, or use the backend kernel, "
        "which asks for the network namespace's only");
  }
  return absl::UnimplementedError(
      "this kernel's io_uring has no zero-copy receive; it needs Linux 6.15 or newer with "
      "CONFIG_IO_URING_ZCRX");
}

absl::Status ExplainRingRefusal(int err) {
  switch (err) {
    case ENOSYS:
      return absl::UnimplementedError("this kernel was built without io_uring (CONFIG_IO_URING)");
    case EPERM:
      return absl::PermissionDeniedError(
          "io_uring is switched off for this process; `sysctl kernel.io_uring_disabled` shows "
          "whether by the administrator (0 allows it), else a seccomp filter does it, as "
          "containers have by default");
    case EINVAL:
      return absl::UnimplementedError(
          "this kernel's io_uring knows no deferred task work (IORING_SETUP_DEFER_TASKRUN, Linux "
          "6.1), which zero-copy receive needs");
    case ENOMEM:
      return absl::ResourceExhaustedError(
          absl::StrCat("there is no memory for an io_uring; RLIMIT_MEMLOCK is ", MemoryLimit(),
                       "; raise it (`ulimit -l`)"));
    default: return ErrnoToStatus(err, "cannot make an io_uring");
  }
}

absl::Status ExplainZcrxRefusal(int err, const ZcrxRequest& request) {
  const std::string subject = Subject(request);
  switch (err) {
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(subject,
                       "it needs CAP_NET_ADMIN in the initial user namespace; run on the host as "
                       "root, or use the backend kernel"));
    case EINVAL: return absl::FailedPreconditionError(subject + InvalidCauses(request));
    case ENODEV:
      return absl::NotFoundError(absl::StrCat(
          subject, "the device has gone, or is in another network namespace (`ip link`)"));
    case EOPNOTSUPP: return absl::UnimplementedError(subject + UnsupportedCauses(request));
    case ERANGE:
      return absl::OutOfRangeError(absl::StrCat(
          subject, "the NIC has no such queue (`ethtool -l ", request.device,
          "` shows how many), or its driver cannot hand over this one (gve: queue 0)",
          request.chunk_bytes == 0 ? "" : ", or the memory is not contiguous in such chunks",
          "; take the highest queue"));
    case EEXIST:
      return absl::AlreadyExistsError(absl::StrCat(
          subject,
          "the queue is bound already (`devmemctl queue show` says by whom), or an XDP "
          "program is attached (`ip link set dev ",
          request.device, " xdp off`)"));
    case EBUSY:
      return absl::FailedPreconditionError(absl::StrCat(
          subject,
          "an AF_XDP socket has the queue, or it is leased to a virtual device; choose "
          "another queue"));
    case ENOMEM:
      return absl::ResourceExhaustedError(
          absl::StrCat(subject, "the memory cannot be pinned; RLIMIT_MEMLOCK is ", MemoryLimit(),
                       ", and huge pages count whole; raise it (`ulimit -l`) or bind less"));
    case ENODATA:
      return absl::FailedPreconditionError(absl::StrCat(
          subject,
          "the driver started the queue again without the memory; on mlx5 switch hardware "
          "GRO on (`ethtool -K ",
          request.device, " rx-gro-hw on`), on gve header split"));
    case EAGAIN:
    case ENETDOWN:
      return absl::UnavailableError(absl::StrCat(
          subject, "the interface is down; `ip link set dev ", request.device, " up`"));
    case EFAULT:
      return absl::InvalidArgumentError(absl::StrCat(
          subject,
          "its pages cannot be pinned as host memory; memory of a device or a driver needs "
          "a dma-buf"));
    default: return ErrnoToStatus(err, subject + "the driver's own reason, which `dmesg` may have");
  }
}

}  // namespace devmem
