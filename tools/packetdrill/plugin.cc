// SPDX-License-Identifier: Apache-2.0
//
// Time, packets and waiting: what moves the clock, and what then happens to whoever waits.

#include "tools/packetdrill/plugin.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tools/packetdrill/limits.h"

namespace devmem::packetdrill {
namespace {

// packetdrill itself closes what a script left open, so the number may be somebody else's by now.
void CloseIfStill(int fd, absl::string_view kind) {
  char target[64];
  const std::string link = absl::StrCat("/proc/self/fd/", fd);
  const ssize_t bytes = readlink(link.c_str(), target, sizeof(target));
  if (bytes < 0 && errno == ENOENT) return;
  if (bytes >= 0 && !absl::StartsWith({target, static_cast<size_t>(bytes)}, kind)) return;
  ::close(fd);
}

}  // namespace

bool PlugIn::HasPeerFin(TcpState state) {
  switch (state) {
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return true;
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2: return false;
  }
  return false;
}

absl::StatusOr<std::unique_ptr<PlugIn>> PlugIn::Create(const Knobs& knobs,
                                                       absl::string_view flags) {
  absl::StatusOr<std::unique_ptr<HostStack>> stack = HostStack::Create(knobs);
  if (!stack.ok()) return stack.status();
  return std::unique_ptr<PlugIn>(new PlugIn(knobs, flags, *std::move(stack)));
}

PlugIn::PlugIn(const Knobs& knobs, absl::string_view flags, std::unique_ptr<HostStack> stack)
    : knobs_(knobs), flags_(flags), stack_(std::move(stack)), driver_(std::this_thread::get_id()) {}

// packetdrill has run the commands at the head of the script by now, and a stack without sockets
// can be made anew.
void PlugIn::TakeMachineKnobs() {
  machine_asked_ = true;
  const Knobs knobs = ParseKnobs(absl::StrCat(MachineFlags(), " ", flags_)).knobs;
  absl::StatusOr<std::unique_ptr<HostStack>> stack = HostStack::Create(knobs);
  if (!stack.ok()) return;
  (*stack)->MoveTo(stack_->now());
  knobs_ = knobs;
  stack_ = *std::move(stack);
}

PlugIn::~PlugIn() = default;

void PlugIn::Shutdown() {
  std::unique_lock<std::mutex> lock(mutex_);
  closing_ = true;
  for (Waiter* waiter : waiters_) {
    waiter->done = true;
    waiter->result = CallResult::Fail(ECANCELED);
    waiter->ended_at = stack_->now();
  }
  waiters_.clear();
  changed_.notify_all();
  changed_.wait(lock, [this] { return blocked_threads_ == 0; });
  for (const auto& [fd, socket] : sockets_) CloseIfStill(fd, "anon_inode:[eventfd]");
  for (const auto& [fd, epoll] : epolls_) CloseIfStill(fd, "anon_inode:[eventfd]");
  for (const int fd : pipes_) CloseIfStill(fd, "pipe:");
  sockets_.clear();
  epolls_.clear();
  pipes_.clear();
}

Nanos PlugIn::DeadlineAfter(Nanos timeout) const {
  return timeout >= kNever - stack_->now() ? kNever : stack_->now() + timeout;
}

CallResult PlugIn::Complete(const Attempt& attempt, Nanos deadline, CallResult late) {
  if (std::optional<CallResult> result = attempt()) {
    Settle();
    return *result;
  }
  if (closing_) return CallResult::Fail(ECANCELED);
  Waiter waiter;
  waiter.attempt = attempt;
  waiter.deadline = deadline;
  waiter.late = late;
  waiters_.push_back(&waiter);
  Settle();
  if (std::this_thread::get_id() == driver_) {
    DriveUntilDone(waiter);
    return waiter.result;
  }
  // The caller holds the lock and goes on holding it; meanwhile it is the condition's.
  std::unique_lock<std::mutex> lock(mutex_, std::adopt_lock);
  ++blocked_threads_;
  changed_.wait(lock, [&waiter] { return waiter.done; });
  --blocked_threads_;
  ForgetEnd();
  ends_.push_back({std::this_thread::get_id(), waiter.ended_at});
  if (closing_) changed_.notify_all();
  lock.release();
  return waiter.result;
}

// The driver itself is blocked, so nobody else would move the time. Where no timer is left, nothing
// will ever answer.
void PlugIn::DriveUntilDone(Waiter& waiter) {
  while (!waiter.done) {
    const Nanos next = NextEvent();
    if (next == kNever) {
      waiters_.remove(&waiter);
      waiter.result = CallResult::Fail(EDEADLK);
      return;
    }
    AdvanceTo(next);
  }
}

Nanos PlugIn::NextEvent() const {
  Nanos next = stack_->NextTimer();
  for (const Waiter* waiter : waiters_) next = std::min(next, waiter->deadline);
  return next;
}

void PlugIn::AdvanceTo(Nanos time) {
  for (Nanos next = NextEvent(); next <= time; next = NextEvent()) {
    stack_->MoveTo(next);
    Settle();
  }
  stack_->MoveTo(time);
}

void PlugIn::Settle() {
  do {
    stack_->Flush();
    NoteChanges();
  } while (RunWaiters());
}

bool PlugIn::RunWaiters() {
  bool any = false;
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    Waiter& waiter = **it;
    std::optional<CallResult> result = waiter.attempt();
    if (!result.has_value() && waiter.deadline <= stack_->now()) result = waiter.late;
    if (!result.has_value()) {
      ++it;
      continue;
    }
    waiter.result = *result;
    waiter.ended_at = stack_->now();
    waiter.done = true;
    any = true;
    it = waiters_.erase(it);
  }
  if (any) changed_.notify_all();
  return any;
}

void PlugIn::NoteChanges() {
  for (const auto& [fd, socket] : sockets_) NoteChange(*socket);
}

// Compares with the last look, and wakes who watches as Linux's callbacks do: for data and for room
// with the event, for a change of state without.
void PlugIn::NoteChange(Socket& socket) {
  if (!socket.listeners.empty()) {
    const uint32_t pending = PendingOf(socket);
    if (pending > socket.seen_pending) Wake(socket, POLLIN | POLLRDNORM);
    socket.seen_pending = pending;
    return;
  }
  const TcpConnection* connection = ConnectionOf(socket);
  if (connection == nullptr) return;
  NoteSendLimit(socket, *connection);
  if (connection->state == TcpState::kClosed && !socket.ended) NoteEnd(socket, *connection);
  if (connection->payload_bytes_received != socket.seen_received_bytes) {
    Wake(socket, POLLIN | POLLRDNORM | POLLRDBAND);
  }
  if (connection->state != socket.seen_state) {
    if (HasPeerFin(connection->state)) socket.receive_shut = true;
    if (socket.opened_at == 0) {
      socket.opened_at = stack_->now();
      socket.first_target_bytes = connection->window_target_bytes;
    }
    Wake(socket, 0);
  }
  if (socket.wants_space && IsWritable(socket, *connection)) {
    socket.wants_space = false;
    Wake(socket, POLLOUT | POLLWRNORM | POLLWRBAND);
  }
  socket.seen_state = connection->state;
  socket.seen_received_bytes = connection->payload_bytes_received;
}

// As tcp_reset() and tcp_write_err() of Linux leave a socket.
void PlugIn::NoteEnd(Socket& socket, const TcpConnection& connection) {
  socket.ended = true;
  switch (connection.close_reason) {
    case CloseReason::kNone:
    case CloseReason::kAborted:
    case CloseReason::kDeviceGone:
    case CloseReason::kMemoryGone: break;
    case CloseReason::kRefused: socket.error = ECONNREFUSED; break;
    case CloseReason::kTimedOut:
      socket.error = connection.system_error != 0 ? connection.system_error : ETIMEDOUT;
      break;
    case CloseReason::kUnreachable: socket.error = connection.system_error; break;
    case CloseReason::kReset:
      socket.error = socket.seen_state == TcpState::kCloseWait ? EPIPE : ECONNRESET;
      break;
  }
  socket.receive_shut = true;
  socket.send_shut = true;
}

CallResult PlugIn::PutPacket(std::span<const uint8_t> packet) {
  ForgetEnd();
  driver_ = std::this_thread::get_id();
  stack_->Inject(packet);
  Settle();
  return {};
}

CallResult PlugIn::TakePacket(std::span<uint8_t> buffer, Nanos* sent_at) {
  ForgetEnd();
  driver_ = std::this_thread::get_id();
  const Nanos give_up_at = stack_->now() + kReceiveWaitMax;
  while (stack_->out().empty()) {
    const Nanos next = NextEvent();
    if (next > give_up_at) {
      *sent_at = stack_->now();
      return {};
    }
    AdvanceTo(next);
  }
  const OutPacket packet = std::move(stack_->out().front());
  stack_->out().pop_front();
  *sent_at = packet.sent_at;
  if (packet.bytes.size() > buffer.size()) return CallResult::Fail(EMSGSIZE);
  std::copy(packet.bytes.begin(), packet.bytes.end(), buffer.begin());
  return {static_cast<int64_t>(packet.bytes.size())};
}

void PlugIn::ForgetEnd() {
  const std::thread::id self = std::this_thread::get_id();
  std::erase_if(ends_, [self](const ThreadEnd& entry) { return entry.thread == self; });
}

// No sign of the driver: packetdrill's second thread, too, sleeps until its call is due.
void PlugIn::Sleep(Nanos duration) {
  ForgetEnd();
  AdvanceTo(stack_->now() + duration);
}

// packetdrill spins on the clock until an event's time has come, so each look moves it on.
Nanos PlugIn::TimeOfDay() {
  const auto end = std::find_if(ends_.begin(), ends_.end(), [](const ThreadEnd& entry) {
    return entry.thread == std::this_thread::get_id();
  });
  if (end != ends_.end()) {
    const Nanos at = end->at;
    ForgetEnd();
    return at;
  }
  AdvanceTo(stack_->now() + kMicrosecond);
  return stack_->now();
}

std::shared_ptr<Socket> PlugIn::Find(int fd) const {
  const auto found = sockets_.find(fd);
  return found == sockets_.end() ? nullptr : found->second;
}

// A real descriptor stands for the socket, so its number is nobody else's in this process.
std::shared_ptr<Socket> PlugIn::AddSocket(int domain, bool nonblocking) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return nullptr;
  // packetdrill closes what a script left open by itself; the number may come again.
  if (const std::shared_ptr<Socket> stale = Find(fd)) LetGo(*stale);
  auto socket = std::make_shared<Socket>();
  socket->fd = fd;
  socket->domain = domain;
  socket->nonblocking = nonblocking;
  sockets_[fd] = socket;
  return socket;
}

TcpConnection* PlugIn::ConnectionOf(const Socket& socket) {
  return socket.connection.has_value() ? stack_->engine().Find(*socket.connection) : nullptr;
}

TcpState PlugIn::StateOf(const Socket& socket) {
  if (!socket.listeners.empty()) return TcpState::kListen;
  const TcpConnection* connection = ConnectionOf(socket);
  return connection == nullptr ? TcpState::kClosed : connection->state;
}

uint32_t PlugIn::PendingOf(const Socket& socket) {
  uint32_t pending = 0;
  for (const ListenerId id : socket.listeners) pending += stack_->engine().HasPending(id) ? 1u : 0u;
  return pending;
}

int PlugIn::TakeError(Socket& socket) { return std::exchange(socket.error, 0); }

}  // namespace devmem::packetdrill
