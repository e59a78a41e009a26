// SPDX-License-Identifier: Apache-2.0
//
// A session of the stack backend: bindings, listeners and active opens.

#include "uapi/stack_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/stack_connection.h"

namespace devmem {
namespace {

absl::StatusOr<IpAddress> ParseHost(absl::string_view text) {
  const std::optional<IpAddress> address = ParseIpAddress(text);
  if (address.has_value()) return *address;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is no IP address; write one like 192.0.2.2 or 2001:db8::2"));
}

// What a connection to `remote` comes from when its caller does not say.
absl::StatusOr<IpAddress> OursFor(const Stack& stack, const IpAddress& remote) {
  const IpAddress* ours = stack.addresses().SourceFor(remote);
  if (ours != nullptr) return *ours;
  return absl::FailedPreconditionError(absl::StrCat(
      "this session has no ", remote.is_v4() ? "IPv4" : "IPv6", " address to reach ",
      remote.ToString(), " from; it has ", stack.addresses().ToString(), ": open it with one"));
}

absl::Status CheckOurs(const Stack& stack, const IpAddress& address) {
  if (stack.addresses().IsOurs(address)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      address.ToString(), " is not an address of this session; it has ",
      stack.addresses().ToString(), ": use one of these, or open the session with it"));
}

// The flow of a connection that we open; the local port may be 0, to be chosen.
absl::StatusOr<FlowKey> FlowToDial(const Stack& stack, const ConnectOptions& options) {
  const absl::StatusOr<IpAddress> remote = ParseHost(options.address);
  if (!remote.ok()) return remote.status();
  if (options.port == 0) {
    return absl::InvalidArgumentError("port 0 cannot be connected to; name one");
  }
  const absl::StatusOr<IpAddress> local =
      options.local_address.empty() ? OursFor(stack, *remote) : ParseHost(options.local_address);
  if (!local.ok()) return local.status();
  if (local->is_v4() != remote->is_v4()) {
    return absl::InvalidArgumentError(absl::StrCat(
        local->ToString(), " and ", remote->ToString(),
        " are addresses of two families; connect from one of the peer's, or leave ours out"));
  }
  const absl::Status ours = CheckOurs(stack, *local);
  if (!ours.ok()) return ours;
  return FlowKey{*local, *remote, options.local_port, options.port};
}

}  // namespace

absl::StatusOr<uint32_t> StackSession::QueueFor(std::optional<BindingId> binding,
                                                const std::optional<uint32_t>& queue) const {
  if (!binding.has_value()) {
    for (uint32_t unbound = 0; unbound < stack_->worker_count(); ++unbound) {
      if (stack_->BindingOf(unbound) == nullptr) return unbound;
    }
    return absl::FailedPreconditionError("every queue of the session is bound; bind one less");
  }
  const absl::Status usable = stack_->BindingStatus(*binding);
  if (!usable.ok()) return usable;
  const Binding* const found = stack_->FindBinding(*binding);
  if (!queue.has_value()) return found->queues().front();
  if (std::count(found->queues().begin(), found->queues().end(), *queue) != 0) return *queue;
  return absl::OutOfRangeError(absl::StrCat("queue ", *queue, " is not of binding ", *binding,
                                            ", which has ", absl::StrJoin(found->queues(), ", ")));
}

absl::StatusOr<BindingId> StackSession::Bind(const Region& region, const BindOptions& options) {
  BindRequest request;
  request.owner_id = owner_id_;
  request.range_offset = options.offset;
  request.range_bytes = options.bytes;
  if (request.range_bytes == 0 && options.offset < region.size_bytes()) {
    request.range_bytes = region.size_bytes() - options.offset;
  }
  request.queues = options.queues;
  request.net_iov_bytes = options.net_iov_bytes;
  request.slab_bytes = options.slab_bytes;
  LookAfterRegions(Now());
  rules_->RemoveUnbound(options.queues);
  absl::StatusOr<BindingId> bound = stack_->Bind(region, std::move(request), Now());
  PublishAll();
  return bound;
}

absl::Status StackSession::Unbind(BindingId binding) {
  LookAfterRegions(Now());
  std::vector<uint32_t> queues;
  if (const Binding* const found = stack_->FindBinding(binding)) {
    queues = found->queues();
    (void)fences_.Poll([&](std::span<const Frag> frags) { (void)ReleaseAny(frags, 0); });
    size_t frags = 0;
    for (const uint32_t queue : found->queues()) {
      OnWorker(queue, [&] {
        Worker& worker = stack_->worker(queue);
        if (threaded()) {
          (void)worker_fences_[queue]->Poll(
              [&](std::span<const Frag> done) { ReleaseHere(done, worker, Now()); });
        }
        const auto held = [&](const Frag& frag) { return worker.Holds(frag.token); };
        frags += fences_.Count(held);
        for (const auto& fences : worker_fences_) frags += fences->Count(held);
      });
    }
    const absl::Status free = CheckNoFences(binding, frags);
    if (!free.ok()) return free;
  }
  const absl::Status unbound = stack_->Unbind(binding, Now());
  PublishAll();
  if (!unbound.ok() || !threaded()) return unbound;
  // The channels learn of it before anybody can take dead frags out of them.
  for (const uint32_t queue : queues) {
    OnWorker(queue, [&] { (void)AfterRun(stack_->worker(queue), Now()); });
  }
  return unbound;
}

absl::Status StackSession::BindingStatus(BindingId binding) {
  LookAfterRegions(Now());
  return stack_->BindingStatus(binding);
}

absl::Status StackSession::Remove(Region& region, const std::string& reason, Nanos deadline) {
  region.BeginRemoval(reason);
  while (true) {
    LookAfterRegions(Now());
    const Nanos now = Now();
    if (region.life()->user_count() == 0 || now >= deadline) {
      const absl::Status removed = region.Remove(reason, std::chrono::seconds(0));
      LookAfterRegions(now);
      return removed;
    }
    (void)Drive();
    // Whoever holds the rest may give it back on another thread, or in another session.
    Wait(std::min(deadline, now + kMillisecond));
  }
}

// On an exporter's thread.
void StackSession::OnRegionEvent() {
  region_news_.Raise();
  if (!started_.load(std::memory_order_acquire)) return;
  for (const auto& thread : threads_) thread->Wake();
  news_.Raise();
}

bool StackSession::LookAfterRegions(Nanos now) {
  if (!region_news_.raised() && !draining_.load(std::memory_order_relaxed)) return false;
  region_news_.Lower();
  const Stack::RegionNews news = stack_->LookAfterRegions(now);
  draining_.store(news.draining, std::memory_order_relaxed);
  if (news.changed) PublishAll();
  return news.changed;
}

absl::StatusOr<std::unique_ptr<Listener>> StackSession::Listen(const ListenOptions& options,
                                                               std::optional<BindingId> binding) {
  absl::Status device = DeviceStatus();
  if (!device.ok()) return device;
  absl::StatusOr<IpAddress> address = ParseHost(options.address);
  if (!address.ok()) return address.status();
  absl::Status ours = CheckOurs(*stack_, *address);
  if (!ours.ok()) return ours;
  absl::StatusOr<uint32_t> queue = QueueFor(binding, options.queue);
  if (!queue.ok()) return queue.status();

  std::vector<StackListener::Part> parts;
  const auto undo = [&] {
    for (const StackListener::Part& part : parts) {
      OnWorker(part.worker,
               [&] { (void)stack_->worker(part.worker).engine().CloseListener(part.id, Now()); });
    }
  };
  for (uint32_t worker = 0; worker < stack_->worker_count(); ++worker) {
    // Unsteered connections may come to any queue, also to one that is bound now and later is not.
    if (binding.has_value() && worker != *queue) continue;
    absl::StatusOr<ListenerId> id;
    OnWorker(worker, [&] {
      id = stack_->worker(worker).engine().Listen(*address, options.port, options.backlog,
                                                  binding.has_value());
    });
    if (!id.ok()) {
      undo();
      return id.status();
    }
    parts.push_back(StackListener::Part{worker, *id});
  }
  FlowRuleBook::Hold rule;
  if (binding.has_value()) {
    FlowMatch match;
    match.local = *address;
    match.local_port = options.port;
    absl::StatusOr<FlowRuleBook::Hold> added = rules_->Add(match, *queue, true);
    if (!added.ok()) {
      undo();
      return added.status();
    }
    rule = *std::move(added);
  }
  return std::make_unique<StackListener>(this, std::move(parts), options.port, binding,
                                         std::move(rule));
}

absl::StatusOr<std::unique_ptr<Connection>> StackSession::Connect(const ConnectOptions& options,
                                                                  std::optional<BindingId> binding,
                                                                  Nanos deadline) {
  absl::Status device = DeviceStatus();
  if (!device.ok()) return device;
  const absl::StatusOr<FlowKey> dialled = FlowToDial(*stack_, options);
  if (!dialled.ok()) return dialled.status();
  FlowKey flow = *dialled;
  absl::StatusOr<uint32_t> queue = QueueFor(binding, options.queue);
  if (!queue.ok()) return queue.status();
  TcpEngine& engine = stack_->worker(*queue).engine();
  absl::StatusOr<ConnectionId> id = absl::UnknownError("not connected");
  FlowRuleBook::Hold rule;
  OnWorker(*queue, [&] {
    if (flow.local_port == 0) {
      const std::optional<uint16_t> port =
          ports_->Allocate(flow.local, flow.remote, flow.remote_port, [&](uint16_t candidate) {
            FlowKey tried = flow;
            tried.local_port = candidate;
            return engine.InUse(tried);
          });
      if (!port.has_value()) {
        id = absl::ResourceExhaustedError(absl::StrCat(
            "all ", ports_->port_count(), " local ports to ",
            EndpointText(flow.remote, flow.remote_port), " are in use; close some connections"));
        return;
      }
      flow.local_port = *port;
    }
    // The rule is there before the SYN, so that no answer misses it. Without a binding it spares
    // the way over the queue that the answers would be spread to.
    if (binding.has_value() || stack_->worker_count() > 1) {
      absl::StatusOr<FlowRuleBook::Hold> added =
          rules_->Add({flow.local, flow.remote, flow.local_port, flow.remote_port}, *queue,
                      binding.has_value());
      if (!added.ok()) {
        id = added.status();
        return;
      }
      rule = *std::move(added);
    }
    id = engine.Connect(flow, binding.has_value(), Now());
  });
  if (!id.ok()) return id.status();
  std::unique_ptr<Connection> connection =
      MakeConnection(this, ConnectionHandle{*queue, *id, binding.has_value()}, std::move(rule));
  while (true) {
    TcpState state = TcpState::kSynSent;
    absl::Status end;
    OnWorker(*queue, [&] {
      state = engine.Find(*id)->state;
      end = EndOf(*engine.Find(*id));
    });
    if (!end.ok()) return end;
    if (state != TcpState::kSynSent && state != TcpState::kSynReceived) return connection;
    const bool more = threaded() ? Now() < deadline : Turn(*queue, deadline);
    if (!more) {
      return absl::DeadlineExceededError(absl::StrCat(EndpointText(flow.remote, flow.remote_port),
                                                      " did not answer before the deadline"));
    }
    if (threaded()) Wait(deadline);
  }
}

absl::StatusOr<Account> StackSession::account(BindingId binding) const {
  return stack_->account(binding);
}

Account StackSession::host_account() const { return stack_->host_account(); }

}  // namespace devmem
