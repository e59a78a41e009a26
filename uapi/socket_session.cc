// SPDX-License-Identifier: Apache-2.0
//
// The public interface over SocketCore.

#include "uapi/socket_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/socket_connection.h"
#include "uapi/socket_core.h"
#include "uapi/tcp_socket.h"

namespace devmem {
namespace {

bool IsUnspecified(const IpAddress& address) {
  return address.is_v4() ? address.v4() == 0 : address.high() == 0 && address.low() == 0;
}

class SocketSession final : public Session {
 public:
  SocketSession(std::unique_ptr<SocketCore> core, SessionInfo info)
      : core_(std::move(core)), info_(std::move(info)) {}

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

  uint32_t Drive() override { return core_->Drive(); }
  int fd() const override { return core_->fd(); }
  void Wait(Nanos deadline) override { (void)core_->Wait(core_->fd(), deadline); }
  Nanos Now() const override { return core_->clock().Now(); }

  const SessionInfo& info() const override { return info_; }
  uint32_t host_region_id() const override {
    return host_region() != nullptr ? host_region()->id() : 0;
  }
  const Region* host_region() const override { return core_->backend().host_region(); }
  absl::StatusOr<Account> account(BindingId binding) const override {
    return core_->account(binding);
  }
  Account host_account() const override { return core_->backend().host_account(); }
  std::vector<Statistic> statistics() const override;

 private:
  absl::StatusOr<std::shared_ptr<SocketQueue>> QueueOf(std::optional<BindingId> binding,
                                                       std::optional<uint32_t> queue) const {
    if (!binding.has_value()) return std::shared_ptr<SocketQueue>();
    return core_->QueueOf(*binding, queue);
  }

  absl::StatusOr<RuleHold> SteerDial(int socket, const Dial& dial, uint32_t queue);

  const std::unique_ptr<SocketCore> core_;
  const SessionInfo info_;
};

absl::Status SocketSession::Remove(Region& region, const std::string& reason, Nanos deadline) {
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

absl::StatusOr<std::unique_ptr<Listener>> SocketSession::Listen(const ListenOptions& options,
                                                                std::optional<BindingId> binding) {
  auto queue = QueueOf(binding, options.queue);
  if (!queue.ok()) return queue.status();
  absl::StatusOr<UniqueFd> socket = BindListener(options.address, options.port);
  if (!socket.ok()) return socket.status();
  RuleHold rule;
  if (*queue != nullptr) {
    const std::optional<Endpoint> local = LocalEnd(socket->get());
    FlowMatch match{.local_port = LocalPort(socket->get())};
    if (local.has_value() && !IsUnspecified(local->address)) match.local = local->address;
    absl::StatusOr<RuleHold> steered = core_->backend().Steer(match, (*queue)->index());
    if (!steered.ok()) return steered.status();
    rule = *std::move(steered);
  }
  const absl::Status listening = StartListening(socket->get(), options.backlog);
  if (!listening.ok()) return listening;
  return std::make_unique<SocketListener>(core_.get(), *std::move(socket), *std::move(queue),
                                          std::move(rule));
}

absl::StatusOr<std::unique_ptr<Connection>> SocketSession::Connect(const ConnectOptions& options,
                                                                   std::optional<BindingId> binding,
                                                                   Nanos deadline) {
  auto queue = QueueOf(binding, options.queue);
  if (!queue.ok()) return queue.status();
  const Dial dial{.address = options.address,
                  .port = options.port,
                  .local_address = options.local_address,
                  .local_port = options.local_port};
  const bool steered = *queue != nullptr && core_->backend().steers();
  absl::StatusOr<UniqueFd> socket = PrepareConnect(dial, steered);
  if (!socket.ok()) return socket.status();
  absl::StatusOr<RuleHold> rule = RuleHold();
  if (steered) rule = SteerDial(socket->get(), dial, (*queue)->index());
  if (!rule.ok()) return rule.status();
  const absl::Status begun = BeginConnect(socket->get(), dial);
  if (!begun.ok()) return begun;
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
  return SocketConnection::Create(core_.get(), *std::move(socket), *std::move(queue),
                                  *std::move(rule));
}

// The rule of an active open: both ends are known before its SYN leaves.
absl::StatusOr<RuleHold> SocketSession::SteerDial(int socket, const Dial& dial, uint32_t queue) {
  const std::optional<Endpoint> local = LocalEnd(socket);
  const std::optional<IpAddress> remote = ParseIpAddress(dial.address);
  if (!local.has_value() || !remote.has_value()) {
    return absl::InternalError("a socket that was bound has no address");
  }
  return core_->backend().Steer({.local = local->address,
                                 .remote = *remote,
                                 .local_port = local->port,
                                 .remote_port = dial.port},
                                queue);
}

std::vector<Statistic> SocketSession::statistics() const {
  const SocketStats& stats = core_->stats();
  std::vector<Statistic> all = {{"payload_bytes", stats.payload_bytes.value()},
                                {"payload_bytes_bounced", stats.bounced_bytes.value()},
                                {"steered_bytes", stats.region_bytes.value()},
                                {"host_bytes", stats.host_bytes.value()},
                                {"bytes_read_back", stats.bytes_read_back.value()},
                                {"frags", stats.frags.value()},
                                {"tokens_issued", stats.tokens_issued.value()},
                                {"tokens_returned", stats.tokens_returned.value()},
                                {"tokens_refused", stats.tokens_refused.value()},
                                {"receive_calls", stats.receive_calls.value()},
                                {"receive_starved", stats.receive_starved.value()},
                                {"connections_accepted", stats.connections_accepted.value()},
                                {"connections_opened", stats.connections_opened.value()}};
  core_->backend().AppendStatistics(&all);
  return all;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> OpenSocketSession(const SessionOptions& options,
                                                           std::unique_ptr<SocketBackend> backend) {
  Clock* const clock = options.clock != nullptr ? options.clock : &Clock::System();
  absl::StatusOr<std::unique_ptr<SocketCore>> core =
      SocketCore::Create(clock, options.threading, std::move(backend));
  if (!core.ok()) return core.status();
  SessionInfo info = (*core)->backend().info();
  absl::StatusOr<std::unique_ptr<StatsPage>> page =
      StatsPage::Create(options.statistics_folder, ToString(info.backend), info.device);
  if (page.ok()) {
    info.statistics_page = (*page)->path();
    (*core)->StartPublishing(*std::move(page));
  } else {
    info.statistics_note = std::string(page.status().message());
  }
  return std::make_unique<SocketSession>(*std::move(core), std::move(info));
}

}  // namespace devmem
