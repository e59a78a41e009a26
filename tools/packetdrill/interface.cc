// SPDX-License-Identifier: Apache-2.0
//
// Fills in packetdrill's table: each function takes the lock, turns plain arguments into spans, and
// a CallResult into a return value and errno.

#include "tools/packetdrill/interface.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "absl/status/status.h"
#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {
namespace {

PlugIn& Of(void* userdata) { return *static_cast<PlugIn*>(userdata); }

template <typename Answer>
Answer Return(CallResult result) {
  if (result.error == 0) return static_cast<Answer>(result.value);
  errno = result.error;
  return static_cast<Answer>(-1);
}

std::span<const iovec> Parts(const iovec* iov, size_t count) { return {iov, count}; }

void Free(void* userdata) {
  PlugIn* plugin = static_cast<PlugIn*>(userdata);
  plugin->Shutdown();
  delete plugin;
}

int OpenSocket(void* userdata, int domain, int type, int protocol) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).OpenSocket(domain, type, protocol));
}

int Bind(void* userdata, int fd, const sockaddr* address, socklen_t bytes) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Bind(fd, address, bytes));
}

int Listen(void* userdata, int fd, int backlog) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Listen(fd, backlog));
}

int Accept(void* userdata, int fd, sockaddr* address, socklen_t* bytes) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Accept(fd, address, bytes));
}

int Connect(void* userdata, int fd, const sockaddr* address, socklen_t bytes) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Connect(fd, address, bytes));
}

ssize_t Receive(void* userdata, int fd, std::span<const iovec> iov, int flags) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<ssize_t>(Of(userdata).Receive(fd, iov, flags));
}

ssize_t Recv(void* userdata, int fd, void* buffer, size_t bytes, int flags) {
  const iovec part = {buffer, bytes};
  return Receive(userdata, fd, Parts(&part, 1), flags);
}

ssize_t Read(void* userdata, int fd, void* buffer, size_t bytes) {
  return Recv(userdata, fd, buffer, bytes, 0);
}

ssize_t Readv(void* userdata, int fd, const iovec* iov, int count) {
  if (count < 0 || count > IOV_MAX) return Return<ssize_t>(CallResult::Fail(EINVAL));
  return Receive(userdata, fd, Parts(iov, static_cast<size_t>(count)), 0);
}

// TCP names no sender: Linux writes a length of 0.
ssize_t RecvFrom(void* userdata, int fd, void* buffer, size_t bytes, int flags, sockaddr*,
                 socklen_t* address_bytes) {
  const ssize_t result = Recv(userdata, fd, buffer, bytes, flags);
  if (result >= 0 && address_bytes != nullptr) *address_bytes = 0;
  return result;
}

ssize_t RecvMsg(void* userdata, int fd, msghdr* message, int flags) {
  // One lock for both steps: between them free() might come.
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  const CallResult result =
      Of(userdata).Receive(fd, Parts(message->msg_iov, message->msg_iovlen), flags);
  if (result.error == 0) {
    message->msg_namelen = 0;
    message->msg_flags = 0;
    Of(userdata).WriteControl(fd, message);
  }
  return Return<ssize_t>(result);
}

ssize_t SendParts(void* userdata, int fd, std::span<const iovec> iov, int flags) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<ssize_t>(Of(userdata).Send(fd, iov, flags));
}

ssize_t Send(void* userdata, int fd, const void* buffer, size_t bytes, int flags) {
  const iovec part = {const_cast<void*>(buffer), bytes};  // Only read from.
  return SendParts(userdata, fd, Parts(&part, 1), flags);
}

ssize_t Write(void* userdata, int fd, const void* buffer, size_t bytes) {
  return Send(userdata, fd, buffer, bytes, 0);
}

ssize_t Writev(void* userdata, int fd, const iovec* iov, int count) {
  if (count < 0 || count > IOV_MAX) return Return<ssize_t>(CallResult::Fail(EINVAL));
  return SendParts(userdata, fd, Parts(iov, static_cast<size_t>(count)), 0);
}

ssize_t SendTo(void* userdata, int fd, const void* buffer, size_t bytes, int flags,
               const sockaddr* address, socklen_t address_bytes) {
  const iovec part = {const_cast<void*>(buffer), bytes};  // Only read from.
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<ssize_t>(Of(userdata).SendTo(fd, Parts(&part, 1), flags, address, address_bytes));
}

ssize_t SendMsg(void* userdata, int fd, const msghdr* message, int flags) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<ssize_t>(Of(userdata).SendTo(fd, Parts(message->msg_iov, message->msg_iovlen),
                                             flags, static_cast<const sockaddr*>(message->msg_name),
                                             message->msg_namelen));
}

int Fcntl(void* userdata, int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  // The other commands may come without an argument.
  const int argument = command == F_SETFL ? va_arg(arguments, int) : 0;
  va_end(arguments);
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Fcntl(fd, command, argument));
}

int Ioctl(void* userdata, int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Ioctl(fd, request, argument));
}

int Close(void* userdata, int fd) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Close(fd));
}

int ShutdownSocket(void* userdata, int fd, int how) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).ShutdownSocket(fd, how));
}

int GetSockOpt(void* userdata, int fd, int level, int option, void* value, socklen_t* bytes) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).GetOption(fd, level, option, value, bytes));
}

int SetSockOpt(void* userdata, int fd, int level, int option, const void* value, socklen_t bytes) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).SetOption(fd, level, option, value, bytes));
}

int Poll(void* userdata, pollfd* fds, nfds_t count, int timeout_ms) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Poll({fds, count}, timeout_ms));
}

int EpollCreate(void* userdata, int size) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).EpollCreate(size));
}

int EpollCtl(void* userdata, int epoll_fd, int operation, int fd, epoll_event* event) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).EpollCtl(epoll_fd, operation, fd, event));
}

int EpollWait(void* userdata, int epoll_fd, epoll_event* events, int events_max, int timeout_ms) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).EpollWait(epoll_fd, events, events_max, timeout_ms));
}

int Pipe(void* userdata, int fds[2]) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).Pipe(fds));
}

ssize_t Splice(void* userdata, int fd_in, loff_t*, int fd_out, loff_t*, size_t bytes,
               unsigned int flags) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<ssize_t>(Of(userdata).Splice(fd_in, fd_out, bytes, flags));
}

int NetdevSend(void* userdata, const void* packet, size_t bytes) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  return Return<int>(Of(userdata).PutPacket({static_cast<const uint8_t*>(packet), bytes}));
}

int NetdevReceive(void* userdata, void* buffer, size_t* bytes, long long* time_usecs) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  Nanos sent_at = 0;
  const CallResult result =
      Of(userdata).TakePacket({static_cast<uint8_t*>(buffer), *bytes}, &sent_at);
  *bytes = result.error == 0 ? static_cast<size_t>(result.value) : 0;
  *time_usecs = sent_at / kMicrosecond;
  return result.error == 0 ? 0 : Return<int>(result);
}

int Usleep(void* userdata, useconds_t usecs) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  Of(userdata).Sleep(Nanos{usecs} * kMicrosecond);
  return 0;
}

int GetTimeOfDay(void* userdata, struct timeval* time, struct timezone*) {
  const std::lock_guard<std::mutex> lock(Of(userdata).mutex());
  const Nanos now = Of(userdata).TimeOfDay();
  time->tv_sec = now / kSecond;
  time->tv_usec = now % kSecond / kMicrosecond;
  return 0;
}

}  // namespace
}  // namespace devmem::packetdrill

__attribute__((visibility("default"))) void packetdrill_interface_init(
    const char* flags, struct packetdrill_interface* interface) {
  using namespace devmem::packetdrill;
  ParsedKnobs parsed = ParseKnobs(flags == nullptr ? "" : flags);
  for (const std::string& error : parsed.errors) {
    std::fprintf(stderr, "devmem_packetdrill: %s; skipped\n", error.c_str());
  }
  if (!parsed.errors.empty()) std::fputs(KnobHelp().c_str(), stderr);
  absl::StatusOr<std::unique_ptr<PlugIn>> plugin =
      PlugIn::Create(parsed.knobs, flags == nullptr ? "" : flags);
  if (!plugin.ok()) {
    // The interface has no way to refuse.
    std::fprintf(stderr, "devmem_packetdrill: %s\n", plugin.status().ToString().c_str());
    std::exit(1);
  }
  *interface = {};
  interface->userdata = plugin->release();
  interface->free = Free;
  interface->socket = OpenSocket;
  interface->bind = Bind;
  interface->listen = Listen;
  interface->accept = Accept;
  interface->connect = Connect;
  interface->read = Read;
  interface->readv = Readv;
  interface->recv = Recv;
  interface->recvfrom = RecvFrom;
  interface->recvmsg = RecvMsg;
  interface->write = Write;
  interface->writev = Writev;
  interface->send = Send;
  interface->sendto = SendTo;
  interface->sendmsg = SendMsg;
  interface->fcntl = Fcntl;
  interface->ioctl = Ioctl;
  interface->close = Close;
  interface->shutdown = ShutdownSocket;
  interface->getsockopt = GetSockOpt;
  interface->setsockopt = SetSockOpt;
  interface->poll = Poll;
  interface->netdev_send = NetdevSend;
  interface->netdev_receive = NetdevReceive;
  interface->usleep = Usleep;
  interface->gettimeofday = GetTimeOfDay;
  interface->epoll_create = EpollCreate;
  interface->epoll_ctl = EpollCtl;
  interface->epoll_wait = EpollWait;
  interface->pipe = Pipe;
  interface->splice = Splice;
}
