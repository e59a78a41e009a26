// SPDX-License-Identifier: Apache-2.0
//
// poll() and epoll: what a socket is ready for, as tcp_poll() of Linux computes it, and who is told
// when something happens to it.

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {
namespace {

constexpr uint32_t kReadable = POLLIN | POLLRDNORM;
constexpr uint32_t kWritable = POLLOUT | POLLWRNORM;
// Reported whether asked for or not.
constexpr uint32_t kAlways = POLLERR | POLLHUP;
constexpr uint32_t kPrivateBits = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;

Nanos PollDeadline(int timeout_ms, Nanos now) {
  return timeout_ms < 0 ? kNever : now + timeout_ms * kMillisecond;
}

}  // namespace

uint32_t PlugIn::PollMask(Socket& socket) {
  if (socket.phase == Socket::Phase::kListening) return PendingOf(socket) != 0 ? kReadable : 0;
  const TcpConnection* connection = ConnectionOf(socket);
  const TcpState state = StateOf(socket);
  uint32_t mask = 0;
  if (state == TcpState::kClosed || (socket.receive_shut && socket.send_shut)) mask |= POLLHUP;
  if (socket.receive_shut) mask |= kReadable | POLLRDHUP;
  const bool opening = state == TcpState::kSynSent || state == TcpState::kSynReceived;
  if (!opening) {
    const size_t unread = connection == nullptr ? 0 : connection->receiver.in_order().bytes();
    if (unread >= std::max(socket.settings.low_water_bytes, 1u)) mask |= kReadable;
    if (socket.send_shut || connection == nullptr || IsWritable(socket, *connection)) {
      mask |= kWritable;
    } else {
      socket.wants_space = true;
    }
  }
  if (socket.error != 0) mask |= POLLERR;
  return mask;
}

CallResult PlugIn::Poll(std::span<pollfd> fds, int timeout_ms) {
  return Complete(
      [this, fds, timeout_ms]() -> std::optional<CallResult> {
        int64_t ready = 0;
        for (pollfd& entry : fds) {
          entry.revents = 0;
          if (entry.fd < 0) continue;
          const uint32_t asked = static_cast<uint16_t>(entry.events) | kAlways;
          if (const std::shared_ptr<Socket> socket = Find(entry.fd)) {
            entry.revents = static_cast<int16_t>(PollMask(*socket) & asked);
          } else if (pipes_.count(entry.fd) != 0) {
            (void)::poll(&entry, 1, 0);
          } else {
            entry.revents = POLLNVAL;
          }
          if (entry.revents != 0) ++ready;
        }
        if (ready != 0 || timeout_ms == 0) return CallResult{ready};
        return std::nullopt;
      },
      PollDeadline(timeout_ms, stack_->now()), CallResult{0});
}

CallResult PlugIn::EpollCreate(int size) {
  if (size <= 0) return CallResult::Fail(EINVAL);
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return CallResult::Fail(errno);
  auto epoll = std::make_shared<Epoll>();
  epoll->fd = fd;
  epolls_[fd] = epoll;
  return {fd};
}

CallResult PlugIn::EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event) {
  const auto found = epolls_.find(epoll_fd);
  const std::shared_ptr<Socket> socket = Find(fd);
  if (found == epolls_.end()) {
    return CallResult::Fail(Find(epoll_fd) != nullptr ? EINVAL : EBADF);
  }
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (event == nullptr && operation != EPOLL_CTL_DEL) return CallResult::Fail(EFAULT);
  Epoll& epoll = *found->second;
  EpollEntry* entry = epoll.Find(fd);
  switch (operation) {
    case EPOLL_CTL_ADD:
      if (entry != nullptr) return CallResult::Fail(EEXIST);
      epoll.entries.push_back({socket, fd, *event, false});
      entry = &epoll.entries.back();
      break;
    case EPOLL_CTL_MOD:
      if (entry == nullptr) return CallResult::Fail(ENOENT);
      entry->event = *event;
      break;
    case EPOLL_CTL_DEL:
      if (entry == nullptr) return CallResult::Fail(ENOENT);
      epoll.entries.erase(epoll.entries.begin() + (entry - epoll.entries.data()));
      return {};
    default: return CallResult::Fail(EINVAL);
  }
  entry->ready = (PollMask(*socket) & (entry->event.events | kAlways)) != 0;
  Settle();
  return {};
}

int64_t PlugIn::HarvestEpoll(Epoll& epoll, std::span<epoll_event> events) {
  size_t count = 0;
  for (EpollEntry& entry : epoll.entries) {
    if (count == events.size()) break;
    const std::shared_ptr<Socket> socket = entry.socket.lock();
    if (!entry.ready || socket == nullptr) continue;
    const uint32_t asked = entry.event.events & ~kPrivateBits;
    if (asked == 0) continue;  // A one-shot entry that has fired.
    const uint32_t mask = PollMask(*socket) & (asked | kAlways);
    if (mask == 0 || (entry.event.events & EPOLLET) != 0) entry.ready = false;
    if (mask == 0) continue;
    events[count].events = mask;
    events[count].data = entry.event.data;
    ++count;
    if ((entry.event.events & EPOLLONESHOT) != 0) entry.event.events &= kPrivateBits;
  }
  return static_cast<int64_t>(count);
}

CallResult PlugIn::EpollWait(int epoll_fd, epoll_event* events, int events_max, int timeout_ms) {
  const auto found = epolls_.find(epoll_fd);
  if (found == epolls_.end()) {
    return CallResult::Fail(Find(epoll_fd) != nullptr ? EINVAL : EBADF);
  }
  if (events_max <= 0) return CallResult::Fail(EINVAL);
  const std::span<epoll_event> room(events, static_cast<size_t>(events_max));
  return Complete(
      [this, epoll = found->second, room, timeout_ms]() -> std::optional<CallResult> {
        const int64_t count = HarvestEpoll(*epoll, room);
        if (count != 0 || timeout_ms == 0) return CallResult{count};
        return std::nullopt;
      },
      PollDeadline(timeout_ms, stack_->now()), CallResult{0});
}

// Something happened to the socket that `events` tell; 0: it may be anything.
void PlugIn::Wake(const Socket& socket, uint32_t events) {
  for (const auto& [fd, epoll] : epolls_) {
    EpollEntry* entry = epoll->Find(socket.fd);
    if (entry == nullptr) continue;
    if (events == 0 || (events & (entry->event.events | kAlways)) != 0) entry->ready = true;
  }
}

void PlugIn::ForgetInEpolls(int fd) {
  for (const auto& [epoll_fd, epoll] : epolls_) {
    std::erase_if(epoll->entries, [fd](const EpollEntry& entry) { return entry.fd == fd; });
  }
}

}  // namespace devmem::packetdrill
