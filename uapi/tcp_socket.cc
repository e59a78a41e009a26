// SPDX-License-Identifier: Apache-2.0
//
// socket(7), tcp(7), getifaddrs(3).

#include "uapi/tcp_socket.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "netmem/wire/ip_address.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress Encode(const IpAddress& address, uint16_t port) {
  SocketAddress encoded;
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(address.v4());
    std::memcpy(&encoded.storage, &v4, sizeof(v4));
    encoded.bytes = sizeof(v4);
    return encoded;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  address.StoreTo(v6.sin6_addr.s6_addr);
  std::memcpy(&encoded.storage, &v6, sizeof(v6));
  encoded.bytes = sizeof(v6);
  return encoded;
}

std::optional<IpAddress> DecodeAddress(const sockaddr* from) {
  if (from == nullptr) return std::nullopt;
  if (from->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, from, sizeof(v4));
    return IpAddress::FromV4(ntohl(v4.sin_addr.s_addr));
  }
  if (from->sa_family != AF_INET6) return std::nullopt;
  sockaddr_in6 v6;
  std::memcpy(&v6, from, sizeof(v6));
  return IpAddress::FromV6(v6.sin6_addr.s6_addr);
}

uint16_t DecodePort(const SocketAddress& from) {
  // The port stands at the same place in both families.
  sockaddr_in v4;
  std::memcpy(&v4, &from.storage, sizeof(v4));
  return ntohs(v4.sin_port);
}

std::string Text(const IpAddress& address, uint16_t port) {
  return address.is_v4() ? absl::StrCat(address.ToString(), ":", port)
                         : absl::StrCat("[", address.ToString(), "]:", port);
}

using GetName = int (*)(int, sockaddr*, socklen_t*);

std::optional<Endpoint> End(int socket, GetName get_name) {
  SocketAddress name;
  if (get_name(socket, name.get(), &name.bytes) != 0) return std::nullopt;
  const std::optional<IpAddress> address = DecodeAddress(name.get());
  if (!address.has_value()) return std::nullopt;
  return Endpoint{*address, DecodePort(name)};
}

std::string EndText(int socket, GetName get_name) {
  const std::optional<Endpoint> end = End(socket, get_name);
  return end.has_value() ? Text(end->address, end->port) : "none";
}

// The addresses of this machine, or rather of this network namespace, for a message.
std::string OurAddresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return "unknown";
  std::set<std::string> texts;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    const std::optional<IpAddress> address = DecodeAddress(entry->ifa_addr);
    if (address.has_value()) texts.insert(address->ToString());
  }
  freeifaddrs(list);
  return texts.empty() ? "none" : absl::StrJoin(texts, ", ");
}

absl::StatusOr<IpAddress> ParseOrRefuse(absl::string_view text) {
  const std::optional<IpAddress> address = ParseIpAddress(text);
  if (!address.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" is no IP address; write one like 192.0.2.2 or 2001:db8::2, no name"));
  }
  return *address;
}

absl::Status ExplainBind(int err, const IpAddress& address, uint16_t port) {
  const std::string at = Text(address, port);
  switch (err) {
    case EADDRNOTAVAIL:
      return absl::FailedPreconditionError(absl::StrCat(
          address.ToString(), " is not an address of this machine, which has ", OurAddresses(),
          "; use one of these, or add it to an interface (`ip address add`)"));
    case EADDRINUSE:
      return absl::AlreadyExistsError(absl::StrCat(
          "port ", port, " of ", address.ToString(),
          " is in use by another socket (`ss -ltnp` names it); choose another port, or 0"));
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat(
          "port ", port, " is below 1024 and needs CAP_NET_BIND_SERVICE; choose a higher one"));
    default: return ErrnoToStatus(err, absl::StrCat("cannot bind a socket to ", at));
  }
}

absl::StatusOr<UniqueFd> OpenSocket(const IpAddress& address) {
  UniqueFd fd(::socket(address.is_v4() ? AF_INET : AF_INET6,
                       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("cannot open a TCP socket for ", address.ToString()));
  }
  return fd;
}

// A port in TIME-WAIT may be listened on again at once, as every server wants.
absl::Status BindSocket(int socket, const IpAddress& address, uint16_t port) {
  const int on = 1;
  (void)::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  SocketAddress encoded = Encode(address, port);
  if (::bind(socket, encoded.get(), encoded.bytes) == 0) return absl::OkStatus();
  return ExplainBind(errno, address, port);
}

// The address with which this machine speaks to `peer`. Connecting a datagram socket sends nothing;
// it asks for the route.
absl::StatusOr<IpAddress> SourceAddress(const IpAddress& peer, uint16_t port) {
  const UniqueFd probe(
      ::socket(peer.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP));
  SocketAddress encoded = Encode(peer, port);
  if (!probe.valid() || ::connect(probe.get(), encoded.get(), encoded.bytes) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("cannot find a route to ", peer.ToString(),
                                           " (`ip route get` shows what the kernel would do)"));
  }
  const std::optional<Endpoint> end = End(probe.get(), ::getsockname);
  if (!end.has_value()) return absl::UnavailableError("the kernel does not name a source address");
  return end->address;
}

}  // namespace

absl::StatusOr<UniqueFd> BindListener(absl::string_view address, uint16_t port) {
  const absl::StatusOr<IpAddress> parsed = ParseOrRefuse(address);
  if (!parsed.ok()) return parsed.status();
  absl::StatusOr<UniqueFd> socket = OpenSocket(*parsed);
  if (!socket.ok()) return socket.status();
  const absl::Status bound = BindSocket(socket->get(), *parsed, port);
  if (!bound.ok()) return bound;
  return socket;
}

absl::Status StartListening(int socket, uint32_t backlog) {
  const int backlog_max = static_cast<int>(std::min<uint32_t>(backlog, 1u << 20));
  if (::listen(socket, backlog_max) == 0) return absl::OkStatus();
  const int err = errno;
  const std::optional<Endpoint> end = LocalEnd(socket);
  if (!end.has_value()) return ErrnoToStatus(err, "cannot listen on a socket");
  return ExplainBind(err, end->address, end->port);
}

absl::StatusOr<UniqueFd> OpenListener(absl::string_view address, uint16_t port, uint32_t backlog) {
  absl::StatusOr<UniqueFd> socket = BindListener(address, port);
  if (!socket.ok()) return socket.status();
  const absl::Status listening = StartListening(socket->get(), backlog);
  if (!listening.ok()) return listening;
  return socket;
}

absl::StatusOr<UniqueFd> AcceptSocket(int listener) {
  for (;;) {
    UniqueFd accepted(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted.valid()) return accepted;
    const int err = errno;
    // A connection that was reset before anybody took it is not the listener's failure.
    if (err == EINTR || err == ECONNABORTED) continue;
    if (err == EAGAIN) return UniqueFd();
    return ErrnoToStatus(err, "cannot accept a connection");
  }
}

absl::StatusOr<UniqueFd> PrepareConnect(const Dial& dial, bool name_local) {
  const absl::StatusOr<IpAddress> peer = ParseOrRefuse(dial.address);
  if (!peer.ok()) return peer.status();
  absl::StatusOr<UniqueFd> socket = OpenSocket(*peer);
  if (!socket.ok()) return socket.status();
  if (dial.local_address.empty() && dial.local_port == 0 && !name_local) return socket;
  absl::StatusOr<IpAddress> local = ParseOrRefuse(peer->is_v4() ? "0.0.0.0" : "::");
  if (!dial.local_address.empty()) {
    local = ParseOrRefuse(dial.local_address);
  } else if (name_local) {
    local = SourceAddress(*peer, dial.port);
  }
  if (!local.ok()) return local.status();
  const absl::Status bound = BindSocket(socket->get(), *local, dial.local_port);
  if (!bound.ok()) return bound;
  return socket;
}

absl::Status BeginConnect(int socket, const Dial& dial) {
  const absl::StatusOr<IpAddress> peer = ParseOrRefuse(dial.address);
  if (!peer.ok()) return peer.status();
  SocketAddress encoded = Encode(*peer, dial.port);
  if (::connect(socket, encoded.get(), encoded.bytes) == 0) return absl::OkStatus();
  const int err = errno;
  if (err == EINPROGRESS || err == EINTR) return absl::OkStatus();
  return ErrnoToStatus(err, absl::StrCat("cannot connect to ", Text(*peer, dial.port)));
}

absl::StatusOr<UniqueFd> StartConnect(const Dial& dial) {
  absl::StatusOr<UniqueFd> socket = PrepareConnect(dial, false);
  if (!socket.ok()) return socket.status();
  const absl::Status begun = BeginConnect(socket->get(), dial);
  if (!begun.ok()) return begun;
  return socket;
}

absl::Status ConnectResult(int socket, const Dial& dial) {
  int err = 0;
  socklen_t bytes = sizeof(err);
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &err, &bytes) != 0) err = errno;
  if (err == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "cannot connect to ", dial.address, " port ", dial.port, ": ", std::strerror(err),
      "; check that the peer listens there and that a route leads to it"));
}

absl::StatusOr<UniqueFd> WatchWritable(int socket) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, "cannot create an epoll descriptor to wait for room to send");
  }
  epoll_event event{};
  event.events = EPOLLOUT;
  (void)::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, socket, &event);
  return epoll;
}

bool IsReadable(int fd) {
  pollfd polled{fd, POLLIN, 0};
  return ::poll(&polled, 1, 0) == 1;
}

SocketQueue::Received ReadSocket(int socket, std::span<uint8_t> to) {
  using Outcome = SocketQueue::Outcome;
  for (;;) {
    const ssize_t got = ::recv(socket, to.data(), to.size(), MSG_DONTWAIT);
    if (got > 0) return {.outcome = Outcome::kBytes, .bytes = static_cast<uint64_t>(got)};
    if (got == 0) return {.outcome = Outcome::kEnd};
    const int err = errno;
    if (err == EAGAIN) return {.outcome = Outcome::kEmpty};
    if (err != EINTR) return {.outcome = Outcome::kBroken, .error = err};
  }
}

uint16_t LocalPort(int socket) {
  const std::optional<Endpoint> end = LocalEnd(socket);
  return end.has_value() ? end->port : uint16_t{0};
}

std::optional<Endpoint> LocalEnd(int socket) { return End(socket, ::getsockname); }
std::optional<Endpoint> RemoteEnd(int socket) { return End(socket, ::getpeername); }
std::string LocalEndpoint(int socket) { return EndText(socket, ::getsockname); }
std::string RemoteEndpoint(int socket) { return EndText(socket, ::getpeername); }

absl::string_view TcpStateOf(int socket) {
  // In the order of the kernel's numbers, which begin at 1 (include/net/tcp_states.h).
  static constexpr std::array<absl::string_view, 12> kNames = {
      "CLOSED",    "ESTABLISHED", "SYN-SENT",   "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2",
      "TIME-WAIT", "CLOSED",      "CLOSE-WAIT", "LAST-ACK",     "LISTEN",     "CLOSING"};
  tcp_info info{};
  socklen_t bytes = sizeof(info);
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0) return kNames[0];
  return info.tcpi_state < kNames.size() ? kNames[info.tcpi_state] : kNames[0];
}

uint32_t UnacknowledgedBytes(int socket) {
  int queued = 0;
  return ::ioctl(socket, SIOCOUTQ, &queued) == 0 && queued > 0 ? static_cast<uint32_t>(queued) : 0;
}

void ResetSocket(int socket) {
  sockaddr unspecified{};
  unspecified.sa_family = AF_UNSPEC;
  (void)::connect(socket, &unspecified, sizeof(unspecified));
}

}  // namespace devmem
