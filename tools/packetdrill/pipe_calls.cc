// SPDX-License-Identifier: Apache-2.0
//
// pipe() and splice(). A pipe is a real one of the kernel; received bytes are written into it.

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {
namespace {

// As much as a pipe of Linux holds by default.
constexpr size_t kPipeBytes = 65536;

}  // namespace

CallResult PlugIn::Pipe(int fds[2]) {
  if (::pipe2(fds, O_CLOEXEC) != 0) return CallResult::Fail(errno);
  pipes_.insert(fds[0]);
  pipes_.insert(fds[1]);
  return {};
}

// A descriptor of a pipe; the calls of a stream go to the kernel.
CallResult PlugIn::ReadPipe(int fd, std::span<const iovec> iov) {
  const ssize_t bytes = ::readv(fd, iov.data(), static_cast<int>(iov.size()));
  return bytes < 0 ? CallResult::Fail(errno) : CallResult{bytes};
}

CallResult PlugIn::WritePipe(int fd, std::span<const iovec> iov) {
  const ssize_t bytes = ::writev(fd, iov.data(), static_cast<int>(iov.size()));
  return bytes < 0 ? CallResult::Fail(errno) : CallResult{bytes};
}

// From a socket into a pipe, or from a pipe into a socket. packetdrill passes the address of an
// offset of 0 where a script says NULL.
CallResult PlugIn::Splice(int fd_in, int fd_out, size_t bytes, unsigned flags) {
  const bool in_is_pipe = pipes_.count(fd_in) != 0;
  const bool out_is_pipe = pipes_.count(fd_out) != 0;
  const std::shared_ptr<Socket> socket = Find(in_is_pipe ? fd_out : fd_in);
  if (socket == nullptr && !(in_is_pipe && out_is_pipe)) return CallResult::Fail(EBADF);
  if (!in_is_pipe && !out_is_pipe) return CallResult::Fail(EINVAL);
  if (socket == nullptr) {
    const ssize_t moved = ::splice(fd_in, nullptr, fd_out, nullptr, bytes, flags);
    return moved < 0 ? CallResult::Fail(errno) : CallResult{moved};
  }
  std::vector<uint8_t> buffer(std::min(bytes, kPipeBytes));
  iovec part = {buffer.data(), buffer.size()};
  const int wait = (flags & SPLICE_F_NONBLOCK) != 0 ? MSG_DONTWAIT : 0;
  if (!in_is_pipe) {
    const CallResult received = Receive(fd_in, {&part, 1}, wait);
    if (received.error != 0 || received.value == 0) return received;
    part.iov_len = static_cast<size_t>(received.value);
    return WritePipe(fd_out, {&part, 1});
  }
  const CallResult read = ReadPipe(fd_in, {&part, 1});
  if (read.error != 0 || read.value == 0) return read;
  part.iov_len = static_cast<size_t>(read.value);
  return Send(fd_out, {&part, 1}, wait);
}

}  // namespace devmem::packetdrill
