// SPDX-License-Identifier: Apache-2.0
//
// Sockets, descriptors that cross them, and the end of a process.

#include "selftests/two_process/messages.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "provider/check.h"

namespace devmem::testing {
namespace {

// Room for the control message of two descriptors, aligned as the kernel wants it.
struct alignas(struct cmsghdr) Control {
  std::array<char, CMSG_SPACE(2 * sizeof(int))> bytes = {};
};

}  // namespace

Ends MakeSocket() {
  std::array<int, 2> fds = {-1, -1};
  const int made = ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data());
  DEVMEM_CHECK(made == 0, "no socket can be made");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Ends MakePipe() {
  std::array<int, 2> fds = {-1, -1};
  DEVMEM_CHECK(::pipe2(fds.data(), O_CLOEXEC) == 0, "no pipe can be made");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

bool Send(int socket, const Message& message) {
  return ::send(socket, &message, sizeof(message), MSG_NOSIGNAL) == sizeof(message);
}

bool Receive(int socket, Message* message) {
  ssize_t got = 0;
  do {
    got = ::recv(socket, message, sizeof(*message), 0);
  } while (got < 0 && errno == EINTR);
  // A socket that was closed with unread messages says so once before its end.
  return got == sizeof(*message);
}

bool SendHandles(int socket, const Message& message, std::array<int, 2> handles) {
  Control control;
  Message copy = message;
  struct iovec bytes = {&copy, sizeof(copy)};
  struct msghdr header = {};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  struct cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(handles));
  std::memcpy(CMSG_DATA(rights), handles.data(), sizeof(handles));
  return ::sendmsg(socket, &header, MSG_NOSIGNAL) == sizeof(copy);
}

bool ReceiveHandles(int socket, Message* message, std::array<UniqueFd, 2>* handles) {
  Control control;
  struct iovec bytes = {message, sizeof(*message)};
  struct msghdr header = {};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  if (::recvmsg(socket, &header, MSG_CMSG_CLOEXEC) != sizeof(*message)) return false;
  const struct cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  DEVMEM_CHECK(rights != nullptr && rights->cmsg_len == CMSG_LEN(2 * sizeof(int)),
               "a message came without its descriptors");
  std::array<int, 2> fds = {-1, -1};
  std::memcpy(fds.data(), CMSG_DATA(rights), sizeof(fds));
  for (size_t i = 0; i < fds.size(); ++i) (*handles)[i].Reset(fds[i]);
  return true;
}

void CloseAllBut(std::initializer_list<int> kept) {
  std::vector<int> sorted(kept);
  std::sort(sorted.begin(), sorted.end());
  unsigned from = STDERR_FILENO + 1;
  for (const int fd : sorted) {
    const auto keep = static_cast<unsigned>(fd);
    if (keep > from) DEVMEM_CHECK(::close_range(from, keep - 1, 0) == 0, "close_range failed");
    from = keep + 1;
  }
  DEVMEM_CHECK(::close_range(from, ~0u, 0) == 0, "close_range failed");
}

void GiveUp(const char* who, const char* what) {
  std::fprintf(stderr, "%s: %s\n", who, what);
  ::_exit(1);
}

void LifeLine::Step() {
  if (left_ == 0 || --left_ != 0) return;
  if (by_referee_) {
    (void)Send(referee_, {.word = Word::kNow});
  } else {
    ::kill(::getpid(), SIGKILL);
  }
}

}  // namespace devmem::testing
