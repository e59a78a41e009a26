// SPDX-License-Identifier: Apache-2.0
//
// The kernel's generic netlink family "netdev", version 1: commands and attributes by their kernel
// names. Mirrors include/uapi/linux/netdev.h as of Linux 7.2, which older distributions lack (the
// kernel's own description is Documentation/netlink/specs/netdev.yaml). Numbers and names only; the
// client is uapi/netlink/netdev_client.h. In a namespace of its own, so that the kernel's header
// may be included beside it where there is one.

#pragma once

#include <cstdint>

namespace devmem::abi {

enum : uint8_t {
  NETDEV_CMD_DEV_GET = 1,
  NETDEV_CMD_DEV_ADD_NTF = 2,
  NETDEV_CMD_DEV_DEL_NTF = 3,
  NETDEV_CMD_DEV_CHANGE_NTF = 4,
  NETDEV_CMD_PAGE_POOL_GET = 5,
  NETDEV_CMD_PAGE_POOL_ADD_NTF = 6,
  NETDEV_CMD_PAGE_POOL_DEL_NTF = 7,
  NETDEV_CMD_PAGE_POOL_CHANGE_NTF = 8,
  NETDEV_CMD_PAGE_POOL_STATS_GET = 9,
  NETDEV_CMD_QUEUE_GET = 10,
  NETDEV_CMD_NAPI_GET = 11,
  NETDEV_CMD_QSTATS_GET = 12,
  NETDEV_CMD_BIND_RX = 13,
  NETDEV_CMD_NAPI_SET = 14,
  NETDEV_CMD_BIND_TX = 15,
  NETDEV_CMD_QUEUE_CREATE = 16,
};

enum : uint16_t {
  NETDEV_A_DEV_IFINDEX = 1,  // u32
  NETDEV_A_DEV_PAD = 2,
  NETDEV_A_DEV_XDP_FEATURES = 3,              // u64
  NETDEV_A_DEV_XDP_ZC_MAX_SEGS = 4,           // u32
  NETDEV_A_DEV_XDP_RX_METADATA_FEATURES = 5,  // u64
  NETDEV_A_DEV_XSK_FEATURES = 6,              // u64
};

enum : uint16_t {
  NETDEV_A_PAGE_POOL_ID = 1,            // uint
  NETDEV_A_PAGE_POOL_IFINDEX = 2,       // u32; absent when the device is gone
  NETDEV_A_PAGE_POOL_NAPI_ID = 3,       // uint
  NETDEV_A_PAGE_POOL_INFLIGHT = 4,      // uint, buffers
  NETDEV_A_PAGE_POOL_INFLIGHT_MEM = 5,  // uint, bytes
  NETDEV_A_PAGE_POOL_DETACH_TIME = 6,   // uint, seconds since boot; absent while in use
  NETDEV_A_PAGE_POOL_DMABUF = 7,        // u32, a binding's id
  NETDEV_A_PAGE_POOL_IO_URING = 8,      // nest of NETDEV_A_IO_URING_PROVIDER_INFO_*
};

enum : uint16_t { NETDEV_A_IO_URING_PROVIDER_INFO_RX_BUF_LEN = 1 };  // uint, bytes

enum : uint16_t {
  NETDEV_A_PAGE_POOL_STATS_INFO = 1,        // nest of NETDEV_A_PAGE_POOL_*
  NETDEV_A_PAGE_POOL_STATS_ALLOC_FAST = 8,  // uint from here on
  NETDEV_A_PAGE_POOL_STATS_ALLOC_SLOW = 9,
  NETDEV_A_PAGE_POOL_STATS_ALLOC_SLOW_HIGH_ORDER = 10,
  NETDEV_A_PAGE_POOL_STATS_ALLOC_EMPTY = 11,
  NETDEV_A_PAGE_POOL_STATS_ALLOC_REFILL = 12,
  NETDEV_A_PAGE_POOL_STATS_ALLOC_WAIVE = 13,
  NETDEV_A_PAGE_POOL_STATS_RECYCLE_CACHED = 14,
  NETDEV_A_PAGE_POOL_STATS_RECYCLE_CACHE_FULL = 15,
  NETDEV_A_PAGE_POOL_STATS_RECYCLE_RING = 16,
  NETDEV_A_PAGE_POOL_STATS_RECYCLE_RING_FULL = 17,
  NETDEV_A_PAGE_POOL_STATS_RECYCLE_RELEASED_REFCNT = 18,
};

enum : uint16_t {
  NETDEV_A_NAPI_IFINDEX = 1,              // u32
  NETDEV_A_NAPI_ID = 2,                   // u32
  NETDEV_A_NAPI_IRQ = 3,                  // u32
  NETDEV_A_NAPI_PID = 4,                  // u32; only with a thread of its own
  NETDEV_A_NAPI_DEFER_HARD_IRQS = 5,      // u32
  NETDEV_A_NAPI_GRO_FLUSH_TIMEOUT = 6,    // uint, nanoseconds
  NETDEV_A_NAPI_IRQ_SUSPEND_TIMEOUT = 7,  // uint, nanoseconds
  NETDEV_A_NAPI_THREADED = 8,             // uint: 0 off, 1 on, 2 busy polling
};

enum : uint16_t {
  NETDEV_A_QUEUE_ID = 1,        // u32
  NETDEV_A_QUEUE_IFINDEX = 2,   // u32
  NETDEV_A_QUEUE_TYPE = 3,      // u32, NETDEV_QUEUE_TYPE_*
  NETDEV_A_QUEUE_NAPI_ID = 4,   // u32
  NETDEV_A_QUEUE_DMABUF = 5,    // u32, a binding's id
  NETDEV_A_QUEUE_IO_URING = 6,  // nest of NETDEV_A_IO_URING_PROVIDER_INFO_*; empty on old kernels
  NETDEV_A_QUEUE_XSK = 7,       // empty nest
  NETDEV_A_QUEUE_LEASE = 8,     // nest of NETDEV_A_LEASE_*
};

enum : uint32_t { NETDEV_QUEUE_TYPE_RX = 0, NETDEV_QUEUE_TYPE_TX = 1 };

enum : uint16_t {
  NETDEV_A_LEASE_IFINDEX = 1,   // u32
  NETDEV_A_LEASE_QUEUE = 2,     // nest: NETDEV_A_QUEUE_ID and NETDEV_A_QUEUE_TYPE alone
  NETDEV_A_LEASE_NETNS_ID = 3,  // s32
};

enum : uint16_t {
  NETDEV_A_DMABUF_IFINDEX = 1,  // u32
  NETDEV_A_DMABUF_QUEUES = 2,   // nest, once for each queue: NETDEV_A_QUEUE_ID and _TYPE alone
  NETDEV_A_DMABUF_FD = 3,       // u32
  NETDEV_A_DMABUF_ID = 4,       // u32, from 1; the kernel's answer
};

enum : uint16_t {
  NETDEV_A_QSTATS_IFINDEX = 1,     // u32
  NETDEV_A_QSTATS_QUEUE_TYPE = 2,  // u32
  NETDEV_A_QSTATS_QUEUE_ID = 3,    // u32
  NETDEV_A_QSTATS_SCOPE = 4,       // uint, NETDEV_QSTATS_SCOPE_*
  NETDEV_A_QSTATS_RX_PACKETS = 8,  // uint from here on; a counter that is not kept is absent
  NETDEV_A_QSTATS_RX_BYTES = 9,
  NETDEV_A_QSTATS_TX_PACKETS = 10,
  NETDEV_A_QSTATS_TX_BYTES = 11,
  NETDEV_A_QSTATS_RX_ALLOC_FAIL = 12,
  NETDEV_A_QSTATS_RX_HW_DROPS = 13,
  NETDEV_A_QSTATS_RX_HW_DROP_OVERRUNS = 14,
  NETDEV_A_QSTATS_RX_CSUM_COMPLETE = 15,
  NETDEV_A_QSTATS_RX_CSUM_UNNECESSARY = 16,
  NETDEV_A_QSTATS_RX_CSUM_NONE = 17,
  NETDEV_A_QSTATS_RX_CSUM_BAD = 18,
  NETDEV_A_QSTATS_RX_HW_GRO_PACKETS = 19,
  NETDEV_A_QSTATS_RX_HW_GRO_BYTES = 20,
  NETDEV_A_QSTATS_RX_HW_GRO_WIRE_PACKETS = 21,
  NETDEV_A_QSTATS_RX_HW_GRO_WIRE_BYTES = 22,
  NETDEV_A_QSTATS_RX_HW_DROP_RATELIMITS = 23,
  NETDEV_A_QSTATS_TX_HW_DROPS = 24,
  NETDEV_A_QSTATS_TX_HW_DROP_ERRORS = 25,
  NETDEV_A_QSTATS_TX_CSUM_NONE = 26,
  NETDEV_A_QSTATS_TX_NEEDS_CSUM = 27,
  NETDEV_A_QSTATS_TX_HW_GSO_PACKETS = 28,
  NETDEV_A_QSTATS_TX_HW_GSO_BYTES = 29,
  NETDEV_A_QSTATS_TX_HW_GSO_WIRE_PACKETS = 30,
  NETDEV_A_QSTATS_TX_HW_GSO_WIRE_BYTES = 31,
  NETDEV_A_QSTATS_TX_HW_DROP_RATELIMITS = 32,
  NETDEV_A_QSTATS_TX_STOP = 33,
  NETDEV_A_QSTATS_TX_WAKE = 34,
};

enum : uint32_t { NETDEV_QSTATS_SCOPE_QUEUE = 1 };

// The fixed header behind the netlink header is the generic one; the family adds none.
static_assert(NETDEV_CMD_QUEUE_CREATE == 16 && NETDEV_A_QSTATS_TX_WAKE == 34);

}  // namespace devmem::abi
