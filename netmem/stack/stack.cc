// SPDX-License-Identifier: Apache-2.0
//
// Setting a stack up and taking it down; bindings.

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
  for (auto& [id, bound] : bound_) UnbindQueues(&bound, 0);
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

absl::StatusOr<BindingId> Stack::Bind(const Region& region, BindRequest request, Nanos now) {
  request.region_id = region.id();
  request.region_bytes = region.size_bytes();
  request.page_bytes = region.page_bytes();
  absl::StatusOr<BindingId> id = table_.Bind(request);
  if (!id.ok()) return id.status();
  size_t bound_queues = 0;
  for (const auto& [other, binding] : table_.bindings()) bound_queues += binding.queues().size();
  if (bound_queues >= worker_count()) {
    (void)table_.Unbind(*id);
    return absl::FailedPreconditionError(absl::StrCat(
        "binding would leave none of the ", worker_count(), " queues of ", netdev_->info().name,
        " unbound, and what no flow rule matches must arrive somewhere; open the session with more "
        "queues"));
  }
  Bound bound;
  absl::StatusOr<std::unique_ptr<Attachment>> attachment =
      Attachment::Create(region, Importer{netdev_->info().name});
  absl::Status done = attachment.status();
  if (done.ok()) {
    bound.attachment = *std::move(attachment);
    done = BindQueues(*table_.Find(*id), &bound);
  }
  if (done.ok()) done = SpreadOverUnbound();
  if (!done.ok()) {
    UnbindQueues(&bound, now);
    (void)table_.Unbind(*id);
    (void)SpreadOverUnbound();
    return done;
  }
  bound_[*id] = std::move(bound);
  return *id;
}

absl::Status Stack::BindQueues(const Binding& binding, Bound* bound) {
  for (const uint32_t queue : binding.queues()) {
    absl::StatusOr<MemoryProvider> provider = binding.ProviderFor(queue);
    if (!provider.ok()) return provider.status();
    absl::StatusOr<std::unique_ptr<PagePool>> pool =
        PagePool::Create(*provider, kFramePayloadBytesMax);
    if (!pool.ok()) return pool.status();
    const QueueMemory memory{pool->get(), &bound->attachment->mapping()};
    bound->pools[queue] = *std::move(pool);
    absl::Status done;
    OnWorker(queue, [&] { done = worker(queue).Bind(memory); });
    if (!done.ok()) return done;
  }
  return absl::OkStatus();
}

void Stack::UnbindQueues(Bound* bound, Nanos now) {
  for (auto& [queue, pool] : bound->pools) {
    OnWorker(queue, [&, q = queue] { worker(q).Unbind(now); });
  }
}

absl::Status Stack::Unbind(BindingId id, Nanos now) {
  auto found = bound_.find(id);
  if (found == bound_.end()) {
    return absl::NotFoundError(absl::StrCat("no binding has id ", id, " (any more)"));
  }
  UnbindQueues(&found->second, now);
  bound_.erase(found);
  absl::Status forgotten = table_.Unbind(id);
  if (!forgotten.ok()) return forgotten;
  return SpreadOverUnbound();
}

absl::StatusOr<Account> Stack::account(BindingId id) const {
  auto found = bound_.find(id);
  if (found == bound_.end()) {
    return absl::NotFoundError(absl::StrCat("no binding has id ", id, " (any more)"));
  }
  Account sum;
  for (const auto& [queue, pool] : found->second.pools) {
    OnWorker(queue, [&, &counted = *pool] { sum += counted.account(); });
  }
  return sum;
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
