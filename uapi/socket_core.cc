// SPDX-License-Identifier: Apache-2.0
//
// Bindings, releases and waiting of the backends over kernel sockets.

#include "uapi/socket_core.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "uapi/host_area.h"

namespace devmem {
namespace {

// How long a waiter stays away from what has no descriptor: a fence that can only be asked, or a
// release by another thread.
constexpr Nanos kAskAgain = kMillisecond;

void ChangeEpoll(int epoll, int operation, int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = fd;
  (void)::epoll_ctl(epoll, operation, fd, &event);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SocketCore>> SocketCore::Create(
    Clock* clock, Threading threading, std::unique_ptr<SocketBackend> backend) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, "cannot create the session's epoll descriptor");
  }
  std::unique_ptr<SocketCore> core(
      new SocketCore(clock, threading, std::move(backend), std::move(epoll)));
  const absl::Status news = core->region_news_.Create();
  if (!news.ok()) return news;
  ChangeEpoll(core->epoll_.get(), EPOLL_CTL_ADD, core->region_news_.fd());
  core->backend_->Started(core.get());
  return core;
}

SocketCore::SocketCore(Clock* clock, Threading threading, std::unique_ptr<SocketBackend> backend,
                       UniqueFd epoll)
    : clock_(clock),
      threading_(threading),
      epoll_(std::move(epoll)),
      backend_(std::move(backend)),
      table_(backend_->queue_count()) {}

SocketCore::~SocketCore() {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!bound_.empty()) {
    (void)UnbindLocked(bound_.begin()->first,
                       absl::UnavailableError("the session of this connection has ended"));
  }
}

absl::StatusOr<BindingId> SocketCore::Bind(const Region& region, const BindOptions& options) {
  const uint64_t left = region.size_bytes() - std::min(region.size_bytes(), options.offset);
  const BindRequest request{.owner_id = 1,
                            .region_id = region.id(),
                            .region_bytes = region.size_bytes(),
                            .page_bytes = region.page_bytes(),
                            .range_offset = options.offset,
                            .range_bytes = options.bytes == 0 ? left : options.bytes,
                            .queues = options.queues,
                            .net_iov_bytes = options.net_iov_bytes,
                            .slab_bytes = options.slab_bytes};
  LookAfterRegions();
  // Before the lock, because the exporter is asked, who may take his time.
  absl::StatusOr<std::unique_ptr<Attachment>> attachment =
      Attachment::Create(region, {.name = backend_->importer_name(),
                                  .caps = backend_->importer_caps(),
                                  .on_event = [this] { region_news_.Raise(); }});
  if (!attachment.ok()) return attachment.status();
  const std::lock_guard<std::mutex> lock(mutex_);
  const absl::StatusOr<BindingId> id = table_.Bind(request);
  if (!id.ok()) return id.status();

  auto queues = backend_->MakeQueues(*table_.Find(*id), region, **attachment, &stats_);
  if (!queues.ok()) {
    (void)table_.Unbind(*id);
    return queues.status();
  }
  List(*id, Bound{*std::move(attachment), *std::move(queues)});
  return *id;
}

// A binding's queues can be found by their tokens from here on, and wake the session.
void SocketCore::List(BindingId id, Bound bound) {
  for (const auto& queue : bound.queues) {
    StatsRecord* const record = stats_page_ != nullptr ? stats_page_->Take() : nullptr;
    bound.records.push_back(record);
    queue->PublishIn(record);
    by_lane_[queue->lane()] = queue.get();
    if (queue->fd() >= 0) ChangeEpoll(epoll_.get(), EPOLL_CTL_ADD, queue->fd());
  }
  bound_.emplace(id, std::move(bound));
}

absl::Status SocketCore::Unbind(BindingId id) {
  AskFences();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (gone_.erase(id) != 0) return absl::OkStatus();
  const auto found = bound_.find(id);
  if (found != bound_.end()) {
    const size_t frags = fences_.Count([&](const Frag& frag) {
      return std::any_of(found->second.queues.begin(), found->second.queues.end(),
                         [&](const auto& queue) { return queue->Holds(frag.token); });
    });
    const absl::Status free = CheckNoFences(id, frags);
    if (!free.ok()) return free;
  }
  return UnbindLocked(
      id, absl::UnavailableError("the binding of this connection was unbound, which reset it; bind "
                                 "and connect again"));
}

absl::Status SocketCore::UnbindLocked(BindingId id, const absl::Status& why) {
  const absl::Status unbound = table_.Unbind(id);
  if (!unbound.ok()) return unbound;
  const auto found = bound_.find(id);
  for (const auto& queue : found->second.queues) {
    if (queue->fd() >= 0) ChangeEpoll(epoll_.get(), EPOLL_CTL_DEL, queue->fd());
    queue->Close(why);
    queue->PublishIn(nullptr);
    by_lane_.erase(queue->lane());
  }
  for (StatsRecord* const record : found->second.records) {
    if (record != nullptr) stats_page_->GiveBack(record);
  }
  backend_->EndBinding(id);
  bound_.erase(found);
  return absl::OkStatus();
}

void SocketCore::LookAfterRegions() {
  if (!region_news_.raised() && !draining_.load(std::memory_order_relaxed)) return;
  region_news_.Lower();
  const std::lock_guard<std::mutex> lock(mutex_);
  bool draining = false;
  for (auto next = bound_.begin(); next != bound_.end();) {
    const auto [id, bound] = std::pair(next->first, &next->second);
    ++next;  // UnbindLocked() erases this one.
    if (!bound->attachment->going()) continue;
    const absl::Status why = bound->attachment->status();
    bool ends = bound->attachment->revoked() || absl::IsAborted(why);
    if (!ends) {
      for (const auto& queue : bound->queues) queue->StopPosting();
      ends = AccountLocked(*bound).idle();
    }
    if (!ends) {
      draining = true;
      continue;
    }
    const absl::Status gone =
        absl::AbortedError(absl::StrCat("binding ", id, " has ended: ", why.message()));
    (void)UnbindLocked(id, gone);
    gone_[id] = gone;
  }
  draining_.store(draining, std::memory_order_relaxed);
  backend_->LookAfterRegions();
}

absl::Status SocketCore::BindingStatus(BindingId id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return StatusLocked(id);
}

absl::Status SocketCore::StatusLocked(BindingId id) const {
  const auto gone = gone_.find(id);
  if (gone != gone_.end()) return gone->second;
  const auto found = bound_.find(id);
  if (found != bound_.end()) return found->second.attachment->status();
  return absl::NotFoundError(
      absl::StrCat("there is no binding ", id, "; it was unbound before or never made"));
}

Account SocketCore::AccountLocked(const Bound& bound) {
  Account sum;
  for (const auto& queue : bound.queues) sum += queue->account();
  return sum;
}

absl::StatusOr<Account> SocketCore::account(BindingId id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = bound_.find(id);
  if (found == bound_.end()) return StatusLocked(id);
  return AccountLocked(found->second);
}

absl::StatusOr<std::shared_ptr<SocketQueue>> SocketCore::QueueOf(
    BindingId id, std::optional<uint32_t> queue) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const absl::Status usable = StatusLocked(id);
  if (!usable.ok()) return usable;
  const auto found = bound_.find(id);
  if (!queue.has_value()) return found->second.queues.front();
  for (const auto& candidate : found->second.queues) {
    if (candidate->index() == *queue) return candidate;
  }
  return absl::OutOfRangeError(absl::StrCat("rx queue ", *queue, " is not of binding ", id,
                                            "; name one of the queues that it was bound to"));
}

TokenOwner* SocketCore::OwnerOfLane(uint16_t lane) const {
  const auto found = by_lane_.find(lane);
  return found == by_lane_.end() ? nullptr : found->second;
}

void SocketCore::AddLane(uint16_t lane, TokenOwner* owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  by_lane_[lane] = owner;
}

absl::Status SocketCore::Release(std::span<const Frag> frags) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const TokenOwner* const host = backend_->host_area();
  size_t refused = 0;
  TokenOwner* last = nullptr;
  for (const Frag& frag : frags) {
    TokenOwner* const owner = OwnerOfLane(TokenTable::LaneOf(frag.token));
    if (owner != last && last != nullptr) last->FlushReleases();
    last = owner;
    if (owner == nullptr || !owner->Release(frag.token)) {
      ++refused;
    } else if (owner == host) {
      // Queues count their own.
      stats_.tokens_returned.Add(1);
    }
  }
  if (last != nullptr) last->FlushReleases();
  Rearm();
  stats_.tokens_refused.Add(refused);
  PublishCountsLocked();
  if (refused == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(refused, " of ", frags.size(),
                   " frags name nothing that this session holds: unknown, of another session, or "
                   "released before; the others were released"));
}

absl::Status SocketCore::ReleaseWhen(Fence fence, std::span<const Frag> frags) {
  if (fence.Signaled()) return Release(frags);
  fences_.Add(frags, std::move(fence));
  return absl::OkStatus();
}

bool SocketCore::AskFences() {
  if (fences_.empty()) return false;
  // What is refused here is counted; that is all that can be done, its caller is long gone.
  return fences_.Poll([this](std::span<const Frag> frags) { (void)Release(frags); }) > 0;
}

uint32_t SocketCore::Drive() {
  AskFences();
  uint32_t events = 0;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [id, bound] : bound_) {
    for (const auto& queue : bound.queues) events += queue->Drive();
  }
  PublishCountsLocked();
  return events;
}

void SocketCore::Watch(int socket) { ChangeEpoll(epoll_.get(), EPOLL_CTL_ADD, socket); }

void SocketCore::Mute(int socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!muted_.insert(socket).second) return;
  ChangeEpoll(epoll_.get(), EPOLL_CTL_DEL, socket);
}

void SocketCore::Unwatch(int socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (muted_.erase(socket) == 0) ChangeEpoll(epoll_.get(), EPOLL_CTL_DEL, socket);
}

// Something was released: every connection that found no room may look again. Called under the
// lock.
void SocketCore::Rearm() {
  for (const int socket : muted_) ChangeEpoll(epoll_.get(), EPOLL_CTL_ADD, socket);
  muted_.clear();
}

bool SocketCore::Wait(int readable, Nanos deadline) {
  LookAfterRegions();
  if (AskFences()) return true;
  const Nanos now = clock_->Now();
  {
    // Whoever has the lock publishes as well; nobody waits for that here.
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (lock.owns_lock()) PublishCountsLocked();
  }
  if (deadline <= now) return false;
  std::vector<int> fds{readable, region_news_.fd()};
  // A region that drains wakes nobody.
  bool has_callbacks = draining_.load(std::memory_order_relaxed);
  fences_.AppendFds(&fds, &has_callbacks);
  clock_->Wait(fds, has_callbacks ? std::min(deadline, now + kAskAgain) : deadline);
  LookAfterRegions();
  AskFences();
  return true;
}

void SocketCore::StartPublishing(std::unique_ptr<StatsPage> page) {
  stats_page_ = std::move(page);
  if (stats_page_ == nullptr) return;
  counts_record_ = stats_page_->Take();
  PublishCounts();
  if (HostArea* const host = backend_->host_area()) host->PublishIn(stats_page_->Take());
}

void SocketCore::PublishCounts() {
  const std::lock_guard<std::mutex> lock(mutex_);
  PublishCountsLocked();
}

void SocketCore::PublishCountsLocked() {
  if (counts_record_ == nullptr) return;
  const uint64_t gone = stats_.connections_gone.value();
  const uint64_t begun = stats_.connections_accepted.value() + stats_.connections_opened.value();
  counts_record_->Write({.kind = StatsKind::kSession,
                         .tokens_issued = stats_.tokens_issued.value(),
                         .tokens_returned = stats_.tokens_returned.value(),
                         .tokens_refused = stats_.tokens_refused.value(),
                         .connections = begun - gone,
                         .connections_total = begun,
                         .payload_bytes = stats_.payload_bytes.value(),
                         .bounced_bytes = stats_.bounced_bytes.value(),
                         .starved = stats_.receive_starved.value()});
}

bool SocketCore::WaitForRelease(Nanos deadline) {
  const Nanos now = clock_->Now();
  if (deadline <= now) return false;
  return Wait(-1, std::min(deadline, now + kAskAgain));
}

bool SocketCore::NothingWillBeReleased() const {
  return threading_ == Threading::kInline && fences_.empty();
}

}  // namespace devmem
