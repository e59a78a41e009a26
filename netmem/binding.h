// SPDX-License-Identifier: Apache-2.0
//
// Bindings: which part of which region belongs to which rx queues, and to whom. A binding is one
// importer's attachment of a region × a sub-range of it × a set of rx queues; its id is what the
// kernel calls dmabuf_id. This is bookkeeping only: the session that owns the table keeps the
// attachment alive, restarts the queues' page pools on what ProviderFor() says and programs the
// NIC. One table per netdev; control thread.
//
// Linux shares one pool of net_iovs among all queues of a binding. Here each queue's pool belongs
// to one worker and takes no lock, so the range is divided instead: every queue gets an equal
// slice, whole slabs, in the order of the request. A rest of less than one slab per queue is left
// unused.
//
//      region   |----------[ range_bytes of the binding          ]-----|
//                          [ queue a     | queue b     | queue c  |. ]
//                          ^ range_offset                          ^ rest

#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/limits.h"
#include "netmem/memory_provider.h"

namespace devmem {

// From 1; never used twice by one table. 0 is no binding.
using BindingId = uint32_t;

// What is asked for. The region's figures are those of the importer's attachment.
struct BindRequest {
  uint64_t owner_id = 0;  // Who will hold the queues: a session's or a client's number.
  uint32_t region_id = 0;
  uint64_t region_bytes = 0;   // Size of the whole region.
  uint64_t page_bytes = 4096;  // The region's pages; range_offset is a multiple of it.
  uint64_t range_offset = 0;   // Where the bound range starts in the region, in bytes.
  uint64_t range_bytes = 0;
  std::vector<uint32_t> queues;  // Each once.
  uint32_t net_iov_bytes = kNetIovBytesDefault;
  uint32_t slab_bytes = kSlabBytesDefault;
};

// Immutable once made.
class Binding {
 public:
  BindingId id() const { return id_; }
  uint64_t owner_id() const { return request_.owner_id; }
  uint32_t region_id() const { return request_.region_id; }
  uint64_t range_offset() const { return request_.range_offset; }
  uint64_t range_bytes() const { return request_.range_bytes; }
  const std::vector<uint32_t>& queues() const { return request_.queues; }

  // What each queue's pool gets: whole slabs, at least kBindingBytesMin.
  uint64_t slice_bytes() const { return slice_bytes_; }

  // The slice of one queue, ready for PagePool::Create(). kNotFound when the queue is not of this
  // binding.
  absl::StatusOr<MemoryProvider> ProviderFor(uint32_t queue) const;

 private:
  friend class BindingTable;
  Binding(BindingId id, const BindRequest& request, uint64_t slice_bytes)
      : id_(id), request_(request), slice_bytes_(slice_bytes) {}

  BindingId id_;
  BindRequest request_;
  uint64_t slice_bytes_;
};

// Invariants:
//   1. by_queue_[q] is the one binding that lists queue q, or 0.
//   2. The ranges of two bindings of one region do not overlap.
class BindingTable {
 public:
  // For a netdev with queues 0 to queue_count - 1.
  explicit BindingTable(uint32_t queue_count) : by_queue_(queue_count, 0) {}

  // Records a binding and returns its id; a refused request changes nothing.
  //
  // Errors: kInvalidArgument     no queue, a queue named twice, a misaligned offset, a bad slab
  // size,
  //                              a range too small for the queues.
  //         kOutOfRange          a queue that does not exist, a range beyond the region, a net_iov
  //                              size outside limits.h.
  //         kFailedPrecondition  a queue or bytes of the range are bound already; the message names
  //                              the binding and its owner.
  absl::StatusOr<BindingId> Bind(const BindRequest& request);

  // Forgets a binding: its queues and its range are free again. The caller has drained it before.
  // kNotFound for an id that names none (any more).
  absl::Status Unbind(BindingId id);

  // nullptr when there is none. Valid until the binding is unbound.
  const Binding* Find(BindingId id) const;
  const Binding* FindByQueue(uint32_t queue) const;

  const std::map<BindingId, Binding>& bindings() const { return bindings_; }
  uint32_t queue_count() const { return static_cast<uint32_t>(by_queue_.size()); }

 private:
  absl::Status CheckQueues(const BindRequest& request) const;
  absl::Status CheckOverlap(const BindRequest& request) const;

  std::map<BindingId, Binding> bindings_;
  std::vector<BindingId> by_queue_;
  BindingId next_id_ = 1;
};

}  // namespace devmem
