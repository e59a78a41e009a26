// SPDX-License-Identifier: Apache-2.0
//
// What a session over kernel sockets shares with the listeners and connections that it hands out:
// the bindings and their queues, the releases that wait for fences, and how to wait. Outlives them
// all. Any thread may call anything; one lock guards the tables, and no data passes under it. (The
// queues of a backend may be for one thread only: socket_queue.h.)
//
// The session's descriptor is an epoll over all listeners, over the queues that have a descriptor,
// and over all connections from which a Recv() could bring something. A connection is taken out
// ("muted") while there is no room for what it would bring, so that a full pool does not look like
// news, and put back by the next release.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/binding.h"
#include "netmem/stack/clock.h"
#include "provider/attachment.h"
#include "provider/unique_fd.h"
#include "uapi/devmem.h"
#include "uapi/fence_list.h"
#include "uapi/poll_set.h"
#include "uapi/socket_backend.h"
#include "uapi/socket_queue.h"
#include "uapi/socket_stats.h"
#include "uapi/stats_page.h"

namespace devmem {

class SocketCore {
 public:
  static absl::StatusOr<std::unique_ptr<SocketCore>> Create(Clock* clock, Threading threading,
                                                            std::unique_ptr<SocketBackend> backend);
  ~SocketCore();
  SocketCore(const SocketCore&) = delete;
  SocketCore& operator=(const SocketCore&) = delete;

  absl::StatusOr<BindingId> Bind(const Region& region, const BindOptions& options);
  absl::Status Unbind(BindingId id);
  // Ends bindings whose region was revoked, or is being removed and has drained. Cheap when no
  // exporter has acted; every call that waits or binds makes it.
  void LookAfterRegions();
  // An exporter has acted on a region: look after them soon. Any thread.
  void RaiseRegionNews() { region_news_.Raise(); }
  // As Session::BindingStatus().
  absl::Status BindingStatus(BindingId id) const;
  absl::StatusOr<Account> account(BindingId id) const;

  // The queue of a binding that a listener or a connection asks for; the first if it does not say.
  absl::StatusOr<std::shared_ptr<SocketQueue>> QueueOf(BindingId id,
                                                       std::optional<uint32_t> queue) const;

  // Tokens of this lane are released here, besides those of the queues. For the life of the core.
  void AddLane(uint16_t lane, TokenOwner* owner);

  absl::Status Release(std::span<const Frag> frags);
  absl::Status ReleaseWhen(Fence fence, std::span<const Frag> frags);
  // Releases what stands behind fences that have signaled; whether there were any.
  bool AskFences();

  // A socket whose news make fd() readable, and one whose news say nothing until the next release.
  void Watch(int socket);
  void Mute(int socket);
  void Unwatch(int socket);
  int fd() const { return epoll_.get(); }

  // Waits until `readable` (or -1) is readable, a fence may have signaled, or `deadline`. False, at
  // once, when the deadline has passed.
  bool Wait(int readable, Nanos deadline);
  // Waits like Wait(-1), for net_iovs to come back. False when the deadline has passed.
  bool WaitForRelease(Nanos deadline);
  // Whether nobody is left who could release something while the caller waits.
  bool NothingWillBeReleased() const;

  // Publishes the session's figures from now on, before anything is bound. The page may be null.
  void StartPublishing(std::unique_ptr<StatsPage> page);
  // What is counted for all queues together has changed; queues tell of themselves.
  void PublishCounts();

  // One turn of the queues that have a descriptor. Returns how many events were handled.
  uint32_t Drive();

  Clock& clock() { return *clock_; }
  SocketBackend& backend() { return *backend_; }
  const SocketBackend& backend() const { return *backend_; }
  SocketStats& stats() { return stats_; }

 private:
  struct Bound {
    std::unique_ptr<Attachment> attachment;
    std::vector<std::shared_ptr<SocketQueue>> queues;  // In the order of the binding's.
    std::vector<StatsRecord*> records = {};            // Of the queues; null: not published.
  };

  SocketCore(Clock* clock, Threading threading, std::unique_ptr<SocketBackend> backend,
             UniqueFd epoll);

  void List(BindingId id, Bound bound);
  absl::Status UnbindLocked(BindingId id, const absl::Status& why);
  absl::Status StatusLocked(BindingId id) const;
  static Account AccountLocked(const Bound& bound);
  TokenOwner* OwnerOfLane(uint16_t lane) const;
  void Rearm();
  void PublishCountsLocked();

  Clock* const clock_;
  const Threading threading_;
  std::unique_ptr<StatsPage> stats_page_;  // Null: nothing is published. Outlives who writes it.
  StatsRecord* counts_record_ = nullptr;   // Written under mutex_.
  const UniqueFd epoll_;
  SocketStats stats_;
  const std::unique_ptr<SocketBackend> backend_;
  NewsFlag region_news_;               // Raised by exporters' threads.
  std::atomic<bool> draining_{false};  // A region is being removed and is still in use.
  FenceList fences_;  // Has a lock of its own, which is never held while mutex_ is taken.

  mutable std::mutex mutex_;  // Guards everything below.
  BindingTable table_;
  std::map<BindingId, Bound> bound_;
  std::map<BindingId, absl::Status> gone_;  // Ended by an exporter, not yet unbound; and why.
  std::map<uint16_t, TokenOwner*> by_lane_;
  std::set<int> muted_;
};

}  // namespace devmem
