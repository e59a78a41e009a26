// SPDX-License-Identifier: Apache-2.0
//
// The public interface over CopyCore.

#include "uapi/copy_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/copy_connection.h"
#include "uapi/copy_core.h"
#include "uapi/copy_socket.h"

namespace devmem {
namespace {

class CopySession final : public Session {
 public:
  CopySession(std::unique_ptr<CopyCore> core, absl::string_view why) : core_(std::move(core)) {
    info_ = SessionInfo{.backend = Backend::kCopy,
                        .why = std::string(why),
                        .device = "",
                        .nic = "socket",
                        .steering = "none",
                        .steering_note = "",
                        .queue_count = CopyCore::kQueues,
                        .mtu_bytes = 0};
  }

  absl::StatusOr<BindingId> Bind(const Region& region, const BindOptions& options) override {
    return core_->Bind(region, options);
  }
  absl::Status Unbind(BindingId binding) override { return core_->Unbind(binding); }
  absl::Status BindingStatus(BindingId binding) override {
    core_->LookAfterRegions();
    return core_->BindingStatus(binding);
  }
  absl::Status Remove(Region& region, const std::string& reason, Nanos deadline) override;

  absl::StatusOr<std::unique_ptr<Listener>> Listen(const ListenOptions& options,
                                                   std::optional<BindingId> binding) override;
  absl::StatusOr<std::unique_ptr<Connection>> Connect(const ConnectOptions& options,
                                                      std::optional<BindingId> binding,
                                                      Nanos deadline) override;

  uint32_t Drive() override {
    core_->AskFences();
    return 0;
  }
  int fd() const override { return core_->fd(); }
  void Wait(Nanos deadline) override { (void)core_->Wait(core_->fd(), deadline); }
  Nanos Now() const override { return core_->clock().Now(); }

  const SessionInfo& info() const override { return info_; }
  // Nothing of this backend waits in host memory for its user, so there is no host region.
  uint32_t host_region_id() const override { return 0; }
  absl::StatusOr<Account> account(BindingId binding) const override {
    return core_->account(binding);
  }
  Account host_account() const override { return Account{}; }
  std::vector<Statistic> statistics() const override;

 private:
  absl::StatusOr<std::shared_ptr<CopyQueue>> QueueOf(std::optional<BindingId> binding,
                                                     std::optional<uint32_t> queue) const {
    if (!binding.has_value()) return std::shared_ptr<CopyQueue>();
    return core_->QueueOf(*binding, queue);
  }

  const std::unique_ptr<CopyCore> core_;
  SessionInfo info_;
};

absl::Status CopySession::Remove(Region& region, const std::string& reason, Nanos deadline) {
  region.BeginRemoval(reason);
  while (true) {
    core_->LookAfterRegions();
    const Nanos now = Now();
    if (region.life()->user_count() == 0 || now >= deadline) {
      const absl::Status removed = region.Remove(reason, std::chrono::seconds(0));
      core_->LookAfterRegions();
      return removed;
    }
    (void)Drive();
    // Whoever holds the rest may give it back on another thread, or in another session.
    Wait(std::min(deadline, now + kMillisecond));
  }
}

absl::StatusOr<std::unique_ptr<Listener>> CopySession::Listen(const ListenOptions& options,
                                                              std::optional<BindingId> binding) {
  auto queue = QueueOf(binding, options.queue);
  if (!queue.ok()) return queue.status();
  absl::StatusOr<UniqueFd> socket = OpenListener(options.address, options.port, options.backlog);
  if (!socket.ok()) return socket.status();
  return std::make_unique<CopyListener>(core_.get(), *std::move(socket), *std::move(queue));
}

absl::StatusOr<std::unique_ptr<Connection>> CopySession::Connect(const ConnectOptions& options,
                                                                 std::optional<BindingId> binding,
                                                                 Nanos deadline) {
  auto queue = QueueOf(binding, options.queue);
  if (!queue.ok()) return queue.status();
  const Dial dial{.address = options.address,
                  .port = options.port,
                  .local_address = options.local_address,
                  .local_port = options.local_port};
  absl::StatusOr<UniqueFd> socket = StartConnect(dial);
  if (!socket.ok()) return socket.status();
  const absl::StatusOr<UniqueFd> writable = WatchWritable(socket->get());
  if (!writable.ok()) return writable.status();
  while (!IsReadable(writable->get())) {
    if (!core_->Wait(writable->get(), deadline)) {
      return absl::DeadlineExceededError(
          absl::StrCat(options.address, " port ", options.port, " did not answer by the deadline"));
    }
  }
  const absl::Status connected = ConnectResult(socket->get(), dial);
  if (!connected.ok()) return connected;
  core_->stats().connections_opened.Add(1);
  return CopyConnection::Create(core_.get(), *std::move(socket), *std::move(queue));
}

std::vector<Statistic> CopySession::statistics() const {
  const CopyStats& stats = core_->stats();
  // All bytes of this backend pass through host memory first; what a region was bound for counts as
  // bounced.
  const uint64_t bounced = stats.region_bytes.value() + stats.bytes_read.value();
  return {{"payload_bytes", stats.payload_bytes.value()},
          {"payload_bytes_bounced", bounced},
          {"steered_bytes", stats.region_bytes.value()},
          {"host_bytes", stats.host_bytes.value()},
          {"bytes_read_back", 0},
          {"frags", stats.frags.value()},
          {"tokens_issued", stats.tokens_issued.value()},
          {"tokens_returned", stats.tokens_returned.value()},
          {"tokens_refused", stats.tokens_refused.value()},
          {"receive_calls", stats.receive_calls.value()},
          {"receive_starved", stats.receive_starved.value()},
          {"connections_accepted", stats.connections_accepted.value()},
          {"connections_opened", stats.connections_opened.value()}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> OpenCopySession(const SessionOptions& options,
                                                         absl::string_view why) {
  Clock* const clock = options.clock != nullptr ? options.clock : &Clock::System();
  absl::StatusOr<std::unique_ptr<CopyCore>> core = CopyCore::Create(clock, options.threading);
  if (!core.ok()) return core.status();
  return std::make_unique<CopySession>(*std::move(core), why);
}

}  // namespace devmem
