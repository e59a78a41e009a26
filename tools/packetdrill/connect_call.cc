// SPDX-License-Identifier: Apache-2.0
//
// connect(), as inet_stream_connect() of Linux: what it answers depends on what the user has been
// told before (Socket::Phase), not on the state of the connection alone.

#include <errno.h>
#include <netinet/in.h>

#include <utility>

#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {

void PlugIn::Disconnect(Socket& socket) {
  if (TcpConnection* connection = ConnectionOf(socket)) {
    stack_->engine().Abort(*connection, stack_->now());
    stack_->engine().Detach(*connection, stack_->now());
  }
  socket.connection.reset();
  socket.phase = Socket::Phase::kUnconnected;
  socket.ended = socket.receive_shut = socket.send_shut = false;
  socket.error = 0;
  socket.remote_port = 0;
}

CallResult PlugIn::StartConnect(Socket& socket, const IpAddress& remote, uint16_t port) {
  if (remote.is_multicast() || remote.is_broadcast()) return CallResult::Fail(ENETUNREACH);
  if (socket.bound && !socket.local.is_unspecified() && socket.local.is_v4() != remote.is_v4()) {
    return CallResult::Fail(ENETUNREACH);
  }
  if (socket.settings.v6_only && remote.is_v4()) return CallResult::Fail(ENETUNREACH);
  if (!socket.connection.has_value() && !socket.bound && remote.is_v4()) {
    socket.local = IpAddress::FromV4(0);
  }
  const CallResult bound = AutoBind(socket, remote, port);
  if (bound.error != 0) return bound;
  const FlowKey flow = {socket.local, remote, socket.local_port, port};
  const absl::StatusOr<ConnectionId> id = stack_->engine().Connect(
      flow, false, stack_->now(), SocketOptionsRef(OptionsOf(socket.settings)));
  if (!id.ok()) return CallResult::Fail(EADDRNOTAVAIL);
  socket.connection = *id;
  socket.remote = remote;
  socket.remote_port = port;
  socket.phase = Socket::Phase::kConnecting;
  socket.ended = socket.receive_shut = socket.send_shut = false;
  socket.seen_state = TcpState::kSynSent;
  return {};
}

// Nothing while the handshake is going on.
std::optional<CallResult> PlugIn::TryFinishConnect(Socket& socket) {
  const TcpState state = StateOf(socket);
  if (state == TcpState::kSynSent || state == TcpState::kSynReceived) return std::nullopt;
  if (state != TcpState::kClosed) {
    socket.phase = Socket::Phase::kConnected;
    return CallResult{};
  }
  const int error = TakeError(socket);
  Disconnect(socket);
  return CallResult::Fail(error != 0 ? error : ECONNABORTED);
}

CallResult PlugIn::Connect(int fd, const sockaddr* address, socklen_t bytes) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (address == nullptr || bytes < sizeof(sa_family_t)) return CallResult::Fail(EINVAL);
  if (address->sa_family == AF_UNSPEC) {
    if (socket->phase == Socket::Phase::kListening) LetGo(*socket);
    Disconnect(*socket);
    return {};
  }
  const auto named = ReadAddress(address, bytes);
  if (!named.has_value()) return CallResult::Fail(EINVAL);
  if (address->sa_family != socket->domain) return CallResult::Fail(EAFNOSUPPORT);
  int waiting_error = EALREADY;
  switch (socket->phase) {
    case Socket::Phase::kConnected:
    case Socket::Phase::kListening: return CallResult::Fail(EISCONN);
    case Socket::Phase::kConnecting: break;
    case Socket::Phase::kUnconnected: {
      const CallResult started = StartConnect(*socket, named->first, named->second);
      if (started.error != 0) return started;
      waiting_error = EINPROGRESS;
      break;
    }
  }
  return Complete(
      [this, socket, waiting_error]() -> std::optional<CallResult> {
        const std::optional<CallResult> finished = TryFinishConnect(*socket);
        if (finished.has_value() || !socket->nonblocking) return finished;
        return CallResult::Fail(waiting_error);
      },
      DeadlineAfter(socket->settings.send_timeout), CallResult::Fail(waiting_error));
}

}  // namespace devmem::packetdrill
