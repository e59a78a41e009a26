// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/netdev_decode.h"

#include "uapi/abi/netdev.h"
#include "uapi/netlink/attribute_names.h"

namespace devmem {
namespace {

std::optional<uint64_t> RxBufLen(const Attributes& attributes, uint16_t nest) {
  const std::optional<Attributes> info = attributes.Nest(nest);
  if (!info) return std::nullopt;
  return info->Uint(abi::NETDEV_A_IO_URING_PROVIDER_INFO_RX_BUF_LEN);
}

QueueType Type(const Attributes& attributes, uint16_t type) {
  return attributes.U32(type) == abi::NETDEV_QUEUE_TYPE_TX ? QueueType::kTx : QueueType::kRx;
}

// Every attribute from `first` on is a counter.
NamedCounters Counters(const Attributes& attributes, const AttributeSet* names, uint16_t first) {
  NamedCounters counters;
  for (const Attributes::Item& item : attributes.items()) {
    const std::optional<uint64_t> value = attributes.Uint(item.type);
    if (item.type >= first && value) counters.emplace_back(NameOf(names, item.type), *value);
  }
  return counters;
}

QueueLease DecodeLease(const Attributes& attributes) {
  QueueLease lease;
  lease.ifindex = attributes.U32(abi::NETDEV_A_LEASE_IFINDEX).value_or(0);
  if (const std::optional<Attributes> queue = attributes.Nest(abi::NETDEV_A_LEASE_QUEUE)) {
    lease.queue = queue->U32(abi::NETDEV_A_QUEUE_ID).value_or(0);
    lease.type = Type(*queue, abi::NETDEV_A_QUEUE_TYPE);
  }
  if (const std::optional<uint32_t> id = attributes.U32(abi::NETDEV_A_LEASE_NETNS_ID)) {
    lease.netns_id = static_cast<int32_t>(*id);
  }
  return lease;
}

}  // namespace

NetdevDevice DecodeDevice(const Attributes& attributes) {
  NetdevDevice device;
  device.ifindex = attributes.U32(abi::NETDEV_A_DEV_IFINDEX).value_or(0);
  device.xdp_features = attributes.U64(abi::NETDEV_A_DEV_XDP_FEATURES).value_or(0);
  device.xdp_zc_max_segs = attributes.U32(abi::NETDEV_A_DEV_XDP_ZC_MAX_SEGS);
  device.xdp_rx_metadata_features = attributes.U64(abi::NETDEV_A_DEV_XDP_RX_METADATA_FEATURES);
  device.xsk_features = attributes.U64(abi::NETDEV_A_DEV_XSK_FEATURES);
  return device;
}

NetdevQueue DecodeQueue(const Attributes& attributes) {
  NetdevQueue queue;
  queue.ifindex = attributes.U32(abi::NETDEV_A_QUEUE_IFINDEX).value_or(0);
  queue.id = attributes.U32(abi::NETDEV_A_QUEUE_ID).value_or(0);
  queue.type = Type(attributes, abi::NETDEV_A_QUEUE_TYPE);
  queue.napi_id = attributes.U32(abi::NETDEV_A_QUEUE_NAPI_ID);
  queue.dmabuf = attributes.U32(abi::NETDEV_A_QUEUE_DMABUF);
  queue.io_uring = attributes.Has(abi::NETDEV_A_QUEUE_IO_URING);
  queue.io_uring_rx_buf_len_bytes = RxBufLen(attributes, abi::NETDEV_A_QUEUE_IO_URING);
  queue.af_xdp = attributes.Has(abi::NETDEV_A_QUEUE_XSK);
  if (const std::optional<Attributes> lease = attributes.Nest(abi::NETDEV_A_QUEUE_LEASE)) {
    queue.lease = DecodeLease(*lease);
  }
  return queue;
}

NetdevNapi DecodeNapi(const Attributes& attributes) {
  NetdevNapi napi;
  napi.ifindex = attributes.U32(abi::NETDEV_A_NAPI_IFINDEX).value_or(0);
  napi.id = attributes.U32(abi::NETDEV_A_NAPI_ID).value_or(0);
  napi.irq = attributes.U32(abi::NETDEV_A_NAPI_IRQ);
  napi.pid = attributes.U32(abi::NETDEV_A_NAPI_PID);
  napi.defer_hard_irqs = attributes.U32(abi::NETDEV_A_NAPI_DEFER_HARD_IRQS);
  napi.gro_flush_timeout_ns = attributes.Uint(abi::NETDEV_A_NAPI_GRO_FLUSH_TIMEOUT);
  napi.irq_suspend_timeout_ns = attributes.Uint(abi::NETDEV_A_NAPI_IRQ_SUSPEND_TIMEOUT);
  if (const std::optional<uint64_t> threaded = attributes.Uint(abi::NETDEV_A_NAPI_THREADED)) {
    napi.threaded = static_cast<uint32_t>(*threaded);
  }
  return napi;
}

PagePool DecodePagePool(const Attributes& attributes) {
  PagePool pool;
  pool.id = attributes.Uint(abi::NETDEV_A_PAGE_POOL_ID).value_or(0);
  pool.ifindex = attributes.U32(abi::NETDEV_A_PAGE_POOL_IFINDEX);
  pool.napi_id = attributes.Uint(abi::NETDEV_A_PAGE_POOL_NAPI_ID);
  pool.inflight_buffers = attributes.Uint(abi::NETDEV_A_PAGE_POOL_INFLIGHT);
  pool.inflight_bytes = attributes.Uint(abi::NETDEV_A_PAGE_POOL_INFLIGHT_MEM);
  pool.detached_at_seconds = attributes.Uint(abi::NETDEV_A_PAGE_POOL_DETACH_TIME);
  pool.dmabuf = attributes.U32(abi::NETDEV_A_PAGE_POOL_DMABUF);
  pool.io_uring = attributes.Has(abi::NETDEV_A_PAGE_POOL_IO_URING);
  pool.io_uring_rx_buf_len_bytes = RxBufLen(attributes, abi::NETDEV_A_PAGE_POOL_IO_URING);
  return pool;
}

PagePoolStats DecodePagePoolStats(const Attributes& attributes) {
  PagePoolStats stats;
  if (const auto info = attributes.Nest(abi::NETDEV_A_PAGE_POOL_STATS_INFO)) {
    stats.id = info->Uint(abi::NETDEV_A_PAGE_POOL_ID).value_or(0);
    stats.ifindex = info->U32(abi::NETDEV_A_PAGE_POOL_IFINDEX);
  }
  stats.counters =
      Counters(attributes, NotificationAttributes("netdev", abi::NETDEV_CMD_PAGE_POOL_STATS_GET),
               abi::NETDEV_A_PAGE_POOL_STATS_ALLOC_FAST);
  return stats;
}

QueueStats DecodeQueueStats(const Attributes& attributes) {
  QueueStats stats;
  stats.ifindex = attributes.U32(abi::NETDEV_A_QSTATS_IFINDEX).value_or(0);
  if (attributes.Has(abi::NETDEV_A_QSTATS_QUEUE_TYPE)) {
    stats.type = Type(attributes, abi::NETDEV_A_QSTATS_QUEUE_TYPE);
  }
  stats.id = attributes.U32(abi::NETDEV_A_QSTATS_QUEUE_ID);
  stats.counters =
      Counters(attributes, NotificationAttributes("netdev", abi::NETDEV_CMD_QSTATS_GET),
               abi::NETDEV_A_QSTATS_RX_PACKETS);
  return stats;
}

}  // namespace devmem
