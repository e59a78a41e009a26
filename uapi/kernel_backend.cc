// SPDX-License-Identifier: Apache-2.0
//
// Binding, unbinding and telling.

#include "uapi/kernel_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/kernel_queue.h"
#include "uapi/socket_core.h"

namespace devmem {
namespace {

// What the kernel does not bind, before anything is changed.
absl::Status CheckRange(const Binding& binding) {
  const absl::StatusOr<MemoryProvider> slice = binding.ProviderFor(binding.queues().front());
  if (!slice.ok()) return slice.status();
  if (slice->net_iov_bytes != kKernelNetIovBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "net_iovs of ", slice->net_iov_bytes, " bytes were asked for; the kernel binds pages of ",
        kKernelNetIovBytes, " bytes: leave BindOptions::net_iov_bytes as it is"));
  }
  if (binding.range_bytes() % kKernelNetIovBytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a range of ", binding.range_bytes(), " bytes is not of whole pages of ",
                     kKernelNetIovBytes, " bytes, as the kernel binds them"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelBackend>> KernelBackend::Create(const SessionOptions& options,
                                                                     absl::string_view why,
                                                                     std::unique_ptr<KernelNic> nic,
                                                                     KernelCalls* calls) {
  absl::StatusOr<Parts> parts = MakeParts(Backend::kKernel, options, why, std::move(nic));
  if (!parts.ok()) return parts.status();
  return std::unique_ptr<KernelBackend>(new KernelBackend(*std::move(parts), calls));
}

KernelBackend::~KernelBackend() = default;

absl::StatusOr<std::vector<std::shared_ptr<SocketQueue>>> KernelBackend::MakeQueues(
    const Binding& binding, const Region& region, Attachment& attachment, SocketStats* stats) {
  const absl::Status reached = CheckReached(region, attachment);
  if (!reached.ok()) return reached;
  const absl::Status usable = CheckRange(binding);
  if (!usable.ok()) return usable;
  // The kernel binds a whole dma-buf: a part of a region becomes one of its own.
  const absl::StatusOr<UniqueFd> dmabuf =
      region.ExportDmabuf(binding.range_offset(), binding.range_bytes());
  if (!dmabuf.ok()) return dmabuf.status();
  absl::StatusOr<KernelBindingSetup> setup = SetUp(binding, region, dmabuf->get());
  if (!setup.ok()) return setup.status();
  const absl::Status ready = nic().SetApart(binding.queues());
  if (!ready.ok()) return ready;
  absl::StatusOr<std::unique_ptr<RxBinding>> rx = nic().BindRx(dmabuf->get(), binding.queues());
  if (!rx.ok()) return rx.status();
  setup->dmabuf_id = (*rx)->id();
  absl::StatusOr<std::shared_ptr<KernelBinding>> books = KernelBinding::Create(
      *std::move(setup),
      {.host = &host(), .calls = calls_, .stats = stats, .kernel_stats = &stats_});
  if (!books.ok()) return books.status();
  bound_[binding.id()] = *std::move(rx);
  std::vector<std::shared_ptr<SocketQueue>> queues;
  for (const uint32_t index : binding.queues()) {
    queues.push_back(std::make_shared<KernelQueue>(index, queues.empty(), *books));
  }
  return queues;
}

absl::StatusOr<KernelBindingSetup> KernelBackend::SetUp(const Binding& binding,
                                                        const Region& region, int dmabuf) const {
  absl::StatusOr<ReadBack> read_back = ReadBack::Open(region, binding.range_offset(), dmabuf);
  if (!read_back.ok()) return read_back.status();
  // The other half is for the NIC's ring and for what waits unread in sockets.
  const uint64_t half = binding.range_bytes() / 2;
  return KernelBindingSetup{.region_id = region.id(),
                            .region_offset = binding.range_offset(),
                            .bytes = binding.range_bytes(),
                            .held_bytes_max = held_bytes_max() == 0 ? half : held_bytes_max(),
                            .read_back = *std::move(read_back)};
}

// Its queues restart on host memory. What the kernel still has of the dma-buf, in a ring or unread
// in a socket, keeps the memory alive in the kernel for about a second more.
void KernelBackend::EndBinding(BindingId binding) { bound_.erase(binding); }

absl::StatusOr<uint32_t> KernelBackend::SendBinding(const Region& region) {
  const std::lock_guard<std::mutex> lock(sending_mutex_);
  const auto found = sending_.find(region.id());
  if (found != sending_.end()) return found->second.binding->id();
  absl::StatusOr<SendRegion> made = BindForSending(region);
  if (!made.ok()) return made.status();
  const uint32_t id = made->binding->id();
  sending_.emplace(region.id(), *std::move(made));
  return id;
}

absl::StatusOr<KernelBackend::SendRegion> KernelBackend::BindForSending(
    const Region& region) const {
  absl::StatusOr<std::unique_ptr<Attachment>> attachment = Attachment::Create(
      region, {.name = importer_name(), .caps = importer_caps(), .on_event = [core = core()] {
                 core->RaiseRegionNews();
               }});
  if (!attachment.ok()) return attachment.status();
  const absl::StatusOr<UniqueFd> dmabuf = region.ExportDmabuf(0, region.size_bytes());
  if (!dmabuf.ok()) return absl::UnimplementedError(dmabuf.status().message());
  absl::StatusOr<std::unique_ptr<TxBinding>> binding = nic().BindTx(dmabuf->get());
  if (!binding.ok()) return binding.status();
  return SendRegion{*std::move(attachment), *std::move(binding)};
}

// What is on its way keeps the memory alive in the kernel; no further send begins.
void KernelBackend::LookAfterRegions() {
  const std::lock_guard<std::mutex> lock(sending_mutex_);
  std::erase_if(sending_, [](const auto& entry) { return entry.second.attachment->going(); });
}

void KernelBackend::AppendStatistics(std::vector<Statistic>* statistics) const {
  const uint64_t given = stats_.kernel_tokens.value();
  const uint64_t back = stats_.kernel_tokens_back.value() + stats_.dontneed_lost.value();
  statistics->insert(statistics->end(),
                     {{"linear_bytes", stats_.linear_bytes.value()},
                      {"unbound_queue_bytes", stats_.unbound_bytes.value()},
                      {"kernel_tokens", given},
                      {"kernel_tokens_held", given - std::min(given, back)},
                      {"dontneed_calls", stats_.dontneed_calls.value()},
                      {"dontneed_retries", stats_.dontneed_retries.value()},
                      {"dontneed_lost", stats_.dontneed_lost.value()},
                      {"control_grown", stats_.control_grown.value()},
                      {"control_damaged", stats_.control_damaged.value()},
                      {"receive_held_back", stats_.held_back.value()},
                      {"sockets_kept", stats_.sockets_kept.value()},
                      {"sent_from_device_bytes", stats_.sent_from_device.value()},
                      {"rules", rule_count()}});
}

}  // namespace devmem
