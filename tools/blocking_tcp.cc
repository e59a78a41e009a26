// SPDX-License-Identifier: Apache-2.0
//
// See blocking_tcp.h.

#include "tools/blocking_tcp.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "uapi/tcp_socket.h"

namespace devmem {
namespace {

absl::Status WaitFor(int fd, short events) {
  pollfd polled{fd, events, 0};
  while (::poll(&polled, 1, -1) < 0) {
    const int err = errno;
    if (err != EINTR) return ErrnoToStatus(err, "cannot wait for a socket");
  }
  return absl::OkStatus();
}

absl::Status MakeBlocking(int fd) {
  if (::fcntl(fd, F_SETFL, 0) == 0) return absl::OkStatus();
  const int err = errno;
  return ErrnoToStatus(err, "cannot make a socket blocking");
}

}  // namespace

absl::StatusOr<UniqueFd> AcceptOne(const std::string& address, uint16_t port, int ready_fd) {
  const absl::StatusOr<UniqueFd> listener = OpenListener(address, port, 1);
  if (!listener.ok()) return listener.status();
  if (ready_fd >= 0) {
    (void)!::write(ready_fd, "\n", 1);
    ::close(ready_fd);
  }
  for (;;) {
    absl::Status status = WaitFor(listener->get(), POLLIN);
    if (!status.ok()) return status;
    absl::StatusOr<UniqueFd> accepted = AcceptSocket(listener->get());
    if (accepted.ok() && !accepted->valid()) continue;
    if (accepted.ok()) status = MakeBlocking(accepted->get());
    return status.ok() ? std::move(accepted) : status;
  }
}

absl::StatusOr<UniqueFd> ConnectTo(const std::string& address, uint16_t port,
                                   const std::string& congestion_control) {
  const Dial dial{.address = address, .port = port, .local_address = "", .local_port = 0};
  absl::StatusOr<UniqueFd> socket = StartConnect(dial);
  if (!socket.ok()) return socket.status();
  absl::Status status = WaitFor(socket->get(), POLLOUT);
  if (status.ok()) status = ConnectResult(socket->get(), dial);
  if (status.ok()) status = MakeBlocking(socket->get());
  if (!status.ok()) return status;
  if (!congestion_control.empty() &&
      ::setsockopt(socket->get(), IPPROTO_TCP, TCP_CONGESTION, congestion_control.data(),
                   static_cast<socklen_t>(congestion_control.size())) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("no congestion control \"", congestion_control,
                                           "\" (net.ipv4.tcp_available_congestion_control)"));
  }
  return socket;
}

}  // namespace devmem
