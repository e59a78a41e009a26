// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's netlink family `netdev` tells, as plain values. A field that the kernel left
// out is unset: it does not apply, or the kernel is older than the field. Units are in the names.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace devmem {

struct NetdevDevice {
  uint32_t ifindex = 0;
  uint64_t xdp_features = 0;
  std::optional<uint32_t> xdp_zc_max_segs = {};
  std::optional<uint64_t> xdp_rx_metadata_features = {};
  std::optional<uint64_t> xsk_features = {};
};

enum class QueueType : uint32_t { kRx = 0, kTx = 1 };

// A physical queue that is lent to a virtual device.
struct QueueLease {
  uint32_t ifindex = 0;
  uint32_t queue = 0;
  QueueType type = QueueType::kRx;
  std::optional<int32_t> netns_id = {};  // Unset: in the asker's namespace.
};

struct NetdevQueue {
  uint32_t ifindex = 0;
  uint32_t id = 0;
  QueueType type = QueueType::kRx;
  std::optional<uint32_t> napi_id = {};
  std::optional<uint32_t> dmabuf = {};  // The id of the binding whose memory the queue fills.
  bool io_uring = false;                // io_uring's zero-copy receive owns it.
  std::optional<uint64_t> io_uring_rx_buf_len_bytes = {};
  bool af_xdp = false;
  std::optional<QueueLease> lease = {};

  bool provider() const { return dmabuf.has_value() || io_uring; }
};

struct NetdevNapi {
  uint32_t ifindex = 0;
  uint32_t id = 0;
  std::optional<uint32_t> irq = {};
  std::optional<uint32_t> pid = {};  // Of the thread that polls, when it has one.
  std::optional<uint32_t> defer_hard_irqs = {};
  std::optional<uint64_t> gro_flush_timeout_ns = {};
  std::optional<uint64_t> irq_suspend_timeout_ns = {};
  std::optional<uint32_t> threaded = {};  // 0 off, 1 on, 2 busy polling.
};

struct PagePool {
  uint64_t id = 0;
  std::optional<uint32_t> ifindex = {};  // Unset: its device is gone.
  std::optional<uint64_t> napi_id = {};
  std::optional<uint64_t> inflight_buffers = {};
  std::optional<uint64_t> inflight_bytes = {};
  // When it was taken out of use, in seconds since boot. With buffers in flight it waits for them.
  std::optional<uint64_t> detached_at_seconds = {};
  std::optional<uint32_t> dmabuf = {};
  bool io_uring = false;
  std::optional<uint64_t> io_uring_rx_buf_len_bytes = {};
};

using NamedCounters = std::vector<std::pair<std::string, uint64_t>>;

struct PagePoolStats {
  uint64_t id = 0;
  std::optional<uint32_t> ifindex = {};
  NamedCounters counters = {};  // "alloc-fast", ... as the kernel names them.
};

struct QueueStats {
  uint32_t ifindex = 0;
  std::optional<QueueType> type = {};  // Unset: of the whole device.
  std::optional<uint32_t> id = {};
  NamedCounters counters = {};  // "rx-packets", ...; what the driver does not count is missing.
};

// A queue of a virtual device to be made from a physical one (netkit).
struct QueueLeaseRequest {
  uint32_t virtual_ifindex = 0;
  uint32_t physical_ifindex = 0;
  uint32_t physical_queue = 0;
  std::optional<int32_t> netns_id = {};  // Of the physical device, as seen from the socket.
};

}  // namespace devmem
