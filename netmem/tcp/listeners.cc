// SPDX-License-Identifier: Apache-2.0
//
// Listeners: a passive OPEN (RFC 9293 section 3.10.1), the backlog, and the queue of connections
// that wait to be accepted.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "netmem/tcp/engine.h"

namespace devmem {

TcpEngine::Listener* TcpEngine::FindListener(ListenerId id) {
  for (Listener& listener : listeners_) {
    if (listener.id == id && id != 0) return &listener;
  }
  return nullptr;
}

// The exact address wins over the unspecified one.
const TcpEngine::Listener* TcpEngine::ListenerFor(const FlowKey& flow) const {
  const Listener* any = nullptr;
  for (const Listener& listener : listeners_) {
    if (listener.id == 0 || listener.port != flow.local_port) continue;
    if (listener.local == flow.local) return &listener;
    if (listener.local.is_unspecified() && listener.local.is_v4() == flow.local.is_v4()) {
      any = &listener;
    }
  }
  return any;
}

absl::StatusOr<ListenerId> TcpEngine::Listen(const IpAddress& local, uint16_t port,
                                             uint32_t backlog, bool bound) {
  if (port == 0) return absl::InvalidArgumentError("port 0 cannot be listened on; name one");
  if (backlog == 0 || backlog > kBacklogMax) {
    return absl::OutOfRangeError(
        absl::StrCat("backlog is ", backlog, " connections; choose from 1 to ", kBacklogMax));
  }
  if (bound && !device_ledger_.has_value()) return NotBound();
  for (const Listener& listener : listeners_) {
    if (listener.id == 0 || listener.port != port) continue;
    if (listener.local.is_v4() != local.is_v4()) continue;
    if (listener.local == local || listener.local.is_unspecified() || local.is_unspecified()) {
      return absl::AlreadyExistsError(absl::StrCat("port ", port, " is in use by the listener on ",
                                                   listener.local.ToString(),
                                                   "; choose another port or close that one"));
    }
  }
  auto place = std::find_if(listeners_.begin(), listeners_.end(),
                            [](const Listener& entry) { return entry.id == 0; });
  if (place == listeners_.end()) {
    if (listeners_.size() == kListenersMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat("all ", kListenersMax, " listeners are in use; close one"));
    }
    place = listeners_.insert(listeners_.end(), Listener());
  }
  *place = Listener();
  place->id = next_listener_++;
  place->local = local;
  place->port = port;
  place->backlog = backlog;
  place->bound = bound;
  return place->id;
}

absl::Status TcpEngine::CloseListener(ListenerId id, Nanos now) {
  now_ = now;
  Listener* listener = FindListener(id);
  if (listener == nullptr) return absl::NotFoundError(absl::StrCat("no listener has id ", id));
  for (uint32_t index = 0; index < fresh_; ++index) {
    if (slots_[index].constructed == 0 || at(index).listener != id) continue;
    // Half-open ones go silently, as Linux has it: who comes back is answered then.
    if (at(index).state != TcpState::kSynReceived) SendReset(at(index));
    CloseNow(at(index), CloseReason::kAborted);
  }
  listener->id = 0;
  return absl::OkStatus();
}

bool TcpEngine::HasPending(ListenerId id) const {
  for (const Listener& listener : listeners_) {
    if (listener.id == id && id != 0) return listener.queue.size() != 0;
  }
  return false;
}

std::optional<ConnectionId> TcpEngine::Accept(ListenerId id) {
  Listener* listener = FindListener(id);
  if (listener == nullptr || listener->queue.size() == 0) return std::nullopt;
  TcpConnection& connection = at(listener->queue.front());
  LeaveListener(connection);
  connection.attached = true;
  return IdOf(connection);
}

// Takes a half-open or not yet accepted connection off its listener's books.
void TcpEngine::LeaveListener(TcpConnection& connection) {
  LeaveHalfOpen(connection);
  Listener* listener = FindListener(connection.listener);
  connection.listener = 0;
  if (connection.backlog_place != BacklogPlace::kQueued) return;
  connection.backlog_place = BacklogPlace::kNone;
  if (listener != nullptr) listener->queue.Remove(IndexOf(connection), LinksInQueue());
}

}  // namespace devmem
