// SPDX-License-Identifier: Apache-2.0
//
// Setting a stack up and taking it down. Bindings are in stack_bindings.cc.

#include "netmem/stack/stack.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/provider.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<Stack>> Stack::Create(Netdev* netdev, const Config& config) {
  const uint64_t host_bytes = config.host_bytes_per_queue;
  if (host_bytes < kHostBytesPerQueueMin || host_bytes > kHostBytesPerQueueMax ||
      host_bytes % kSlabBytesDefault != 0) {
    return absl::OutOfRangeError(absl::StrCat(
        "host memory per queue is ", host_bytes, " bytes; choose a multiple of ", kSlabBytesDefault,
        " from ", kHostBytesPerQueueMin, " to ", kHostBytesPerQueueMax));
  }
  const NetdevInfo& info = netdev->info();
  if (config.addresses.has_v6() && info.mtu < kMtuMinIpv6) {
    return absl::OutOfRangeError(absl::StrCat("the MTU of ", info.name, " is ", info.mtu,
                                              " bytes, and IPv6 needs ", kMtuMinIpv6,
                                              "; raise it or leave out the IPv6 addresses"));
  }
  Config with_link_local = config;
  with_link_local.addresses.AddLinkLocal(info.mac);
  std::unique_ptr<Stack> stack(new Stack(netdev, with_link_local));
  absl::Status started = stack->Start();
  if (!started.ok()) return started;
  return stack;
}

absl::Status Stack::Start() {
  const NetdevInfo& info = netdev_->info();
  absl::StatusOr<Provider*> provider = FindProvider("memfd");
  if (!provider.ok()) return provider.status();
  AllocateOptions options;
  host_bytes_ = config_.host_bytes_per_queue * info.queue_count;
  options.bytes = host_bytes_;
  options.label = "devmem host memory";
  absl::StatusOr<std::unique_ptr<Region>> region = (*provider)->Allocate(options);
  if (!region.ok()) return region.status();
  host_region_ = *std::move(region);
  absl::StatusOr<std::unique_ptr<Attachment>> attachment =
      Attachment::Create(*host_region_, Importer{info.name});
  if (!attachment.ok()) return attachment.status();
  host_attachment_ = *std::move(attachment);

  std::vector<QueueMemory> host;
  for (uint32_t queue = 0; queue < info.queue_count; ++queue) {
    MemoryProvider slice;
    slice.region_id = host_region_->id();
    slice.region_offset = queue * config_.host_bytes_per_queue;
    slice.bytes = config_.host_bytes_per_queue;
    absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(slice, kFramePayloadBytesMax);
    if (!pool.ok()) return pool.status();
    host.push_back(QueueMemory{pool->get(), &host_attachment_->mapping()});
    host_pools_.push_back(*std::move(pool));
  }
  absl::Status started = netdev_->Start(host);
  if (!started.ok()) return started;

  for (uint32_t queue = 0; queue < info.queue_count; ++queue) {
    Worker::Config config{queue, config_.tcp};
    config.tcp.mtu_bytes = info.mtu;
    config.tcp.gso_bytes_max = info.gso_bytes_max;
    absl::StatusOr<std::unique_ptr<Worker>> worker =
        Worker::Create(config, netdev_, host[queue], &config_.addresses, &rings_);
    if (!worker.ok()) return worker.status();
    workers_.push_back(*std::move(worker));
  }
  return SpreadOverUnbound();
}

Stack::~Stack() {
  executor_ = nullptr;
  UnbindAll();
}

void Stack::OnWorker(uint32_t worker, const std::function<void()>& step) const {
  if (executor_) {
    executor_(worker, step);
  } else {
    step();
  }
}

absl::Status Stack::SpreadOverUnbound() {
  std::vector<uint32_t> unbound;
  for (uint32_t queue = 0; queue < worker_count(); ++queue) {
    if (table_.FindByQueue(queue) == nullptr) unbound.push_back(queue);
  }
  return netdev_->SetRssQueues(unbound);
}

Account Stack::host_account() const {
  Account sum;
  for (uint32_t queue = 0; queue < worker_count(); ++queue) {
    OnWorker(queue, [&] { sum += host_pools_[queue]->account(); });
  }
  return sum;
}

absl::Status Stack::Audit() const {
  for (const auto& pool : host_pools_) {
    absl::Status sound = pool->Audit();
    if (!sound.ok()) return sound;
  }
  for (const auto& [id, bound] : bound_) {
    for (const auto& [queue, pool] : bound.pools) {
      absl::Status sound = pool->Audit();
      if (!sound.ok()) return sound;
    }
  }
  return absl::OkStatus();
}

}  // namespace devmem
