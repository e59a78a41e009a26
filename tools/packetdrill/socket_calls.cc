// SPDX-License-Identifier: Apache-2.0
//
// socket(), bind(), listen() and accept(), with the errors of Linux (net/ipv4/af_inet.c and
// net/ipv4/inet_connection_sock.c).

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "tools/packetdrill/limits.h"
#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {

std::optional<std::pair<IpAddress, uint16_t>> PlugIn::ReadAddress(const sockaddr* address,
                                                                  socklen_t bytes) {
  if (address == nullptr || bytes < sizeof(sa_family_t)) return std::nullopt;
  if (address->sa_family == AF_INET && bytes >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof(in));
    return std::pair(IpAddress::FromV4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port));
  }
  // SIN6_LEN_RFC2133: the scope id may be missing.
  constexpr socklen_t kIn6BytesMin = 24;
  if (address->sa_family == AF_INET6 && bytes >= kIn6BytesMin) {
    sockaddr_in6 in6;
    std::memset(&in6, 0, sizeof(in6));
    std::memcpy(&in6, address, std::min<size_t>(bytes, sizeof(in6)));
    return std::pair(IpAddress::FromV6(in6.sin6_addr.s6_addr), ntohs(in6.sin6_port));
  }
  return std::nullopt;
}

void PlugIn::WriteAddress(const Socket& socket, const IpAddress& ip, uint16_t port,
                          sockaddr* address, socklen_t* bytes) {
  if (address == nullptr || bytes == nullptr) return;
  if (socket.domain == AF_INET) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(ip.v4());
    std::memcpy(address, &in, std::min<size_t>(*bytes, sizeof(in)));
    *bytes = sizeof(in);
    return;
  }
  sockaddr_in6 in6 = {};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(port);
  ip.StoreTo(in6.sin6_addr.s6_addr);
  std::memcpy(address, &in6, std::min<size_t>(*bytes, sizeof(in6)));
  *bytes = sizeof(in6);
}

CallResult PlugIn::OpenSocket(int domain, int type, int protocol) {
  if (domain != AF_INET && domain != AF_INET6) return CallResult::Fail(EAFNOSUPPORT);
  const int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (kind < 0 || kind > SOCK_PACKET) return CallResult::Fail(EINVAL);
  if (kind != SOCK_STREAM) return CallResult::Fail(ESOCKTNOSUPPORT);
  if (protocol != 0 && protocol != IPPROTO_TCP) return CallResult::Fail(EPROTONOSUPPORT);
  if (knobs_.of_machine && !machine_asked_) TakeMachineKnobs();
  const std::shared_ptr<Socket> socket = AddSocket(domain, (type & SOCK_NONBLOCK) != 0);
  if (socket == nullptr) return CallResult::Fail(errno);
  SocketSettings& settings = socket->settings;
  settings.receive_buffer_bytes = knobs_.rmem_bytes[1];
  settings.send_buffer_bytes = knobs_.wmem_bytes[1];
  settings.keepalive_time = knobs_.keepalive_time;
  settings.keepalive_interval = knobs_.keepalive_interval;
  settings.keepalive_probes = knobs_.keepalive_probes;
  return {socket->fd};
}

bool PlugIn::PortIsTaken(const Socket& asking, const IpAddress& local, uint16_t port) const {
  for (const auto& [fd, other] : sockets_) {
    if (other.get() == &asking || !other->bound || other->local_port != port) continue;
    const bool same_family = other->local.is_v4() == local.is_v4();
    const bool overlap = other->local == local || other->local.is_unspecified() ||
                         (local.is_unspecified() && (same_family || !local.is_v4()));
    if (!overlap || (!same_family && !other->local.is_unspecified())) continue;
    const SocketSettings& mine = asking.settings;
    const SocketSettings& theirs = other->settings;
    const bool both_reuse =
        mine.reuse_address && theirs.reuse_address && other->phase != Socket::Phase::kListening;
    if (!both_reuse && !(mine.reuse_port && theirs.reuse_port)) return true;
  }
  return false;
}

CallResult PlugIn::Bind(int fd, const sockaddr* address, socklen_t bytes) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  const auto named = ReadAddress(address, bytes);
  if (!named.has_value()) return CallResult::Fail(EINVAL);
  if (address->sa_family != socket->domain) return CallResult::Fail(EAFNOSUPPORT);
  const auto& [ip, port] = *named;
  if (socket->bound || socket->phase != Socket::Phase::kUnconnected) {
    return CallResult::Fail(EINVAL);
  }
  if (ip.is_v4() && socket->domain == AF_INET6 && socket->settings.v6_only) {
    return CallResult::Fail(EINVAL);
  }
  if (ip.is_multicast() || ip.is_broadcast()) return CallResult::Fail(EADDRNOTAVAIL);
  if (port == 0) {
    socket->local = ip;
    return AutoBind(*socket, ip, 0);
  }
  if (PortIsTaken(*socket, ip, port)) return CallResult::Fail(EADDRINUSE);
  socket->bound = true;
  socket->local = ip;
  socket->local_port = port;
  stack_->LearnAddress(ip);
  return {};
}

// A port of Linux's ephemeral range, and for a connection an address that is the stack's.
CallResult PlugIn::AutoBind(Socket& socket, const IpAddress& remote, uint16_t remote_port) {
  constexpr uint16_t kFirst = 32768;
  constexpr uint16_t kCount = 60999 - kFirst + 1;
  if (remote_port != 0 && socket.local.is_unspecified()) {
    socket.local = stack_->LocalAddressFor(remote);
  }
  if (socket.bound) return {};
  for (uint32_t tries = 0; tries < kCount; ++tries) {
    const uint16_t port = static_cast<uint16_t>(kFirst + next_port_);
    next_port_ = static_cast<uint16_t>((next_port_ + 1) % kCount);
    if (PortIsTaken(socket, socket.local, port)) continue;
    const FlowKey flow = {socket.local, remote, port, remote_port};
    if (remote_port != 0 && stack_->engine().InUse(flow)) continue;
    socket.bound = true;
    socket.local_port = port;
    return {};
  }
  return CallResult::Fail(remote_port == 0 ? EADDRINUSE : EADDRNOTAVAIL);
}

CallResult PlugIn::Listen(int fd, int backlog) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (socket->phase == Socket::Phase::kListening) return {};
  if (socket->phase != Socket::Phase::kUnconnected) return CallResult::Fail(EINVAL);
  if (!socket->bound) {
    if (socket->domain == AF_INET) socket->local = IpAddress::FromV4(0);
    const CallResult bound = AutoBind(*socket, socket->local, 0);
    if (bound.error != 0) return bound;
  }
  const uint32_t asked = backlog < 0 ? knobs_.somaxconn : static_cast<uint32_t>(backlog);
  const uint32_t places = std::max(std::min({asked, knobs_.somaxconn, kBacklogMax}), 1u);
  std::vector<IpAddress> addresses = {socket->local};
  const bool any_v6 = socket->local.is_unspecified() && !socket->local.is_v4();
  if (any_v6 && !socket->settings.v6_only) addresses.push_back(IpAddress::FromV4(0));
  for (const IpAddress& address : addresses) {
    const absl::StatusOr<ListenerId> id =
        stack_->engine().Listen(address, socket->local_port, places, false);
    if (id.ok()) {
      socket->listeners.push_back(*id);
      continue;
    }
    LetGo(*socket);
    return CallResult::Fail(EADDRINUSE);
  }
  socket->phase = Socket::Phase::kListening;
  ApplySettings(*socket);
  return {};
}

std::optional<CallResult> PlugIn::TryAccept(Socket& listener) {
  for (const ListenerId id : listener.listeners) {
    const std::optional<ConnectionId> taken = stack_->engine().Accept(id);
    if (!taken.has_value()) continue;
    const std::shared_ptr<Socket> socket = AddSocket(listener.domain, false);
    if (socket == nullptr) return CallResult::Fail(EMFILE);
    const TcpConnection& connection = *stack_->engine().Find(*taken);
    socket->connection = taken;
    socket->phase = Socket::Phase::kConnected;
    socket->settings = listener.settings;
    socket->bound = true;
    socket->local = connection.flow.local;
    socket->local_port = connection.flow.local_port;
    socket->remote = connection.flow.remote;
    socket->remote_port = connection.flow.remote_port;
    socket->seen_state = connection.state;
    socket->opened_at = stack_->now();
    socket->first_target_bytes = connection.window_target_bytes;
    socket->limits.since = stack_->now();
    socket->receive_shut = HasPeerFin(connection.state);
    ApplySettings(*socket);
    return CallResult{socket->fd};
  }
  return std::nullopt;
}

CallResult PlugIn::Accept(int fd, sockaddr* address, socklen_t* bytes) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (socket->phase != Socket::Phase::kListening) return CallResult::Fail(EINVAL);
  const CallResult result = Complete(
      [this, socket]() -> std::optional<CallResult> {
        if (socket->phase != Socket::Phase::kListening) return CallResult::Fail(EINVAL);
        const std::optional<CallResult> taken = TryAccept(*socket);
        if (taken.has_value() || !socket->nonblocking) return taken;
        return CallResult::Fail(EAGAIN);
      },
      DeadlineAfter(socket->settings.receive_timeout), CallResult::Fail(EAGAIN));
  if (result.error != 0) return result;
  const std::shared_ptr<Socket> accepted = Find(static_cast<int>(result.value));
  if (accepted != nullptr) {
    WriteAddress(*accepted, accepted->remote, accepted->remote_port, address, bytes);
  }
  return result;
}

}  // namespace devmem::packetdrill
