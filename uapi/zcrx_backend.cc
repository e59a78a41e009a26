// SPDX-License-Identifier: Apache-2.0
//
// Binding, unbinding and telling.

#include "uapi/zcrx_backend.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/limits.h"
#include "uapi/ring/limits.h"

namespace devmem {
namespace {

// What a ring cannot be given, before anything is changed.
absl::Status CheckRange(const Binding& binding) {
  if (binding.slice_bytes() > kZcrxAreaBytesMax) {
    return absl::OutOfRangeError(absl::StrCat(
        binding.slice_bytes(), " bytes were asked for one queue; io_uring takes areas of ",
        kZcrxAreaBytesMax, " bytes at most: bind less, or more queues"));
  }
  return absl::OkStatus();
}

// The parts of a range that its queues get. A dma-buf is bound whole, so one queue takes the range
// as it is; several need memory that can be bound in parts.
absl::StatusOr<MemoryProvider> PartFor(const Binding& binding, uint32_t queue) {
  absl::StatusOr<MemoryProvider> part = binding.ProviderFor(queue);
  if (!part.ok()) return part.status();
  if (binding.queues().size() == 1) {
    part->bytes = binding.range_bytes() / part->net_iov_bytes * part->net_iov_bytes;
  }
  return part;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZcrxBackend>> ZcrxBackend::Create(const SessionOptions& options,
                                                                 absl::string_view why,
                                                                 std::unique_ptr<KernelNic> nic,
                                                                 ZcrxSystem* system) {
  absl::StatusOr<Parts> parts = MakeParts(Backend::kZcrx, options, why, std::move(nic));
  if (!parts.ok()) return parts.status();
  return std::unique_ptr<ZcrxBackend>(new ZcrxBackend(*std::move(parts), system));
}

absl::StatusOr<std::vector<std::shared_ptr<SocketQueue>>> ZcrxBackend::MakeQueues(
    const Binding& binding, const Region& region, Attachment& attachment, SocketStats* stats) {
  const absl::Status reached = CheckReached(region, attachment);
  if (!reached.ok()) return reached;
  const absl::Status usable = CheckRange(binding);
  if (!usable.ok()) return usable;
  const absl::Status ready = nic().SetApart(binding.queues());
  if (!ready.ok()) return ready;
  std::vector<std::shared_ptr<SocketQueue>> queues;
  std::vector<Bound> bound;
  absl::Status failed;
  for (const uint32_t index : binding.queues()) {
    const absl::StatusOr<MemoryProvider> part = PartFor(binding, index);
    if (!part.ok()) failed = part.status();
    if (!failed.ok()) break;
    absl::StatusOr<ZcrxMemory> memory =
        ZcrxMemory::Create(region, part->region_offset, part->bytes);
    if (!memory.ok()) failed = memory.status();
    if (!failed.ok()) break;
    auto queue = MakeQueue(*part, index, region, *memory, stats);
    if (!queue.ok()) failed = queue.status();
    if (!failed.ok()) break;
    queues.push_back(*std::move(queue));
    bound.push_back({index, *std::move(memory)});
  }
  bound_[binding.id()] = std::move(bound);
  if (failed.ok()) return queues;
  queues.clear();
  EndBinding(binding.id());
  return failed;
}

absl::StatusOr<std::shared_ptr<SocketQueue>> ZcrxBackend::MakeQueue(const MemoryProvider& part,
                                                                    uint32_t index,
                                                                    const Region& region,
                                                                    const ZcrxMemory& memory,
                                                                    SocketStats* stats) {
  const uint32_t page_bytes = static_cast<uint32_t>(::sysconf(_SC_PAGESIZE));
  ZcrxQueueSetup setup{.index = index,
                       .region_id = region.id(),
                       .region_offset = part.region_offset,
                       .chunk_count = static_cast<uint32_t>(part.bytes / part.net_iov_bytes),
                       .chunk_bytes = part.net_iov_bytes,
                       .dmabuf = memory.dmabuf(),
                       .held_bytes_max = held_bytes_max()};
  absl::StatusOr<ReadBack> read_back =
      ReadBack::Open(region, part.region_offset, memory.area().dmabuf_fd);
  if (!read_back.ok()) return read_back.status();
  setup.read_back = *std::move(read_back);
  const NicPlan& plan = nic().plan();
  // Twice as many entries as chunks: a chunk can come in two pieces on NICs with smaller buffers.
  absl::StatusOr<std::unique_ptr<ZcrxPort>> port = system_->Open(
      {.device = plan.device,
       .ifindex = plan.ifindex,
       .queue = index,
       .chunk_bytes = part.net_iov_bytes == page_bytes ? 0 : part.net_iov_bytes,
       .refill_entries = std::min(std::bit_ceil(setup.chunk_count) * 2, kRefillEntriesMax)},
      memory.area());
  if (!port.ok()) return nic().WithLinkState(port.status());
  setup.port = *std::move(port);
  return ZcrxQueue::Create(std::move(setup),
                           {.host = &host(), .stats = stats, .zcrx_stats = &stats_});
}

// The rings are closed by now; the kernel restarts their queues in its own time, and until then
// nobody else can have them.
void ZcrxBackend::EndBinding(BindingId binding) {
  for (const Bound& bound : bound_[binding]) {
    // What does not come back in time is said by the next one who asks for the queue.
    (void)system_->AwaitFree(nic().plan().ifindex, bound.queue);
  }
  bound_.erase(binding);
}

void ZcrxBackend::AppendStatistics(std::vector<Statistic>* statistics) const {
  statistics->insert(statistics->end(), {{"completions", stats_.completions.value()},
                                         {"credits", stats_.credits.value()},
                                         {"completion_overflows", stats_.overflows.value()},
                                         {"copy_starved", stats_.starved.value()},
                                         {"host_receives", stats_.host_receives.value()},
                                         {"refill_full", stats_.refill_full.value()},
                                         {"kernel_copies", stats_.copies.value()},
                                         {"kernel_copied_bytes", stats_.copied_bytes.value()},
                                         {"alloc_fail_events", stats_.alloc_fail_events.value()},
                                         {"rules", rule_count()}});
}

}  // namespace devmem
