// SPDX-License-Identifier: Apache-2.0
//
// recvmsg(2), sendmsg(2), setsockopt(2), shutdown(2).

#include "uapi/kernel_calls.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "uapi/tcp_socket.h"

namespace devmem {

ssize_t KernelCalls::ReceiveMessage(int socket, msghdr* message, int flags) {
  for (;;) {
    const ssize_t got = ::recvmsg(socket, message, flags);
    if (got >= 0) return got;
    if (errno != EINTR) return -errno;
  }
}

ssize_t KernelCalls::SendMessage(int socket, const msghdr* message, int flags) {
  for (;;) {
    const ssize_t sent = ::sendmsg(socket, message, flags);
    if (sent >= 0) return sent;
    if (errno != EINTR) return -errno;
  }
}

int KernelCalls::SetOption(int socket, int level, int name, const void* value, socklen_t bytes) {
  const int result = ::setsockopt(socket, level, name, value, bytes);
  return result >= 0 ? result : -errno;
}

int KernelCalls::UnreadBytes(int socket) {
  int unread = 0;
  return ::ioctl(socket, SIOCINQ, &unread) == 0 ? unread : 0;
}

void KernelCalls::EndStream(int socket, bool reset) {
  if (reset) {
    ResetSocket(socket);
  } else {
    (void)::shutdown(socket, SHUT_RDWR);
  }
}

KernelCalls& KernelCalls::System() {
  static KernelCalls calls;
  return calls;
}

}  // namespace devmem
