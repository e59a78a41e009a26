// SPDX-License-Identifier: Apache-2.0
//
// Kernel TCP sockets for the backends over them: opening, naming, resetting. All system calls of a
// connection's set-up are here, and so are the messages of their refusals. Any thread; nothing is
// kept.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/wire/ip_address.h"
#include "provider/unique_fd.h"
#include "uapi/socket_queue.h"

namespace devmem {

// A non-blocking socket on an address of this machine, with its port, which does not listen yet: so
// that the NIC can be told where its connections go before the first of them arrives.
// Errors: kInvalidArgument (no address), kFailedPrecondition (not an address of this machine),
// kAlreadyExists (port in use), kPermissionDenied (a port below 1024 without the right).
absl::StatusOr<UniqueFd> BindListener(absl::string_view address, uint16_t port);
absl::Status StartListening(int socket, uint32_t backlog);
// Both at once, for those who have no NIC to tell.
absl::StatusOr<UniqueFd> OpenListener(absl::string_view address, uint16_t port, uint32_t backlog);

// The next connection that arrived; an fd that is not valid when there is none.
absl::StatusOr<UniqueFd> AcceptSocket(int listener);

struct Dial {
  std::string address;
  uint16_t port = 0;
  std::string local_address;  // Empty: the kernel's choice.
  uint16_t local_port = 0;    // 0: the kernel's choice.
};
// A non-blocking socket that is not yet connected. With `name_local` its address and port are
// chosen now, before the SYN, as the route to the peer has them.
absl::StatusOr<UniqueFd> PrepareConnect(const Dial& dial, bool name_local);
// Begins to connect, without waiting. The socket becomes writable when ConnectResult() is known.
absl::Status BeginConnect(int socket, const Dial& dial);
// Both at once.
absl::StatusOr<UniqueFd> StartConnect(const Dial& dial);
absl::Status ConnectResult(int socket, const Dial& dial);

// An epoll that is readable while `socket` is writable: a session's clock waits for readable
// descriptors only.
absl::StatusOr<UniqueFd> WatchWritable(int socket);
bool IsReadable(int fd);

// recv() without waiting. Of SocketQueue's outcomes: kBytes, kEnd, kEmpty, kBroken.
SocketQueue::Received ReadSocket(int socket, std::span<uint8_t> to);

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
};
// Nothing for a socket that is not bound (or not connected). The unspecified address stands for
// every address of this machine.
std::optional<Endpoint> LocalEnd(int socket);
std::optional<Endpoint> RemoteEnd(int socket);
// The port that a socket has, which the kernel chose where 0 was asked for.
uint16_t LocalPort(int socket);
// "192.0.2.2:5201" or "[2001:db8::2]:5201"; "none" for a socket that is not connected.
std::string LocalEndpoint(int socket);
std::string RemoteEndpoint(int socket);

// RFC 9293's name of the kernel's state for this connection.
absl::string_view TcpStateOf(int socket);
// Bytes sent and not yet acknowledged, a FIN counted as one.
uint32_t UnacknowledgedBytes(int socket);

// Sends a RST and drops what was not read; the descriptor stays open, so that no other thread can
// meet its number again. connect(2) with AF_UNSPEC does it.
void ResetSocket(int socket);

}  // namespace devmem
