// SPDX-License-Identifier: Apache-2.0
//
// Lines in, lines out, without ever waiting for a client.

#include "tools/gvnicd_control.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "netmem/gvnic/unix_socket.h"

namespace devmem {
namespace {

constexpr size_t kControlLineBytesMax = 4096;
constexpr size_t kControlAnswerBytesMax = 4u << 20;  // Not read by one client.
constexpr size_t kControlClientsMax = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<GvnicdControl>> GvnicdControl::Create(EventLoop& loop,
                                                                     const std::string& path,
                                                                     ControlTarget target) {
  absl::StatusOr<UniqueFd> socket = ListenUnix(path);
  if (!socket.ok()) return socket.status();
  std::unique_ptr<GvnicdControl> control(new GvnicdControl(loop, path, std::move(target)));
  control->listening_ = *std::move(socket);
  const absl::Status watched = loop.Watch(control->listening_.get(), EPOLLIN,
                                          [raw = control.get()](uint32_t) { raw->OnListening(); });
  if (!watched.ok()) return watched;
  return control;
}

GvnicdControl::~GvnicdControl() {
  for (const auto& [fd, client] : clients_) loop_.Unwatch(fd);
  loop_.Unwatch(listening_.get());
  ::unlink(path_.c_str());
}

void GvnicdControl::OnListening() {
  UniqueFd socket = AcceptUnix(listening_.get());
  if (!socket.valid() || clients_.size() >= kControlClientsMax) return;
  const int fd = socket.get();
  if (!loop_.Watch(fd, EPOLLIN, [this, fd](uint32_t) { OnClient(fd); }).ok()) return;
  clients_[fd].socket = std::move(socket);
}

void GvnicdControl::OnClient(int fd) {
  Client& client = clients_.at(fd);
  bool stays = Write(client) && Read(client);
  if (stays) stays = Write(client);
  if (stays) {
    const uint32_t events = client.unwritten.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
    if (loop_.Rewatch(fd, events).ok()) return;
  }
  loop_.Unwatch(fd);
  clients_.erase(fd);
}

bool GvnicdControl::Read(Client& client) {
  std::array<char, kControlLineBytesMax> bytes;
  const ssize_t got = ::recv(client.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0) {
    const int err = errno;
    return err == EAGAIN || err == EINTR;
  }
  if (got == 0) return false;
  client.unread.append(bytes.data(), static_cast<size_t>(got));
  for (size_t end; (end = client.unread.find('\n')) != std::string::npos;) {
    client.unwritten += RunControlCommand(client.unread.substr(0, end), target_) + "\n";
    client.unread.erase(0, end + 1);
  }
  return client.unread.size() <= kControlLineBytesMax &&
         client.unwritten.size() <= kControlAnswerBytesMax;
}

bool GvnicdControl::Write(Client& client) {
  while (!client.unwritten.empty()) {
    const ssize_t sent = ::send(client.socket.get(), client.unwritten.data(),
                                client.unwritten.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      const int err = errno;
      if (err == EINTR) continue;
      return err == EAGAIN;
    }
    client.unwritten.erase(0, static_cast<size_t>(sent));
  }
  return true;
}

}  // namespace devmem
