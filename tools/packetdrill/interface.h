// SPDX-License-Identifier: Apache-2.0
//
// The table of functions by which packetdrill (https://github.com/google/packetdrill, option
// --so_filename) drives a TCP stack that lives in a shared object. Declared here from the
// interface's documentation: packetdrill hands an empty table to packetdrill_interface_init(), the
// plug-in fills it in, and each member is then called with `userdata` first and the arguments of
// the system call of its name behind it; errors are -1 and errno. Names and order are packetdrill's
// ABI. The members are called on packetdrill's two threads; see plugin.h.

#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>

extern "C" {

struct packetdrill_interface {
  void* userdata;
  void (*free)(void* userdata);
  int (*socket)(void* userdata, int domain, int type, int protocol);
  int (*bind)(void* userdata, int fd, const struct sockaddr* address, socklen_t address_bytes);
  int (*listen)(void* userdata, int fd, int backlog);
  int (*accept)(void* userdata, int fd, struct sockaddr* address, socklen_t* address_bytes);
  int (*connect)(void* userdata, int fd, const struct sockaddr* address, socklen_t address_bytes);
  ssize_t (*read)(void* userdata, int fd, void* buffer, size_t bytes);
  ssize_t (*readv)(void* userdata, int fd, const struct iovec* iov, int iov_count);
  ssize_t (*recv)(void* userdata, int fd, void* buffer, size_t bytes, int flags);
  ssize_t (*recvfrom)(void* userdata, int fd, void* buffer, size_t bytes, int flags,
                      struct sockaddr* address, socklen_t* address_bytes);
  ssize_t (*recvmsg)(void* userdata, int fd, struct msghdr* message, int flags);
  ssize_t (*write)(void* userdata, int fd, const void* buffer, size_t bytes);
  ssize_t (*writev)(void* userdata, int fd, const struct iovec* iov, int iov_count);
  ssize_t (*send)(void* userdata, int fd, const void* buffer, size_t bytes, int flags);
  ssize_t (*sendto)(void* userdata, int fd, const void* buffer, size_t bytes, int flags,
                    const struct sockaddr* address, socklen_t address_bytes);
  ssize_t (*sendmsg)(void* userdata, int fd, const struct msghdr* message, int flags);
  int (*fcntl)(void* userdata, int fd, int command, ...);
  int (*ioctl)(void* userdata, int fd, unsigned long request, ...);
  int (*close)(void* userdata, int fd);
  int (*shutdown)(void* userdata, int fd, int how);
  int (*getsockopt)(void* userdata, int fd, int level, int option, void* value,
                    socklen_t* value_bytes);
  int (*setsockopt)(void* userdata, int fd, int level, int option, const void* value,
                    socklen_t value_bytes);
  int (*poll)(void* userdata, struct pollfd* fds, nfds_t count, int timeout_ms);
  // One raw IP packet into the stack: 0, or -1.
  int (*netdev_send)(void* userdata, const void* packet, size_t bytes);
  // The stack's next packet: `*bytes` is the room in `buffer`, then the packet's length, 0 when
  // there is none; `*time_usecs` is when it was sent. 0, or -1.
  int (*netdev_receive)(void* userdata, void* buffer, size_t* bytes, long long* time_usecs);
  int (*usleep)(void* userdata, useconds_t usecs);
  int (*gettimeofday)(void* userdata, struct timeval* time, struct timezone* zone);
  int (*epoll_create)(void* userdata, int size);
  int (*epoll_ctl)(void* userdata, int epoll_fd, int operation, int fd, struct epoll_event* event);
  int (*epoll_wait)(void* userdata, int epoll_fd, struct epoll_event* events, int events_max,
                    int timeout_ms);
  int (*pipe)(void* userdata, int fds[2]);
  // packetdrill reads an int, which is the low half of this.
  ssize_t (*splice)(void* userdata, int fd_in, loff_t* offset_in, int fd_out, loff_t* offset_out,
                    size_t bytes, unsigned int flags);
};

// The only symbol that the shared object exports. `flags` may be null.
void packetdrill_interface_init(const char* flags, struct packetdrill_interface* interface);

}  // extern "C"
