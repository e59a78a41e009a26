// SPDX-License-Identifier: Apache-2.0
//
// Setting up a session of the stack backend, and taking it down.

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/nic/tap_nic.h"
#include "provider/posix_error.h"
#include "uapi/stack_session.h"

namespace devmem {
namespace {

TapSteering ToTapSteering(Steering steering) {
  switch (steering) {
    case Steering::kBest: return TapSteering::kBest;
    case Steering::kBpf: return TapSteering::kBpf;
    case Steering::kAuto: return TapSteering::kAuto;
  }
  return TapSteering::kBest;
}

absl::StatusOr<SipKey> MakeSecret(const std::optional<uint64_t>& seed) {
  if (seed.has_value()) return SipKey{*seed, ~*seed};
  SipKey secret;
  if (getrandom(&secret, sizeof(secret), 0) != static_cast<ssize_t>(sizeof(secret))) {
    return ErrnoToStatus(errno, "getrandom for the session's secret");
  }
  return secret;
}

uint64_t NextOwnerId() {
  // Relaxed: only the number must be unique, it orders nothing.
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> OpenStackSession(const SessionOptions& options,
                                                          absl::string_view why) {
  absl::StatusOr<std::unique_ptr<StackSession>> session = StackSession::Open(options, why);
  if (!session.ok()) return session.status();
  return std::unique_ptr<Session>(*std::move(session));
}

absl::StatusOr<std::unique_ptr<StackSession>> StackSession::Open(const SessionOptions& options,
                                                                 absl::string_view why) {
  std::unique_ptr<StackSession> session(new StackSession());
  absl::Status done = session->SetUp(options, why);
  if (!done.ok()) return done;
  return session;
}

absl::Status StackSession::SetUpNic(const SessionOptions& options) {
  nic_ = options.nic;
  if (nic_ != nullptr) return absl::OkStatus();
  TapOptions tap;
  tap.name = options.device;
  tap.queue_count = options.queue_count;
  tap.mtu = options.mtu_bytes;
  tap.steering = ToTapSteering(options.steering);
  tap.kernel_address = options.kernel_address;
  tap.mac_seed = options.seed.value_or(0);
  absl::StatusOr<std::unique_ptr<TapNic>> nic = TapNic::Create(tap);
  if (!nic.ok()) return nic.status();
  info_.steering_note = std::string((*nic)->steering_note());
  owned_nic_ = *std::move(nic);
  nic_ = owned_nic_.get();
  return absl::OkStatus();
}

absl::Status StackSession::SetUp(const SessionOptions& options, absl::string_view why) {
  if (options.threading == Threading::kThread && options.clock != nullptr) {
    return absl::InvalidArgumentError(
        "a session with threads runs on the system's clock; leave `clock` out, or run inline");
  }
  clock_ = options.clock != nullptr ? options.clock : &Clock::System();
  owner_id_ = NextOwnerId();
  absl::StatusOr<Addresses> addresses = Addresses::Create(options.addresses, options.gateway);
  if (!addresses.ok()) return addresses.status();
  absl::StatusOr<SipKey> secret = MakeSecret(options.seed);
  if (!secret.ok()) return secret.status();
  absl::Status nic = SetUpNic(options);
  if (!nic.ok()) return nic;

  Stack::Config config;
  config.addresses = *std::move(addresses);
  config.host_bytes_per_queue = options.host_bytes_per_queue;
  config.tcp.connections_max = options.connections_max;
  config.tcp.window_bytes_max = options.window_bytes_max;
  config.tcp.secret = *secret;
  absl::Status news = region_news_.Create();
  if (!news.ok()) return news;
  config.quota = options.quota;
  config.quota_user = options.quota_user;
  config.on_region_event = [this] { OnRegionEvent(); };
  absl::StatusOr<std::unique_ptr<Stack>> stack = Stack::Create(nic_, config);
  if (!stack.ok()) return stack.status();
  stack_ = *std::move(stack);
  rules_ = std::make_unique<FlowRuleBook>(nic_);
  ports_ = std::make_unique<PortAllocator>(*secret);

  const NetdevInfo& device = nic_->info();
  info_.backend = Backend::kStack;
  info_.why = std::string(why);
  info_.device = device.name;
  info_.nic = device.kind;
  info_.steering = device.steering;
  info_.queue_count = device.queue_count;
  info_.mtu_bytes = device.mtu;
  if (!options.record_path.empty()) {
    absl::StatusOr<std::unique_ptr<PcapngRecorder>> recorder =
        PcapngRecorder::Create(options.record_path);
    if (!recorder.ok()) return recorder.status();
    recorder_ = *std::move(recorder);
    nic_->SetRecorder(recorder_.get());
  }
  StartPublishing(options);
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) fds_.push_back(stack_->worker(i).fd());
  if (options.threading == Threading::kThread) return StartThreads();
  // A NIC in memory has nothing to wait for, and its session no descriptor.
  const bool has_fd = std::any_of(fds_.begin(), fds_.end(), [](int fd) { return fd >= 0; });
  fds_.push_back(has_fd ? region_news_.fd() : -1);
  return poll_set_.Create(fds_);
}

absl::Status StackSession::StartThreads() {
  absl::Status created = news_.Create();
  if (!created.ok()) return created;
  channels_.resize(stack_->worker_count());
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    worker_fences_.push_back(std::make_unique<FenceList>());
  }
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    absl::StatusOr<std::unique_ptr<WorkerThread>> thread =
        WorkerThread::Create(&stack_->worker(i), clock_, this);
    if (!thread.ok()) return thread.status();
    threads_.push_back(*std::move(thread));
  }
  stack_->SetExecutor(
      [this](uint32_t worker, const std::function<void()>& step) { threads_[worker]->Run(step); });
  stack_->rings().SetWaker(this);
  for (const auto& thread : threads_) thread->Start();
  started_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

StackSession::~StackSession() {
  // Threads wake each other: all stop before any goes.
  for (const auto& thread : threads_) thread->Stop();
  if (stack_ != nullptr) {
    stack_->rings().SetWaker(nullptr);
    stack_->SetExecutor(nullptr);
    // Before anything else goes: an exporter's thread may be in OnRegionEvent() until now.
    stack_->UnbindAll();
  }
  threads_.clear();
  if (nic_ != nullptr) nic_->SetRecorder(nullptr);
}

}  // namespace devmem
