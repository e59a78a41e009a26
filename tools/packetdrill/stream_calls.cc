// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing, in the order in which tcp_recvmsg() and tcp_sendmsg() of Linux look at
// things: received data comes before an error, an error before the end of the stream.

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {
namespace {

size_t BytesOf(std::span<const iovec> iov) {
  size_t bytes = 0;
  for (const iovec& part : iov) bytes += part.iov_len;
  return bytes;
}

// `iov` without its first `bytes`.
std::vector<iovec> SkipFront(std::span<const iovec> iov, size_t bytes) {
  std::vector<iovec> rest;
  for (const iovec& part : iov) {
    const size_t skipped = std::min(bytes, part.iov_len);
    bytes -= skipped;
    if (skipped == part.iov_len) continue;
    rest.push_back({static_cast<uint8_t*>(part.iov_base) + skipped, part.iov_len - skipped});
  }
  return rest;
}

bool HasNullBuffer(std::span<const iovec> iov) {
  return std::any_of(iov.begin(), iov.end(), [](const iovec& part) {
    return part.iov_base == nullptr && part.iov_len != 0;
  });
}

}  // namespace

CallResult PlugIn::Receive(int fd, std::span<const iovec> iov, int flags) {
  if (pipes_.count(fd) != 0) return ReadPipe(fd, iov);
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (socket->phase == Socket::Phase::kListening) return CallResult::Fail(ENOTCONN);
  if ((flags & MSG_ERRQUEUE) != 0) return CallResult::Fail(EAGAIN);
  if ((flags & MSG_OOB) != 0) return CallResult::Fail(EINVAL);
  const size_t wanted = BytesOf(iov);
  const bool discard = (flags & MSG_TRUNC) != 0;
  const bool peek = (flags & MSG_PEEK) != 0;
  const bool wait = !socket->nonblocking && (flags & MSG_DONTWAIT) == 0;
  const size_t target =
      (flags & MSG_WAITALL) != 0
          ? wanted
          : std::min<size_t>(wanted, std::max(socket->settings.low_water_bytes, 1u));
  size_t copied = 0;
  return Complete(
      [&, socket, wanted, target]() -> std::optional<CallResult> {
        TcpConnection* connection = ConnectionOf(*socket);
        const size_t queued = connection == nullptr ? 0 : connection->receiver.in_order().bytes();
        const size_t ready = std::min<size_t>(wanted - (peek ? 0 : copied), queued);
        if (ready != 0 && !discard && HasNullBuffer(iov)) return CallResult::Fail(EFAULT);
        if (ready != 0 && !discard) {
          const std::vector<iovec> room = SkipFront(iov, peek ? 0 : copied);
          (void)stack_->CopyReceived(*connection, 0, room);
        }
        if (ready != 0 && !peek) stack_->Consume(*connection, ready);
        copied = peek ? ready : copied + ready;
        if (copied >= target && (copied != 0 || wanted == 0)) {
          return CallResult{static_cast<int64_t>(copied)};
        }
        const bool over = socket->error != 0 || socket->receive_shut || connection == nullptr;
        if (copied != 0) {
          if (over || !wait) return CallResult{static_cast<int64_t>(copied)};
          return std::nullopt;
        }
        if (socket->error != 0) return CallResult::Fail(TakeError(*socket));
        if (socket->receive_shut) return CallResult{0};
        if (connection == nullptr) return CallResult::Fail(ENOTCONN);
        if (!wait) return CallResult::Fail(EAGAIN);
        return std::nullopt;
      },
      DeadlineAfter(socket->settings.receive_timeout), CallResult::Fail(EAGAIN));
}

void PlugIn::WriteControl(int fd, msghdr* message) {
  const size_t room = message->msg_control == nullptr ? 0 : message->msg_controllen;
  message->msg_controllen = 0;
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr || !socket->settings.report_unread) return;
  if (room < CMSG_SPACE(sizeof(int))) {
    if (room != 0) message->msg_flags |= MSG_CTRUNC;
    return;
  }
  const TcpConnection* connection = ConnectionOf(*socket);
  int unread =
      connection == nullptr ? 0 : static_cast<int>(connection->receiver.in_order().bytes());
  // The end of the stream counts as one byte: there is something to read.
  if (unread == 0 && socket->receive_shut) unread = 1;
  auto* control = static_cast<cmsghdr*>(message->msg_control);
  control->cmsg_level = SOL_TCP;
  control->cmsg_type = TCP_INQ;  // TCP_CM_INQ is the same number.
  control->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(control), &unread, sizeof(unread));
  message->msg_controllen = CMSG_SPACE(sizeof(int));
}

// Queues what there is room for, and lets it go out as it is queued: that makes room for more.
size_t PlugIn::QueueParts(Socket& socket, TcpConnection& connection, std::span<const iovec> parts) {
  size_t queued = 0;
  for (const iovec& part : parts) {
    std::span<const uint8_t> data(static_cast<const uint8_t*>(part.iov_base), part.iov_len);
    while (!data.empty()) {
      const size_t room = std::min(SendRoom(socket, connection), data.size());
      if (room == 0) return queued;
      const size_t taken = stack_->engine().Send(connection, data.first(room), stack_->now());
      queued += taken;
      socket.begun_bytes += taken;
      data = data.subspan(taken);
      if (taken < room) return queued;
      if (!data.empty()) stack_->Flush();
    }
  }
  return queued;
}

CallResult PlugIn::Send(int fd, std::span<const iovec> iov, int flags) {
  if (pipes_.count(fd) != 0) return WritePipe(fd, iov);
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if ((flags & MSG_OOB) != 0) return CallResult::Fail(EOPNOTSUPP);
  const size_t wanted = BytesOf(iov);
  const bool wait = !socket->nonblocking && (flags & MSG_DONTWAIT) == 0;
  size_t sent = 0;
  bool waited = false;
  // More is to come: what is no full segment waits for it, this time.
  const bool more = (flags & MSG_MORE) != 0;
  if (TcpConnection* connection = ConnectionOf(*socket)) {
    connection->sender.set_more_follows(more);
    connection->sender.set_cork(more || socket->settings.cork);
  }
  const CallResult result = Complete(
      [&, socket, wanted]() -> std::optional<CallResult> {
        TcpConnection* connection = ConnectionOf(*socket);
        const TcpState state = StateOf(*socket);
        if (socket->error != 0 || socket->send_shut || state == TcpState::kClosed ||
            state == TcpState::kListen) {
          if (sent != 0) return CallResult{static_cast<int64_t>(sent)};
          const int error = TakeError(*socket);
          return CallResult::Fail(error != 0 ? error : EPIPE);
        }
        const bool opening = state == TcpState::kSynSent || state == TcpState::kSynReceived;
        if (!opening && HasNullBuffer(iov)) return CallResult::Fail(EFAULT);
        // Who waits for room is woken when there is plenty.
        const bool enough = !waited || opening || IsWritable(*socket, *connection);
        if (!opening && enough) sent += QueueParts(*socket, *connection, SkipFront(iov, sent));
        if (sent == wanted && !opening) {
          if ((flags & MSG_EOR) != 0) connection->sender.EndRecord();
          return CallResult{static_cast<int64_t>(sent)};
        }
        socket->wants_space = true;
        waited = true;
        if (wait) return std::nullopt;
        return sent != 0 ? CallResult{static_cast<int64_t>(sent)} : CallResult::Fail(EAGAIN);
      },
      DeadlineAfter(socket->settings.send_timeout), CallResult::Fail(EAGAIN));
  if (TcpConnection* connection = ConnectionOf(*socket)) {
    connection->sender.set_cork(socket->settings.cork);
  }
  return result;
}

CallResult PlugIn::SendTo(int fd, std::span<const iovec> iov, int flags, const sockaddr* address,
                          socklen_t bytes) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  // TCP Fast Open is not offered; the address of a connected socket is ignored, as Linux does.
  if ((flags & MSG_FASTOPEN) != 0) return CallResult::Fail(EOPNOTSUPP);
  (void)address;
  (void)bytes;
  return Send(fd, iov, flags);
}

}  // namespace devmem::packetdrill
