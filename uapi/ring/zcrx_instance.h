// SPDX-License-Identifier: Apache-2.0
//
// A zcrx instance of the kernel: a ring of its own, registered for one rx queue and one area of
// memory. Destroying it closes the ring; the kernel then restarts the queue and takes every buffer
// back, which may go on for a while after. Made and used by one thread. Linux's
// Documentation/networking/iou-zcrx.rst.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "provider/lazy_array.h"
#include "uapi/abi/io_uring_zcrx.h"
#include "uapi/ring/ring_calls.h"
#include "uapi/ring/zcrx_port.h"
#include "uapi/ring/zcrx_support.h"

namespace devmem {

// The memory that payload lands in: host memory by its address, or all of a dma-buf.
struct ZcrxArea {
  void* address = nullptr;
  int dmabuf_fd = -1;
  uint64_t bytes = 0;
};

struct ZcrxOptions {
  std::string device;  // Its name, for messages.
  uint32_t ifindex = 0;
  uint32_t queue = 0;
  uint32_t chunk_bytes = 0;     // 0: a page.
  uint32_t refill_entries = 0;  // Rounded up to a power of two, kRefillEntriesMax at most.
  // The refill ring in memory of ours, or in the kernel's.
  bool refill_in_user_memory = true;
  bool mixed_completions = false;
  // No NIC: everything is copied into the area, which is host memory. To try without hardware.
  bool nodev = false;
};

class ZcrxInstance final : public ZcrxPort {
 public:
  // The area's memory stays mapped (or its dma-buf open) until this returns, and its owner keeps it
  // for as long as the instance lives. Errors: ExplainRingRefusal(), ExplainZcrxRefusal().
  static absl::StatusOr<std::unique_ptr<ZcrxInstance>> Create(const ZcrxOptions& options,
                                                              const ZcrxArea& area,
                                                              const ZcrxSupport& support);
  ~ZcrxInstance() override;

  bool Arm(int socket, uint64_t user_data, uint32_t budget_bytes) override;
  bool Cancel(uint64_t target, uint64_t user_data) override;
  int Enter() override;
  int FlushRefill() override;
  ZcrxCopies copies() const override;
  void ArmEvent(uint32_t event) override;
  int fd() const override { return ring_.news_fd(); }

 private:
  explicit ZcrxInstance(Ring ring) : ring_(std::move(ring)) {}

  absl::Status Register(const ZcrxOptions& options, const ZcrxArea& area,
                        const ZcrxSupport& support);
  absl::Status MapRefill(const abi::io_uring_region_desc& region);
  io_uring_sqe* NextRequest();

  Ring ring_;
  uint32_t zcrx_id_ = 0;
  bool can_flush_ = false;
  LazyArray<uint8_t> own_refill_;     // Where the refill ring is in our memory.
  uint8_t* kernel_refill_ = nullptr;  // Where it is in the kernel's: a mapping.
  uint64_t refill_bytes_ = 0;
  uint64_t stats_offset_ = 0;  // 0: the kernel keeps none.
};

}  // namespace devmem
