// SPDX-License-Identifier: Apache-2.0
//
// The refusals of a bind request, and how a range is divided among queues. Control thread.

#include "netmem/binding.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

std::string Describe(const Binding& binding) {
  return absl::StrCat("binding ", binding.id(), " of owner ", binding.owner_id());
}

absl::Status CheckRange(const BindRequest& request) {
  if (request.page_bytes == 0 || request.range_offset % request.page_bytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "range starts at byte ", request.range_offset, " of region ", request.region_id,
        "; choose a multiple of its page of ", request.page_bytes, " bytes"));
  }
  // Not offset + bytes > size: the sum of two 64-bit numbers from outside may wrap around.
  if (request.range_offset > request.region_bytes ||
      request.range_bytes > request.region_bytes - request.range_offset) {
    return absl::OutOfRangeError(
        absl::StrCat("range of ", request.range_bytes, " bytes from byte ", request.range_offset,
                     " ends beyond region ", request.region_id, " of ", request.region_bytes,
                     " bytes; bind less of it or allocate a larger region"));
  }
  return absl::OkStatus();
}

// The equal slice of each queue, or why the range is too small for it.
absl::StatusOr<uint64_t> SliceBytes(const BindRequest& request) {
  const uint64_t slab = request.slab_bytes;
  const uint64_t queues = request.queues.size();
  const uint64_t least = (kBindingBytesMin + slab - 1) / slab * slab;
  const uint64_t slice = request.range_bytes / queues / slab * slab;
  if (slice < least) {
    return absl::InvalidArgumentError(
        absl::StrCat("range of ", request.range_bytes, " bytes is too small for ", queues,
                     " queue(s): ", least * queues, " bytes are needed, ", least,
                     " for each (the largest frame posted and one in reserve, in slabs of ", slab,
                     " bytes); bind more bytes or fewer queues"));
  }
  return slice;
}

}  // namespace

absl::StatusOr<MemoryProvider> Binding::ProviderFor(uint32_t queue) const {
  const auto found = std::find(queues().begin(), queues().end(), queue);
  if (found == queues().end()) {
    return absl::NotFoundError(absl::StrCat("queue ", queue, " is not of ", Describe(*this)));
  }
  const uint64_t slices_before = static_cast<uint64_t>(found - queues().begin());
  return MemoryProvider{.region_id = region_id(),
                        .region_offset = range_offset() + slices_before * slice_bytes_,
                        .bytes = slice_bytes_,
                        .device = true,
                        .net_iov_bytes = request_.net_iov_bytes,
                        .slab_bytes = request_.slab_bytes};
}

absl::StatusOr<BindingId> BindingTable::Bind(const BindRequest& request) {
  absl::Status check = CheckQueues(request);
  if (check.ok()) check = CheckCut(request.net_iov_bytes, request.slab_bytes);
  if (check.ok()) check = CheckRange(request);
  if (!check.ok()) return check;
  const absl::StatusOr<uint64_t> slice_bytes = SliceBytes(request);
  if (!slice_bytes.ok()) return slice_bytes.status();
  check = CheckOverlap(request);
  if (!check.ok()) return check;

  const BindingId id = next_id_++;
  for (const uint32_t queue : request.queues) by_queue_[queue] = id;
  bindings_.emplace(id, Binding(id, request, *slice_bytes));
  return id;
}

absl::Status BindingTable::Unbind(BindingId id) {
  const auto found = bindings_.find(id);
  if (found == bindings_.end()) {
    return absl::NotFoundError(
        absl::StrCat("there is no binding ", id, "; it was unbound before or never made"));
  }
  for (const uint32_t queue : found->second.queues()) by_queue_[queue] = 0;
  bindings_.erase(found);
  return absl::OkStatus();
}

const Binding* BindingTable::Find(BindingId id) const {
  const auto found = bindings_.find(id);
  return found == bindings_.end() ? nullptr : &found->second;
}

const Binding* BindingTable::FindByQueue(uint32_t queue) const {
  return queue < by_queue_.size() ? Find(by_queue_[queue]) : nullptr;
}

absl::Status BindingTable::CheckQueues(const BindRequest& request) const {
  if (request.queues.empty()) {
    return absl::InvalidArgumentError("the request names no rx queue; name at least one");
  }
  for (auto queue = request.queues.begin(); queue != request.queues.end(); ++queue) {
    if (*queue >= by_queue_.size()) {
      return absl::OutOfRangeError(absl::StrCat("rx queue ", *queue,
                                                " does not exist; the device has ",
                                                by_queue_.size(), ", counted from 0"));
    }
    if (std::find(request.queues.begin(), queue, *queue) != queue) {
      return absl::InvalidArgumentError(
          absl::StrCat("rx queue ", *queue, " is named twice in one request; name it once"));
    }
    if (const Binding* holder = FindByQueue(*queue)) {
      return absl::FailedPreconditionError(
          absl::StrCat("rx queue ", *queue, " is already bound: ", Describe(*holder),
                       " has it; unbind that first or choose another queue"));
    }
  }
  return absl::OkStatus();
}

absl::Status BindingTable::CheckOverlap(const BindRequest& request) const {
  const uint64_t start = request.range_offset;
  const uint64_t end = start + request.range_bytes;
  for (const auto& [id, other] : bindings_) {
    const uint64_t other_end = other.range_offset() + other.range_bytes();
    if (other.region_id() != request.region_id || end <= other.range_offset() ||
        other_end <= start) {
      continue;
    }
    return absl::FailedPreconditionError(
        absl::StrCat("bytes ", start, " to ", end, " of region ", request.region_id,
                     " overlap bytes ", other.range_offset(), " to ", other_end, ", which ",
                     Describe(other), " has; unbind that first or choose another range"));
  }
  return absl::OkStatus();
}

}  // namespace devmem
