// SPDX-License-Identifier: Apache-2.0
//
// Registering a queue and an area; requests.

#include "uapi/ring/zcrx_instance.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "provider/posix_error.h"
#include "uapi/ring/limits.h"

namespace devmem {
namespace {

// Head and tail of the refill ring stand before its entries; where exactly, the kernel says when it
// is too late to make room. A page is more than any kernel takes.
constexpr uint64_t kRefillHeadBytesMax = 4096;

ZcrxRequest RequestOf(const ZcrxOptions& options, const ZcrxArea& area) {
  return {.device = options.nodev ? "no device" : options.device,
          .queue = options.queue,
          .area_bytes = area.bytes,
          .dmabuf = area.dmabuf_fd >= 0,
          .chunk_bytes = options.chunk_bytes};
}

abi::io_uring_zcrx_area_reg Describe(const ZcrxArea& area) {
  abi::io_uring_zcrx_area_reg described{};
  described.len = area.bytes;
  if (area.dmabuf_fd >= 0) {
    described.flags = abi::IORING_ZCRX_AREA_DMABUF;
    described.dmabuf_fd = static_cast<uint32_t>(area.dmabuf_fd);
  } else {
    described.addr = reinterpret_cast<uintptr_t>(area.address);
  }
  return described;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZcrxInstance>> ZcrxInstance::Create(const ZcrxOptions& options,
                                                                   const ZcrxArea& area,
                                                                   const ZcrxSupport& support) {
  absl::StatusOr<Ring> ring = Ring::Create({.requests = kRingRequests,
                                            .completions = kRingCompletions,
                                            .mixed = options.mixed_completions});
  if (!ring.ok()) return ring.status();
  std::unique_ptr<ZcrxInstance> instance(new ZcrxInstance(*std::move(ring)));
  absl::Status registered = instance->Register(options, area, support);
  if (!registered.ok()) return registered;
  return instance;
}

ZcrxInstance::~ZcrxInstance() {
  if (kernel_refill_ != nullptr) ::munmap(kernel_refill_, refill_bytes_);
}

absl::Status ZcrxInstance::Register(const ZcrxOptions& options, const ZcrxArea& area,
                                    const ZcrxSupport& support) {
  const uint32_t entries = std::bit_ceil(std::clamp(options.refill_entries, 1u, kRefillEntriesMax));
  refill_bytes_ = RoundToPages(kRefillHeadBytesMax + sizeof(abi::zcrx_stats) +
                               uint64_t{entries} * sizeof(abi::io_uring_zcrx_rqe));
  abi::io_uring_region_desc region{};
  region.size = refill_bytes_;
  if (options.refill_in_user_memory) {
    own_refill_ = LazyArray<uint8_t>(refill_bytes_);
    if (!own_refill_.ok()) return ErrnoToStatus(ENOMEM, "cannot map a refill ring");
    region.user_addr = reinterpret_cast<uintptr_t>(own_refill_.data());
    region.flags = abi::IORING_MEM_REGION_TYPE_USER;
  }
  abi::io_uring_zcrx_area_reg area_request = Describe(area);
  abi::zcrx_event_desc events{};
  abi::io_uring_zcrx_ifq_reg request{};
  request.if_idx = options.nodev ? 0 : options.ifindex;
  request.if_rxq = options.nodev ? 0 : options.queue;
  request.rq_entries = entries;
  request.flags = options.nodev ? abi::ZCRX_REG_NODEV : 0u;
  request.area_ptr = reinterpret_cast<uintptr_t>(&area_request);
  request.region_ptr = reinterpret_cast<uintptr_t>(&region);
  request.rx_buf_len = options.chunk_bytes;
  if (support.has_events()) {
    events.user_data = kEventUserData;
    events.type_mask = 1u << abi::ZCRX_EVENT_ALLOC_FAIL | 1u << abi::ZCRX_EVENT_COPY;
    events.flags = abi::ZCRX_EVENT_DESC_FLAG_STATS;
    events.stats_offset = refill_bytes_ - sizeof(abi::zcrx_stats);
    request.event_desc = reinterpret_cast<uintptr_t>(&events);
  }
  const int result = RingRegister(ring_.fd(), abi::IORING_REGISTER_ZCRX_IFQ, &request, 1);
  if (result < 0) return ExplainZcrxRefusal(-result, RequestOf(options, area));

  zcrx_id_ = request.zcrx_id;
  can_flush_ = support.can_flush();
  stats_offset_ = events.stats_offset;
  const absl::Status mapped = MapRefill(region);
  if (!mapped.ok()) return mapped;
  uint8_t* const base = kernel_refill_ != nullptr ? kernel_refill_ : own_refill_.data();
  refill_ =
      RefillRing({.head = reinterpret_cast<const uint32_t*>(base + request.offsets.head),
                  .tail = reinterpret_cast<uint32_t*>(base + request.offsets.tail),
                  .entries = reinterpret_cast<abi::io_uring_zcrx_rqe*>(base + request.offsets.rqes),
                  .entry_count = request.rq_entries,
                  .area_token = area_request.rq_area_token});
  completions_ = ring_.completions();
  return absl::OkStatus();
}

absl::Status ZcrxInstance::MapRefill(const abi::io_uring_region_desc& region) {
  if (own_refill_.size() != 0) return absl::OkStatus();
  void* const memory = ::mmap(nullptr, refill_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED,
                              ring_.fd(), static_cast<off_t>(region.mmap_offset));
  if (memory == MAP_FAILED) {
    const int err = errno;
    return ErrnoToStatus(err, "cannot map the refill ring that the kernel made");
  }
  kernel_refill_ = static_cast<uint8_t*>(memory);
  return absl::OkStatus();
}

// A free request slot; nullptr when the kernel takes no more even after those that wait were handed
// over.
io_uring_sqe* ZcrxInstance::NextRequest() {
  io_uring_sqe* request = io_uring_get_sqe(ring_.get());
  if (request == nullptr && io_uring_submit(ring_.get()) >= 0) {
    request = io_uring_get_sqe(ring_.get());
  }
  if (request != nullptr) *request = io_uring_sqe{};
  return request;
}

bool ZcrxInstance::Arm(int socket, uint64_t user_data, uint32_t budget_bytes) {
  io_uring_sqe* const request = NextRequest();
  if (request == nullptr) return false;
  request->opcode = abi::IORING_OP_RECV_ZC;
  request->fd = socket;
  request->ioprio = IORING_RECV_MULTISHOT;
  request->len = budget_bytes;
  // zcrx_ifq_idx, which shares its place with this.
  request->file_index = zcrx_id_;
  request->user_data = user_data;
  return true;
}

bool ZcrxInstance::Cancel(uint64_t target, uint64_t user_data) {
  io_uring_sqe* const request = NextRequest();
  if (request == nullptr) return false;
  request->opcode = IORING_OP_ASYNC_CANCEL;
  request->fd = -1;
  request->addr = target;
  request->user_data = user_data;
  return true;
}

int ZcrxInstance::Enter() {
  ring_.LowerNews();
  const int result = io_uring_submit_and_get_events(ring_.get());
  return result < 0 ? result : 0;
}

int ZcrxInstance::FlushRefill() {
  if (!can_flush_) return -EOPNOTSUPP;
  abi::zcrx_ctrl control{};
  control.zcrx_id = zcrx_id_;
  control.op = abi::ZCRX_CTRL_FLUSH_RQ;
  return std::min(0, RingRegister(ring_.fd(), abi::IORING_REGISTER_ZCRX_CTRL, &control, 0));
}

void ZcrxInstance::ArmEvent(uint32_t event) {
  abi::zcrx_ctrl control{};
  control.zcrx_id = zcrx_id_;
  control.op = abi::ZCRX_CTRL_ARM_EVENT;
  control.zc_arm_event.event_type = event;
  // A refusal loses an event that only says what the counters say too.
  (void)RingRegister(ring_.fd(), abi::IORING_REGISTER_ZCRX_CTRL, &control, 0);
}

ZcrxCopies ZcrxInstance::copies() const {
  if (stats_offset_ == 0) return {};
  const uint8_t* const base = kernel_refill_ != nullptr ? kernel_refill_ : &own_refill_[0];
  auto* const stats =
      reinterpret_cast<abi::zcrx_stats*>(const_cast<uint8_t*>(base) + stats_offset_);
  return {.known = true,
          .count = std::atomic_ref(stats->copy_count).load(std::memory_order_relaxed),
          .bytes = std::atomic_ref(stats->copy_bytes).load(std::memory_order_relaxed)};
}

}  // namespace devmem
