// SPDX-License-Identifier: Apache-2.0
//
// The stack backend of the public interface: a Stack on a TAP of its own (or a NIC of the
// caller's), run inside the caller's calls or by one thread per queue.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/nic/netdev.h"
#include "netmem/nic/pcapng_recorder.h"
#include "netmem/stack/clock.h"
#include "netmem/stack/stack.h"
#include "netmem/stack/worker_thread.h"
#include "netmem/tcp/port_allocator.h"
#include "uapi/devmem.h"
#include "uapi/fence_list.h"
#include "uapi/flow_rule_book.h"
#include "uapi/poll_set.h"
#include "uapi/stats_page.h"

namespace devmem {

class Channel;

// `why` is the sentence for SessionInfo::why. Errors: those of TapNic::Create() and
// Stack::Create().
absl::StatusOr<std::unique_ptr<Session>> OpenStackSession(const SessionOptions& options,
                                                          absl::string_view why);

class StackSession final : public Session, private WorkerThread::Owner, private WorkerWaker {
 public:
  static absl::StatusOr<std::unique_ptr<StackSession>> Open(const SessionOptions& options,
                                                            absl::string_view why);
  ~StackSession() override;

  absl::StatusOr<BindingId> Bind(const Region& region, const BindOptions& options) override;
  absl::Status Unbind(BindingId binding) override;
  absl::Status BindingStatus(BindingId binding) override;
  absl::Status Remove(Region& region, const std::string& reason, Nanos deadline) override;
  absl::StatusOr<std::unique_ptr<Listener>> Listen(const ListenOptions& options,
                                                   std::optional<BindingId> binding) override;
  absl::StatusOr<std::unique_ptr<Connection>> Connect(const ConnectOptions& options,
                                                      std::optional<BindingId> binding,
                                                      Nanos deadline) override;
  uint32_t Drive() override;
  int fd() const override { return threaded() ? news_.fd() : poll_set_.fd(); }
  void Wait(Nanos deadline) override;
  Nanos Now() const override { return clock_->Now(); }
  const SessionInfo& info() const override { return info_; }
  uint32_t host_region_id() const override { return stack_->host_region_id(); }
  const Region* host_region() const override { return &stack_->host_region(); }
  absl::StatusOr<Account> account(BindingId binding) const override;
  Account host_account() const override;
  std::vector<Statistic> statistics() const override;

  // --- For its listeners and connections ---
  bool threaded() const { return !threads_.empty(); }
  Stack& stack() { return *stack_; }
  const Stack& stack() const { return *stack_; }
  Clock& clock() { return *clock_; }
  // Inline: a turn of the worker, and of the others when it finds nothing or has had many turns.
  // Waits when there is nothing at all to do. False: the deadline has passed and nothing happened.
  bool Turn(uint32_t worker, Nanos deadline);
  // OK while the network device is there; kUnavailable once it was taken away.
  absl::Status DeviceStatus() const;
  // Runs a step that touches a worker where that is allowed: here, or on its thread.
  void OnWorker(uint32_t worker, const std::function<void()>& step) {
    stack_->OnWorker(worker, step);
  }
  // Ends tokens of whichever worker made them, tokens of `worker` first and foremost. Returns how
  // many were refused; `worker` counts those.
  size_t ReleaseAny(std::span<const Frag> frags, uint32_t worker);
  // Releases them when the fence signals; whoever runs `worker` asks it.
  void ReleaseLater(std::span<const Frag> frags, Fence fence, uint32_t worker);
  // Threaded: a connection's channel begins and ends to be served by its worker's thread.
  void AddChannel(const std::shared_ptr<Channel>& channel);
  void RemoveChannel(const std::shared_ptr<Channel>& channel);
  // Whether bytes wait for a token while all of the worker's are held, also after what the channel
  // carries back was taken.
  bool LacksTokens(const std::shared_ptr<Channel>& channel);
  void Wake(uint32_t worker) override { threads_[worker]->Wake(); }
  // Tell the statistics page how a worker stands, all of it or only what the user holds; by whoever
  // runs the worker.
  void Publish(const Worker& worker);
  void PublishHeld(const Worker& worker);

 private:
  struct Published {
    StatsRecord* record = nullptr;  // Null: not published.
    uint32_t turns = 0;             // Busy ones; threaded.
    uint64_t frames = 0;            // At the last turn; threaded.
  };

  StackSession() = default;

  absl::Status SetUp(const SessionOptions& options, absl::string_view why);
  absl::Status SetUpNic(const SessionOptions& options);
  absl::Status StartThreads();
  void StartPublishing(const SessionOptions& options);
  void PublishAll();
  // Inline, in the slow part of a turn; and threaded, after each turn.
  void PublishBetweenTurns(bool busy);
  void PublishAfterRun(const Worker& worker, bool busy);
  uint32_t RunAll(Nanos now);
  Nanos NextDeadline(Nanos now) const;
  void ForgetGoneQueues();
  // True when something ended or arrived.
  bool LookAfterRegions(Nanos now);
  void OnRegionEvent();
  absl::StatusOr<uint32_t> QueueFor(std::optional<BindingId> binding,
                                    const std::optional<uint32_t>& queue) const;

  void ReleaseHere(std::span<const Frag> frags, Worker& worker, Nanos now);
  bool AfterRun(Worker& worker, Nanos now) override;
  Nanos NextCall(const Worker& worker, Nanos now) override;

  // Declared so that what uses a thing goes before it: threads first, the NIC last, and behind it
  // only the page that everybody tells.
  std::unique_ptr<StatsPage> stats_page_;
  std::vector<Published> published_;  // Per worker.
  std::unique_ptr<PcapngRecorder> recorder_;
  std::unique_ptr<Netdev> owned_nic_;
  Netdev* nic_ = nullptr;
  Clock* clock_ = nullptr;
  SessionInfo info_;
  uint64_t owner_id_ = 0;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<FlowRuleBook> rules_;
  std::unique_ptr<PortAllocator> ports_;
  FenceList fences_;  // Inline.
  PollSet poll_set_;
  NewsFlag news_;
  NewsFlag region_news_;  // Raised by exporters' threads.
  // A region is being removed and is still in use. Written by the control thread; workers of a
  // threaded session tell it when theirs has drained.
  std::atomic<bool> draining_{false};
  // Of the queues, -1 where the device is gone; then that of region_news_.
  std::vector<int> fds_;
  uint32_t turn_ = 0;
  // Of the page: busy looks since it was last told all, and turn_ then. Inline.
  uint32_t busy_looks_ = 0;
  uint32_t published_turn_ = 0;
  // Per worker; touched by its thread only, once it runs.
  std::vector<std::vector<std::shared_ptr<Channel>>> channels_;
  std::vector<std::unique_ptr<FenceList>>
      worker_fences_;  // Threaded: asked by the worker's thread.
  std::vector<std::unique_ptr<WorkerThread>> threads_;
  std::atomic<bool> started_{false};  // Threaded: threads_ is complete, and may be woken.
};

}  // namespace devmem
