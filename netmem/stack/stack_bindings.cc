// SPDX-License-Identifier: Apache-2.0
//
// Bindings of a stack: attaching a region, giving its net_iovs to the queues, straight or through
// staging memory, and what follows when its exporter takes it back. Control thread.

#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/stack/stack.h"
#include "provider/provider.h"

namespace devmem {

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
  absl::StatusOr<std::unique_ptr<Attachment>> attachment = Attachment::Create(
      region, Importer{.name = netdev_->info().name, .on_event = config_.on_region_event});
  absl::Status done = attachment.status();
  if (done.ok()) {
    bound.attachment = *std::move(attachment);
    done = BindQueues(region, *table_.Find(*id), &bound);
  }
  if (done.ok()) done = SpreadOverUnbound();
  if (!done.ok()) {
    UnbindQueues(&bound, now, CloseReason::kAborted);
    (void)table_.Unbind(*id);
    (void)SpreadOverUnbound();
    return done;
  }
  bound_[*id] = std::move(bound);
  return *id;
}

absl::Status Stack::BindQueues(const Region& region, const Binding& binding, Bound* bound) {
  if (bound->attachment->staged()) {
    absl::Status staging = MakeStaging(region, binding.queues().size(), bound);
    if (!staging.ok()) return staging;
  }
  uint64_t index = 0;
  for (const uint32_t queue : binding.queues()) {
    absl::StatusOr<MemoryProvider> provider = binding.ProviderFor(queue);
    if (!provider.ok()) return provider.status();
    absl::StatusOr<std::unique_ptr<PagePool>> pool =
        PagePool::Create(*provider, kFramePayloadBytesMax);
    if (!pool.ok()) return pool.status();
    PagePool* const device = pool->get();
    bound->pools[queue] = *std::move(pool);
    absl::Status done;
    if (bound->attachment->staged()) {
      done = BindStaged(region, queue, index++, bound);
    } else {
      const QueueMemory memory{device, &bound->attachment->mapping()};
      OnWorker(queue, [&] { done = worker(queue).Bind(memory, bound->attachment.get()); });
    }
    if (!done.ok()) return done;
  }
  return absl::OkStatus();
}

// Host memory for all queues of a staged binding: small, present, and locked like any other that a
// NIC writes.
absl::Status Stack::MakeStaging(const Region& region, size_t queue_count, Bound* bound) {
  if (config_.quota != nullptr) {
    absl::StatusOr<QuotaCharge> charge =
        config_.quota->Charge(config_.quota_user, QuotaKind::kStaged, region.Describe(),
                              kStagingBytesPerQueue * queue_count);
    if (!charge.ok()) return charge.status();
    bound->staging.charge = *std::move(charge);
  }
  absl::StatusOr<Provider*> provider = FindProvider("memfd");
  if (!provider.ok()) return provider.status();
  AllocateOptions options;
  options.bytes = kStagingBytesPerQueue * queue_count;
  options.label = "devmem staging";
  absl::StatusOr<std::unique_ptr<Region>> memory = (*provider)->Allocate(options);
  if (!memory.ok()) return memory.status();
  bound->staging.region = *std::move(memory);
  absl::StatusOr<std::unique_ptr<Attachment>> attachment =
      Attachment::Create(*bound->staging.region, Importer{.name = netdev_->info().name});
  if (!attachment.ok()) return attachment.status();
  bound->staging.attachment = *std::move(attachment);
  return absl::OkStatus();
}

// `index` counts the queues of the binding.
absl::Status Stack::BindStaged(const Region& region, uint32_t queue, uint64_t index, Bound* bound) {
  Staging& staging = bound->staging;
  absl::StatusOr<DmaEngine*> engine =
      bound->attachment->CreateEngine(region, staging.attachment->mapping());
  if (!engine.ok()) return engine.status();
  MemoryProvider slice;
  slice.region_id = staging.region->id();
  slice.region_offset = index * kStagingBytesPerQueue;
  slice.bytes = kStagingBytesPerQueue;
  slice.device = true;  // To the NIC it is what the queue is bound to.
  absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(slice, kFramePayloadBytesMax);
  if (!pool.ok()) return pool.status();
  StagedMemory memory;
  memory.staging = QueueMemory{pool->get(), &staging.attachment->mapping()};
  memory.device = bound->pools[queue].get();
  memory.host = host_pools_[queue].get();
  memory.engine = *engine;
  staging.pools[queue] = *std::move(pool);
  absl::Status done;
  OnWorker(queue, [&] { done = worker(queue).BindStaged(memory, bound->attachment.get()); });
  return done;
}

void Stack::UnbindQueues(Bound* bound, Nanos now, CloseReason reason) {
  for (auto& [queue, pool] : bound->pools) {
    OnWorker(queue, [&, q = queue] { worker(q).Unbind(now, reason); });
  }
}

absl::Status Stack::Unbind(BindingId id, Nanos now) {
  if (gone_.erase(id) != 0) return absl::OkStatus();
  return End(id, now, CloseReason::kAborted);
}

absl::Status Stack::End(BindingId id, Nanos now, CloseReason reason) {
  auto found = bound_.find(id);
  if (found == bound_.end()) {
    return absl::NotFoundError(absl::StrCat("no binding has id ", id, " (any more)"));
  }
  UnbindQueues(&found->second, now, reason);
  bound_.erase(found);
  absl::Status forgotten = table_.Unbind(id);
  if (!forgotten.ok()) return forgotten;
  return SpreadOverUnbound();
}

void Stack::UnbindAll() {
  for (auto& [id, bound] : bound_) UnbindQueues(&bound, 0, CloseReason::kAborted);
  bound_.clear();
}

Stack::RegionNews Stack::LookAfterRegions(Nanos now) {
  RegionNews news;
  for (auto next = bound_.begin(); next != bound_.end();) {
    const auto [id, bound] = std::pair(next->first, &next->second);
    ++next;  // End() erases this one.
    if (!bound->attachment->going()) continue;
    const absl::Status why = bound->attachment->status();
    bool ends = bound->attachment->revoked() || absl::IsAborted(why);
    if (!ends) ends = Drained(*bound, now, &news);
    if (!ends) {
      news.draining = true;
      continue;
    }
    news.changed = true;
    (void)End(id, now, CloseReason::kMemoryGone);
    gone_[id] = absl::Status(absl::StatusCode::kAborted,
                             absl::StrCat("binding ", id, " has ended: ", why.message()));
  }
  return news;
}

// Whether nobody holds anything of it any more. A turn of each worker first, so that all know.
bool Stack::Drained(const Bound& bound, Nanos now, RegionNews* news) {
  bool drained = true;
  for (const auto& [queue, pool] : bound.pools) {
    OnWorker(queue, [&, q = queue] {
      if (worker(q).Run(now) != 0) news->changed = true;
      drained = drained && worker(q).drained();
    });
  }
  return drained;
}

absl::Status Stack::BindingStatus(BindingId id) const {
  const auto gone = gone_.find(id);
  if (gone != gone_.end()) return gone->second;
  const auto found = bound_.find(id);
  if (found == bound_.end()) {
    return absl::NotFoundError(absl::StrCat("no binding has id ", id, " (any more)"));
  }
  return found->second.attachment->status();
}

absl::StatusOr<Account> Stack::account(BindingId id) const {
  auto found = bound_.find(id);
  if (found == bound_.end()) return BindingStatus(id);
  Account sum;
  for (const auto& [queue, pool] : found->second.pools) {
    OnWorker(queue, [&, &counted = *pool] { sum += counted.account(); });
  }
  return sum;
}

}  // namespace devmem
