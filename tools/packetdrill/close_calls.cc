// SPDX-License-Identifier: Apache-2.0
//
// close(), shutdown(), fcntl() and ioctl().

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {

// The user gives up the socket; the engine ends the connection in order, or by RST when data was
// left unread.
void PlugIn::LetGo(Socket& socket) {
  for (const ListenerId id : socket.listeners) {
    (void)stack_->engine().CloseListener(id, stack_->now());
  }
  socket.listeners.clear();
  if (TcpConnection* connection = ConnectionOf(socket)) {
    stack_->engine().Detach(*connection, stack_->now());
  }
  socket.connection.reset();
  socket.phase = Socket::Phase::kUnconnected;
}

CallResult PlugIn::Close(int fd) {
  if (epolls_.erase(fd) != 0 || pipes_.erase(fd) != 0) {
    ::close(fd);
    return {};
  }
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  sockets_.erase(fd);
  ForgetInEpolls(fd);
  ::close(fd);
  TcpConnection* connection = ConnectionOf(*socket);
  const bool linger = socket->settings.linger && connection != nullptr;
  if (linger && socket->settings.linger_seconds == 0) {
    stack_->engine().Abort(*connection, stack_->now());
  }
  if (!linger || socket->settings.linger_seconds == 0 || !connection->receiver.in_order().empty()) {
    LetGo(*socket);
    Settle();
    return {};
  }
  // The FIN goes now; the call returns when it and everything before it is acknowledged, or at the
  // deadline, and the connection goes on by itself either way.
  stack_->engine().Shutdown(*connection, stack_->now());
  const CallResult result = Complete(
      [this, socket]() -> std::optional<CallResult> {
        const TcpState state = StateOf(*socket);
        if (state == TcpState::kFinWait1 || state == TcpState::kClosing ||
            state == TcpState::kLastAck) {
          return std::nullopt;
        }
        return CallResult{};
      },
      DeadlineAfter(socket->settings.linger_seconds * kSecond), CallResult{});
  LetGo(*socket);
  Settle();
  return result;
}

CallResult PlugIn::ShutdownSocket(int fd, int how) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (how < SHUT_RD || how > SHUT_RDWR) return CallResult::Fail(EINVAL);
  const bool stop_receiving = how != SHUT_WR;
  const bool stop_sending = how != SHUT_RD;
  if (socket->phase == Socket::Phase::kListening) {
    if (stop_receiving) LetGo(*socket);
    Settle();
    return {};
  }
  TcpConnection* connection = ConnectionOf(*socket);
  if (connection == nullptr || connection->state == TcpState::kClosed) {
    return CallResult::Fail(ENOTCONN);
  }
  if (connection->state == TcpState::kSynSent) {
    Disconnect(*socket);
    return {};
  }
  if (stop_receiving) socket->receive_shut = true;
  if (stop_sending) {
    socket->send_shut = true;
    stack_->engine().Shutdown(*connection, stack_->now());
  }
  Settle();
  return {};
}

CallResult PlugIn::Fcntl(int fd, int command, int argument) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  switch (command) {
    case F_GETFL: return {O_RDWR | (socket->nonblocking ? O_NONBLOCK : 0)};
    case F_SETFL: socket->nonblocking = (argument & O_NONBLOCK) != 0; return {};
    case F_GETFD: return {FD_CLOEXEC};
    case F_SETFD: return {};
    default: return CallResult::Fail(EINVAL);
  }
}

CallResult PlugIn::Ioctl(int fd, unsigned long request, void* argument) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (argument == nullptr) return CallResult::Fail(EFAULT);
  const TcpConnection* connection = ConnectionOf(*socket);
  int* value = static_cast<int*>(argument);
  switch (request) {
    case FIONBIO: socket->nonblocking = *value != 0; return {};
    case FIONREAD:  // The same number as SIOCINQ.
      if (socket->phase == Socket::Phase::kListening) return CallResult::Fail(EINVAL);
      *value =
          connection == nullptr ? 0 : static_cast<int>(connection->receiver.in_order().bytes());
      return {};
    case SIOCOUTQ: {
      if (socket->phase == Socket::Phase::kListening) return CallResult::Fail(EINVAL);
      const bool open = connection != nullptr && connection->state != TcpState::kSynSent;
      *value = open ? static_cast<int>(connection->sender.buffer().size()) : 0;
      return {};
    }
    case SIOCOUTQNSD: {
      if (socket->phase == Socket::Phase::kListening) return CallResult::Fail(EINVAL);
      const bool open = connection != nullptr && connection->sender.syn_acked();
      const uint32_t flight =
          open ? connection->sender.snd_max().value() - connection->sender.snd_una().value() : 0;
      const size_t queued = open ? connection->sender.buffer().size() : 0;
      *value = static_cast<int>(queued - std::min<size_t>(queued, flight));
      return {};
    }
    default: return CallResult::Fail(ENOTTY);
  }
}

}  // namespace devmem::packetdrill
