// SPDX-License-Identifier: Apache-2.0
//
// The stack on one netdev: a worker per rx queue, the host memory that unsteered payload goes to,
// and the bindings. Control calls come from one thread; when workers run in threads of their own,
// an executor carries each control step to the worker that it concerns.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/account.h"
#include "netmem/binding.h"
#include "netmem/nic/netdev.h"
#include "netmem/stack/addresses.h"
#include "netmem/stack/handover.h"
#include "netmem/stack/worker.h"
#include "provider/attachment.h"
#include "provider/quota.h"
#include "provider/region.h"

namespace devmem {

class Stack {
 public:
  struct Config {
    Addresses addresses;
    uint64_t host_bytes_per_queue = kHostBytesPerQueueDefault;
    TcpEngine::Config tcp;  // mtu_bytes and gso_bytes_max are taken from the netdev.
    // Counts staging memory against `quota_user`; null: it is not counted.
    std::shared_ptr<Quota> quota = nullptr;
    std::string quota_user = {};
    // Called on an exporter's thread when a bound region is removed or revoked: whoever
    // drives the workers is to look (LookAfterRegions). Does not block.
    std::function<void()> on_region_event = {};
  };
  struct RegionNews {
    bool draining = false;  // A region is being removed and still in use: look again soon.
    bool changed = false;   // Something ended, or frames arrived meanwhile.
  };
  // Runs a step on the thread of a worker and returns when it is done.
  using Executor = std::function<void(uint32_t worker, const std::function<void()>& step)>;

  // Allocates and attaches the host region, starts the netdev and makes the workers. The netdev
  // outlives the stack. With IPv6 among the addresses the stack has a link-local one too. Errors:
  // kOutOfRange for host_bytes_per_queue, or for an MTU below what IPv6 needs; the provider's, the
  // netdev's, the engine's.
  static absl::StatusOr<std::unique_ptr<Stack>> Create(Netdev* netdev, const Config& config);
  // No worker runs any more. Unbinds everything.
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  uint32_t worker_count() const { return static_cast<uint32_t>(workers_.size()); }
  Worker& worker(uint32_t queue) { return *workers_[queue]; }
  const Worker& worker(uint32_t queue) const { return *workers_[queue]; }
  const Addresses& addresses() const { return config_.addresses; }
  Netdev& netdev() { return *netdev_; }
  HandoverRings& rings() { return rings_; }

  // Set when workers get threads; otherwise steps run in the caller.
  void SetExecutor(Executor executor) { executor_ = std::move(executor); }
  void OnWorker(uint32_t worker, const std::function<void()>& step) const;

  // Attaches the region to the netdev and restarts the queues' pools on the range. The request's
  // owner and sizes are checked by the table; its region fields are filled in here.
  //
  // Errors: those of BindingTable::Bind() and Attachment::Create(); kFailedPrecondition when no
  // queue
  //         would stay unbound: what no rule matches has to arrive somewhere.
  absl::StatusOr<BindingId> Bind(const Region& region, BindRequest request, Nanos now);
  // Resets the binding's connections, ends its tokens, drops its memory. kNotFound. OK once for a
  // binding that its region's exporter has ended.
  absl::Status Unbind(BindingId id, Nanos now);
  // All of them; no worker runs. Afterwards no exporter's thread is, or comes, inside
  // on_region_event.
  void UnbindAll();
  // Ends bindings whose region was revoked, or is being removed and has drained. What ended stays
  // known by BindingStatus() until it is unbound.
  RegionNews LookAfterRegions(Nanos now);
  // OK while the binding receives, else why not: RegionLife::status(), or kNotFound.
  absl::Status BindingStatus(BindingId id) const;
  const Binding* FindBinding(BindingId id) const { return table_.Find(id); }
  const Binding* BindingOf(uint32_t queue) const { return table_.FindByQueue(queue); }

  uint32_t host_region_id() const { return host_region_->id(); }
  const Region& host_region() const { return *host_region_; }
  // Sums over the queues, each as its worker finds it between two turns.
  absl::StatusOr<Account> account(BindingId id) const;
  Account host_account() const;
  // Whether every pool's books agree with its net_iovs; for tests and tear-down. No worker runs.
  absl::Status Audit() const;
  uint64_t host_locked_bytes() const { return host_attachment_->locked() ? host_bytes_ : 0; }

 private:
  // Host memory between the NIC and a region that it cannot write.
  struct Staging {
    QuotaCharge charge;
    std::unique_ptr<Region> region;
    std::unique_ptr<Attachment> attachment;
    std::map<uint32_t, std::unique_ptr<PagePool>> pools;  // By queue.
  };
  // Declared so that the engines, which belong to the attachment, go before what they copy from.
  struct Bound {
    Staging staging;
    std::unique_ptr<Attachment> attachment;
    std::map<uint32_t, std::unique_ptr<PagePool>> pools;  // By queue.
  };

  Stack(Netdev* netdev, const Config& config)
      : netdev_(netdev),
        config_(config),
        rings_(netdev->info().queue_count),
        table_(netdev->info().queue_count) {}

  absl::Status Start();
  absl::Status SpreadOverUnbound();
  absl::Status BindQueues(const Region& region, const Binding& binding, Bound* bound);
  absl::Status MakeStaging(const Region& region, size_t queue_count, Bound* bound);
  absl::Status BindStaged(const Region& region, uint32_t queue, uint64_t index, Bound* bound);
  bool Drained(const Bound& bound, Nanos now, RegionNews* news);
  void UnbindQueues(Bound* bound, Nanos now, CloseReason reason);
  absl::Status End(BindingId id, Nanos now, CloseReason reason);

  Netdev* const netdev_;
  const Config config_;
  HandoverRings rings_;
  BindingTable table_;
  uint64_t host_bytes_ = 0;
  std::unique_ptr<Region> host_region_;
  std::unique_ptr<Attachment> host_attachment_;
  std::vector<std::unique_ptr<PagePool>> host_pools_;  // By queue.
  std::map<BindingId, Bound> bound_;
  std::map<BindingId, absl::Status> gone_;  // Ended by an exporter, not yet unbound; and why.
  std::vector<std::unique_ptr<Worker>> workers_;
  Executor executor_;
};

}  // namespace devmem
