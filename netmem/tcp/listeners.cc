// SPDX-License-Identifier: Apache-2.0
//
// Listeners: a passive OPEN (RFC 9293 section 3.10.1), the backlog, and the queue of connections
// that wait to be accepted.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "netmem/tcp/engine.h"

namespace devmem {

absl::StatusOr<ListenerId> TcpEngine::Listen(const IpAddress& local, uint16_t port,
                                             uint32_t backlog, bool bound) {
  if (port == 0) return absl::InvalidArgumentError("port 0 cannot be listened on; name one");
  if (backlog == 0 || backlog > kBacklogMax) {
    return absl::OutOfRangeError(
        absl::StrCat("backlog is ", backlog, " connections; choose from 1 to ", kBacklogMax));
  }
  if (bound && !device_ledger_.has_value()) return NotBound();
  if (const Listener* const other = listeners_.InTheWay(local, port); other != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("port ", port, " is in use by the listener on ",
                                                 other->local.ToString(),
                                                 "; choose another port or close that one"));
  }
  if (listeners_.all().size() == kListenersMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all ", kListenersMax, " listeners are in use; close one"));
  }
  Listener& listener = listeners_.Add(local, port);
  listener.backlog = backlog;
  listener.bound = bound;
  return listener.id;
}

absl::Status TcpEngine::CloseListener(ListenerId id, Nanos now) {
  now_ = now;
  if (FindListener(id) == nullptr) {
    return absl::NotFoundError(absl::StrCat("no listener has id ", id));
  }
  for (uint32_t index = 0; index < fresh_; ++index) {
    if (slots_[index].constructed == 0 || at(index).listener != id) continue;
    // Half-open ones go silently, as Linux has it: who comes back is answered then.
    if (at(index).state != TcpState::kSynReceived) SendReset(at(index));
    CloseNow(at(index), CloseReason::kAborted);
  }
  listeners_.Remove(id);
  return absl::OkStatus();
}

void TcpEngine::CloseListenersOfDevice(Nanos now) {
  // From the last: closing moves what comes behind.
  for (size_t i = listeners_.all().size(); i-- > 0;) {
    const Listener& listener = listeners_.all()[i];
    if (listener.bound) (void)CloseListener(listener.id, now);
  }
}

bool TcpEngine::HasPending(ListenerId id) const {
  const Listener* const listener = listeners_.Find(id);
  return listener != nullptr && listener->queue.size() != 0;
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
