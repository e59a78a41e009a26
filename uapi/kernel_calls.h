// SPDX-License-Identifier: Apache-2.0
//
// The system calls of devmem TCP on a socket, as the kernel backend makes them. Tests put a kernel
// of their own in its place, which plays every case of Linux's
// Documentation/networking/devmem.rst. Any thread; nothing is kept.

#pragma once

#include <sys/socket.h>
#include <sys/types.h>

namespace devmem {

class KernelCalls {
 public:
  virtual ~KernelCalls() = default;

  // recvmsg(2) and sendmsg(2), repeated while a signal interrupts them: a count, or minus an errno.
  virtual ssize_t ReceiveMessage(int socket, msghdr* message, int flags);
  virtual ssize_t SendMessage(int socket, const msghdr* message, int flags);
  // setsockopt(2): what it returns, which for SO_DEVMEM_DONTNEED is a count, or minus an errno.
  virtual int SetOption(int socket, int level, int name, const void* value, socklen_t bytes);
  // Bytes that were received and not read.
  virtual int UnreadBytes(int socket);
  // Ends a stream for good while its descriptor stays open: with a RST, or with a FIN and a RST for
  // whatever the peer still sends.
  virtual void EndStream(int socket, bool reset);

  // The real thing; lives for ever.
  static KernelCalls& System();
};

}  // namespace devmem
