// SPDX-License-Identifier: Apache-2.0
//
// Accepting clients, handing their messages to the session, and cleaning up behind them. Runs on
// the thread of the event loop.

#include "netmem/gvnic/vfio_user_server.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/unix_socket.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<VfioUserServer>> VfioUserServer::Create(EventLoop& loop,
                                                                       const std::string& path,
                                                                       VfioUserDevice& device) {
  std::unique_ptr<VfioUserServer> server(new VfioUserServer(loop, path, device));
  const absl::Status listening = server->Listen();
  if (!listening.ok()) return listening;
  return server;
}

VfioUserServer::~VfioUserServer() {
  if (has_client()) Disconnect(absl::CancelledError("the device goes away"));
  if (!listening_.valid()) return;
  loop_.Unwatch(listening_.get());
  ::unlink(path_.c_str());
}

absl::Status VfioUserServer::Listen() {
  absl::StatusOr<UniqueFd> socket = ListenUnix(path_);
  if (!socket.ok()) return socket.status();
  listening_ = *std::move(socket);
  return loop_.Watch(listening_.get(), EPOLLIN, [this](uint32_t) { OnListening(); });
}

void VfioUserServer::OnListening() {
  UniqueFd socket = AcceptUnix(listening_.get());
  if (!socket.valid()) return;
  // Two drivers of one device would damage each other's state: the second finds a closed door
  // instead of one that never opens.
  if (has_client()) {
    ++stats_.clients_turned_away;
    return;
  }
  const absl::Status adopted = Adopt(std::move(socket));
  if (!adopted.ok()) last_refusal_ = std::string(adopted.message());
}

absl::Status VfioUserServer::Adopt(UniqueFd socket) {
  if (has_client()) {
    return absl::AlreadyExistsError("the device has a client already; end that one first");
  }
  auto connection = std::make_unique<VfioUserConnection>(std::move(socket));
  const absl::Status watched =
      loop_.Watch(connection->fd(), EPOLLIN, [this](uint32_t events) { OnClient(events); });
  if (!watched.ok()) return watched;
  connection_ = std::move(connection);
  session_.emplace(device_);
  waits_to_write_ = false;
  ++stats_.clients;
  return absl::OkStatus();
}

void VfioUserServer::OnClient(uint32_t epoll_events) {
  absl::Status done;
  if ((epoll_events & EPOLLOUT) != 0) done = connection_->Flush();
  if (done.ok() && (epoll_events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) done = HandleMessages();
  if (done.ok() && connection_->has_backlog() != waits_to_write_) {
    waits_to_write_ = connection_->has_backlog();
    done = loop_.Rewatch(connection_->fd(), waits_to_write_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }
  if (!done.ok()) Disconnect(done);
}

absl::Status VfioUserServer::HandleMessages() {
  for (uint32_t i = 0; i < kVfioUserMessagesPerTurn; ++i) {
    const absl::StatusOr<VfioUserMessage*> message = connection_->Receive();
    if (!message.ok()) return message.status();
    if (*message == nullptr) return absl::OkStatus();
    const absl::Status handled = HandleOne(**message);
    if (!handled.ok()) return handled;
  }
  return absl::OkStatus();
}

// A command that is refused is the client's to deal with; only a connection that no longer works
// ends here.
absl::Status VfioUserServer::HandleOne(VfioUserMessage& message) {
  ++stats_.messages;
  const auto answer = session_->Handle(message);
  if (!answer.ok()) {
    ++stats_.refused_messages;
    last_refusal_ = std::string(answer.status().message());
  }
  const bool is_command = (message.header.flags & VfioUserHeader::kTypeMask) == 0;
  if (!is_command || (message.header.flags & VfioUserHeader::kNoReply) != 0) {
    return absl::OkStatus();
  }
  if (!answer.ok()) {
    return connection_->Reply(message.header, VfioUserSession::ErrnoOf(answer.status()), {});
  }
  return connection_->Reply(message.header, 0, *answer);
}

void VfioUserServer::Disconnect(const absl::Status& reason) {
  last_end_ = std::string(reason.message());
  loop_.Unwatch(connection_->fd());
  session_.reset();
  connection_.reset();
  // First the device lets go of the memory, then the memory goes.
  device_.ResetDevice();
  for (uint32_t vector = 0; vector < device_.vector_count(); ++vector) {
    device_.SetVector(vector, UniqueFd());
  }
  device_.memory().UnmapAll();
}

}  // namespace devmem
