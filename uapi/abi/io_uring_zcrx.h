// SPDX-License-Identifier: Apache-2.0
//
// io_uring's zero-copy receive: register opcodes, flags and structs by kernel names. Mirrors
// linux/io_uring.h, linux/io_uring/zcrx.h and linux/io_uring/query.h as of Linux 7.2 (the kernel
// describes the interface in Documentation/networking/iou-zcrx.rst); distributions with liburing
// before 2.9 have none of it. Structs and enumerators stand in a namespace; what the kernel's
// headers define as macros is a macro here, unless a newer header came first.

#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef IORING_SETUP_CQE32
#define IORING_SETUP_CQE32 (1U << 11)
#endif
#ifndef IORING_SETUP_CQE_MIXED
#define IORING_SETUP_CQE_MIXED (1U << 18)
#endif
#ifndef IORING_CQE_F_MORE
#define IORING_CQE_F_MORE (1U << 1)
#endif
#ifndef IORING_CQE_F_SKIP
#define IORING_CQE_F_SKIP (1U << 5)
#endif
#ifndef IORING_CQE_F_32
#define IORING_CQE_F_32 (1U << 15)
#endif
#ifndef IORING_RECVSEND_POLL_FIRST
#define IORING_RECVSEND_POLL_FIRST (1U << 0)
#endif
#ifndef IORING_RECV_MULTISHOT
#define IORING_RECV_MULTISHOT (1U << 1)
#endif
#ifndef IORING_ZCRX_AREA_SHIFT
#define IORING_ZCRX_AREA_SHIFT 48
#define IORING_ZCRX_AREA_MASK (~(((uint64_t)1 << IORING_ZCRX_AREA_SHIFT) - 1))
#endif

namespace devmem::abi {

enum : uint8_t { IORING_OP_RECV_ZC = 58 };

enum : uint32_t {
  IORING_REGISTER_ZCRX_IFQ = 32,
  IORING_REGISTER_QUERY = 35,  // The ring's descriptor may be -1.
  IORING_REGISTER_ZCRX_CTRL = 36,
};

enum : uint32_t { IORING_MEM_REGION_TYPE_USER = 1 };

// Memory that user space and kernel share: user space's, or the kernel's, to be mapped from the
// ring's descriptor at mmap_offset.
struct io_uring_region_desc {
  uint64_t user_addr;
  uint64_t size;
  uint32_t flags;
  uint32_t id;
  uint64_t mmap_offset;
  uint64_t __resv[4];
};
static_assert(sizeof(io_uring_region_desc) == 64);
static_assert(offsetof(io_uring_region_desc, mmap_offset) == 24);

// One entry of the refill ring: a buffer that user space gives back.
struct io_uring_zcrx_rqe {
  uint64_t off;
  uint32_t len;
  uint32_t __pad;  // Must be 0.
};
static_assert(sizeof(io_uring_zcrx_rqe) == 16 && offsetof(io_uring_zcrx_rqe, len) == 8);

// The second half of a 32-byte completion of IORING_OP_RECV_ZC.
struct io_uring_zcrx_cqe {
  uint64_t off;
  uint64_t __pad;
};
static_assert(sizeof(io_uring_zcrx_cqe) == 16);

// Where head, tail and entries of the refill ring lie in its region, in bytes. The kernel's answer.
struct io_uring_zcrx_offsets {
  uint32_t head;
  uint32_t tail;
  uint32_t rqes;
  uint32_t __resv2;
  uint64_t __resv[2];
};
static_assert(sizeof(io_uring_zcrx_offsets) == 32 && offsetof(io_uring_zcrx_offsets, rqes) == 8);

enum : uint32_t { IORING_ZCRX_AREA_DMABUF = 1 };

// The memory that payload lands in.
struct io_uring_zcrx_area_reg {
  uint64_t addr;
  uint64_t len;
  uint64_t rq_area_token;
  uint32_t flags;
  uint32_t dmabuf_fd;
  uint64_t __resv2[2];
};
static_assert(sizeof(io_uring_zcrx_area_reg) == 48);
static_assert(offsetof(io_uring_zcrx_area_reg, dmabuf_fd) == 28);

enum : uint32_t { ZCRX_REG_IMPORT = 1, ZCRX_REG_NODEV = 2 };

struct io_uring_zcrx_ifq_reg {
  uint32_t if_idx;
  uint32_t if_rxq;
  uint32_t rq_entries;
  uint32_t flags;
  uint64_t area_ptr;
  uint64_t region_ptr;
  io_uring_zcrx_offsets offsets;
  uint32_t zcrx_id;
  uint32_t rx_buf_len;
  uint64_t event_desc;
  uint64_t __resv[2];
};
static_assert(sizeof(io_uring_zcrx_ifq_reg) == 96);
static_assert(offsetof(io_uring_zcrx_ifq_reg, area_ptr) == 16);
static_assert(offsetof(io_uring_zcrx_ifq_reg, offsets) == 32);
static_assert(offsetof(io_uring_zcrx_ifq_reg, zcrx_id) == 64);
static_assert(offsetof(io_uring_zcrx_ifq_reg, event_desc) == 72);

enum : uint32_t {
  ZCRX_CTRL_FLUSH_RQ = 0,
  ZCRX_CTRL_EXPORT = 1,
  ZCRX_CTRL_ARM_EVENT = 2,
};

struct zcrx_ctrl_flush_rq {
  uint64_t __resv[6];
};
struct zcrx_ctrl_export {
  uint32_t zcrx_fd;
  uint32_t __resv1[11];
};
struct zcrx_ctrl_arm_event {
  uint32_t event_type;
  uint32_t __resv1[11];
};

struct zcrx_ctrl {
  uint32_t zcrx_id;
  uint32_t op;
  uint64_t __resv[2];
  union {
    zcrx_ctrl_export zc_export;
    zcrx_ctrl_flush_rq zc_flush;
    zcrx_ctrl_arm_event zc_arm_event;
  };
};
static_assert(sizeof(zcrx_ctrl) == 72 && offsetof(zcrx_ctrl, zc_flush) == 24);

enum : uint32_t { ZCRX_EVENT_ALLOC_FAIL = 0, ZCRX_EVENT_COPY = 1 };
enum : uint32_t { ZCRX_EVENT_DESC_FLAG_STATS = 1 };

struct zcrx_event_desc {
  uint64_t user_data;
  uint32_t type_mask;  // 1 << ZCRX_EVENT_*.
  uint32_t flags;
  uint64_t stats_offset;  // In the refill ring's region, in bytes.
  uint64_t __resv[9];
};
static_assert(sizeof(zcrx_event_desc) == 96 && offsetof(zcrx_event_desc, stats_offset) == 16);

struct zcrx_stats {
  uint64_t copy_count;
  uint64_t copy_bytes;
};
static_assert(sizeof(zcrx_stats) == 16);

enum : uint32_t {
  IO_URING_QUERY_OPCODES = 0,
  IO_URING_QUERY_ZCRX = 1,
  IO_URING_QUERY_SCQ = 2,
  IO_URING_QUERY_ZCRX_NOTIF = 3,
};

// One question of IORING_REGISTER_QUERY; a chain of them goes by next_entry.
struct io_uring_query_hdr {
  uint64_t next_entry;
  uint64_t query_data;
  uint32_t query_op;
  uint32_t size;
  int32_t result;
  uint32_t __resv[3];
};
static_assert(sizeof(io_uring_query_hdr) == 40 && offsetof(io_uring_query_hdr, result) == 24);

struct io_uring_query_opcode {
  uint32_t nr_request_opcodes;
  uint32_t nr_register_opcodes;
  uint64_t feature_flags;
  uint64_t ring_setup_flags;
  uint64_t enter_flags;
  uint64_t sqe_flags;
  uint32_t nr_query_opcodes;
  uint32_t __pad;
};
static_assert(sizeof(io_uring_query_opcode) == 48);

enum : uint32_t { ZCRX_FEATURE_RX_PAGE_SIZE = 1, ZCRX_FEATURE_EVENTS = 2 };

struct io_uring_query_zcrx {
  uint64_t register_flags;
  uint64_t area_flags;
  uint32_t nr_ctrl_opcodes;
  uint32_t features;
  uint32_t rq_hdr_size;
  uint32_t rq_hdr_alignment;
  uint64_t __resv2;
};
static_assert(sizeof(io_uring_query_zcrx) == 40 && offsetof(io_uring_query_zcrx, features) == 20);

static_assert(std::is_trivially_copyable_v<io_uring_zcrx_ifq_reg>);
static_assert(std::is_trivially_copyable_v<zcrx_ctrl>);
static_assert(std::is_trivially_copyable_v<io_uring_query_hdr>);

}  // namespace devmem::abi
