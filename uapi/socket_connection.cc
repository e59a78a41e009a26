// SPDX-License-Identifier: Apache-2.0
//
// Receiving and ending over a kernel socket. Sending is in socket_send.cc.

#include "uapi/socket_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/tcp_socket.h"

namespace devmem {
namespace {

absl::Status DeadlineExceeded(absl::string_view what) {
  return absl::DeadlineExceededError(absl::StrCat(what, " by the deadline; call again to go on"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> SocketConnection::Create(
    SocketCore* core, UniqueFd socket, std::shared_ptr<SocketQueue> queue, RuleHold rule) {
  if (queue != nullptr && !queue->AddSocket(socket.get())) {
    core->stats().connections_gone.Add(1);
    return absl::UnavailableError("the binding of this connection was unbound; bind again");
  }
  // Requests are small and answered at once: no waiting for more to send (RFC 1122
  // section 4.2.3.4).
  const int on = 1;
  (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return std::unique_ptr<Connection>(
      new SocketConnection(core, std::move(socket), std::move(queue), std::move(rule)));
}

SocketConnection::SocketConnection(SocketCore* core, UniqueFd socket,
                                   std::shared_ptr<SocketQueue> queue, RuleHold rule)
    : core_(core),
      socket_(std::move(socket)),
      queue_(std::move(queue)),
      rule_(std::move(rule)),
      local_(LocalEndpoint(socket_.get())),
      remote_(RemoteEndpoint(socket_.get())),
      watched_(queue_ == nullptr || queue_->fd() < 0) {
  if (watched_) core_->Watch(socket_.get());
  core_->PublishCounts();
}

// close(2) sends a FIN, or a RST when received bytes were not read: what the interface promises.
SocketConnection::~SocketConnection() {
  if (watched_) core_->Unwatch(socket_.get());
  if (queue_ != nullptr) queue_->TakeSocket(std::move(socket_));
  core_->stats().connections_gone.Add(1);
  core_->PublishCounts();
}

absl::StatusOr<size_t> SocketConnection::Recv(std::span<Frag> frags, Nanos deadline) {
  if (frags.empty()) {
    return absl::InvalidArgumentError("room for 0 frags was given; give room for at least 1");
  }
  if (queue_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("connection ", local_,
                     " has no binding, so its bytes are in host memory; use Read(), or "
                     "give Listen() or Connect() a binding"));
  }
  core_->LookAfterRegions();
  core_->AskFences();
  return ReceiveFrom(frags, deadline);
}

absl::StatusOr<size_t> SocketConnection::ReceiveFrom(std::span<Frag> frags, Nanos deadline) {
  for (;;) {
    if (broken_.has_value()) return *broken_;
    if (ended_) return 0;
    const SocketQueue::Received received = queue_->Receive(socket_.get(), frags);
    switch (received.outcome) {
      case SocketQueue::Outcome::kAway:
        if (!core_->WaitForRelease(deadline))
          return DeadlineExceeded("the region's memory is away");
        break;
      case SocketQueue::Outcome::kEmpty:
        TakeNotices();
        if (!core_->Wait(queue_->NewsFd(socket_.get()), deadline)) {
          return DeadlineExceeded("nothing arrived");
        }
        break;
      case SocketQueue::Outcome::kNoRoom: {
        const absl::Status room = WaitForRoom(received, deadline);
        if (!room.ok()) return room;
        break;
      }
      default: return Deliver(received);
    }
  }
}

absl::Status SocketConnection::WaitForRoom(const SocketQueue::Received& received, Nanos deadline) {
  if (watched_) core_->Mute(socket_.get());
  if (deadline == kNever && queue_->posting() && core_->NothingWillBeReleased()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        received.why.ok() ? "every net_iov of the queue is held by frags" : received.why.message(),
        ", and nobody else can release them; release some first"));
  }
  if (core_->WaitForRelease(deadline)) return absl::OkStatus();
  return DeadlineExceeded("no net_iov was released");
}

absl::StatusOr<size_t> SocketConnection::Deliver(const SocketQueue::Received& received) {
  using Outcome = SocketQueue::Outcome;
  switch (received.outcome) {
    case Outcome::kBytes:
      received_bytes_ += received.bytes;
      return received.frags > 0 ? received.frags : static_cast<size_t>(received.bytes);
    case Outcome::kEnd: return ReachEnd();
    case Outcome::kBroken:
      return received.why.ok() ? BreakByErrno(received.error) : Break(received.why);
    case Outcome::kRevoked:
      ResetSocket(socket_.get());
      return Break(absl::AbortedError(
          "the region was revoked while bytes were copied into it; the connection was reset"));
    case Outcome::kClosed: return Break(received.why);
    case Outcome::kRefused: return received.why;
    case Outcome::kAway:
    case Outcome::kEmpty:
    case Outcome::kNoRoom:
    case Outcome::kNoTokens: break;
  }
  return absl::ResourceExhaustedError(
      "the queue's token table is full of frags that are held; release some first");
}

absl::StatusOr<size_t> SocketConnection::ReachEnd() {
  ended_ = true;
  if (std::exchange(watched_, false)) core_->Unwatch(socket_.get());
  return 0;
}

absl::Status SocketConnection::Break(absl::Status reason) {
  if (std::exchange(watched_, false)) core_->Unwatch(socket_.get());
  broken_ = std::move(reason);
  return *broken_;
}

absl::Status SocketConnection::BreakByErrno(int err) {
  return Break(absl::UnavailableError(
      absl::StrCat("connection ", local_, " - ", remote_, " broke: ", std::strerror(err))));
}

absl::StatusOr<size_t> SocketConnection::Read(std::span<uint8_t> bytes, Nanos deadline) {
  if (bytes.empty()) {
    return absl::InvalidArgumentError("room for 0 bytes was given; give room for at least 1");
  }
  for (;;) {
    if (broken_.has_value()) return *broken_;
    if (ended_) return 0;
    const SocketQueue::Received received =
        queue_ != nullptr ? queue_->Read(socket_.get(), bytes) : ReadUnbound(bytes);
    if (received.outcome == SocketQueue::Outcome::kNoRoom) {
      const absl::Status room = WaitForRoom(received, deadline);
      if (!room.ok()) return room;
      continue;
    }
    if (received.outcome != SocketQueue::Outcome::kEmpty) return Deliver(received);
    TakeNotices();
    const int news = queue_ != nullptr ? queue_->NewsFd(socket_.get()) : socket_.get();
    if (!core_->Wait(news, deadline)) return DeadlineExceeded("nothing arrived");
  }
}

SocketQueue::Received SocketConnection::ReadUnbound(std::span<uint8_t> bytes) {
  const SocketQueue::Received received = ReadSocket(socket_.get(), bytes);
  if (received.outcome == SocketQueue::Outcome::kBytes) {
    core_->stats().payload_bytes.Add(received.bytes);
    core_->stats().host_bytes.Add(received.bytes);
    core_->stats().receive_calls.Add(1);
  }
  return received;
}

absl::Status SocketConnection::Shutdown() {
  if (broken_.has_value()) return *broken_;
  shut_down_ = true;
  if (::shutdown(socket_.get(), SHUT_WR) == 0) return absl::OkStatus();
  return BreakByErrno(errno);
}

void SocketConnection::Abort() {
  ResetSocket(socket_.get());
  (void)Break(absl::UnavailableError("the connection was aborted"));
}

ConnectionInfo SocketConnection::info() const {
  return ConnectionInfo{.local = local_,
                        .remote = remote_,
                        .state = std::string(TcpStateOf(socket_.get())),
                        .queue = queue_ != nullptr ? queue_->index() : 0,
                        .bound = queue_ != nullptr,
                        .payload_bytes_received = received_bytes_,
                        .payload_bytes_sent = sent_bytes_};
}

SocketListener::SocketListener(SocketCore* core, UniqueFd socket,
                               std::shared_ptr<SocketQueue> queue, RuleHold rule)
    : core_(core),
      socket_(std::move(socket)),
      queue_(std::move(queue)),
      rule_(std::move(rule)),
      port_(LocalPort(socket_.get())) {
  core_->Watch(socket_.get());
}

SocketListener::~SocketListener() { core_->Unwatch(socket_.get()); }

absl::StatusOr<std::unique_ptr<Connection>> SocketListener::Accept(Nanos deadline) {
  for (;;) {
    absl::StatusOr<UniqueFd> accepted = AcceptSocket(socket_.get());
    if (!accepted.ok()) return accepted.status();
    if (accepted->valid()) {
      core_->stats().connections_accepted.Add(1);
      return SocketConnection::Create(core_, *std::move(accepted), queue_, rule_);
    }
    if (!core_->Wait(socket_.get(), deadline)) return DeadlineExceeded("nobody connected");
  }
}

}  // namespace devmem
