// SPDX-License-Identifier: Apache-2.0
//
// Receiving, sending and ending over a kernel socket.

#include "uapi/copy_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/copy_socket.h"

namespace devmem {
namespace {

// The kernel has no event for "everything was acknowledged", so Flush() looks again this often.
constexpr Nanos kFlushAskAgain = kMillisecond;

absl::Status DeadlineExceeded(absl::string_view what) {
  return absl::DeadlineExceededError(absl::StrCat(what, " by the deadline; call again to go on"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> CopyConnection::Create(
    CopyCore* core, UniqueFd socket, std::shared_ptr<CopyQueue> queue) {
  if (queue != nullptr && !queue->AddSocket(socket.get())) {
    return absl::UnavailableError("the binding of this connection was unbound; bind again");
  }
  // Requests are small and answered at once: no waiting for more to send (RFC 1122
  // section 4.2.3.4).
  const int on = 1;
  (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  core->Watch(socket.get());
  return std::unique_ptr<Connection>(new CopyConnection(core, std::move(socket), std::move(queue)));
}

CopyConnection::CopyConnection(CopyCore* core, UniqueFd socket, std::shared_ptr<CopyQueue> queue)
    : core_(core),
      socket_(std::move(socket)),
      queue_(std::move(queue)),
      local_(LocalEndpoint(socket_.get())),
      remote_(RemoteEndpoint(socket_.get())) {}

// close(2) sends a FIN, or a RST when received bytes were not read: what the interface promises.
CopyConnection::~CopyConnection() {
  if (watched_) core_->Unwatch(socket_.get());
  if (queue_ != nullptr) queue_->RemoveSocket(socket_.get());
}

absl::StatusOr<size_t> CopyConnection::Recv(std::span<Frag> frags, Nanos deadline) {
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
  for (;;) {
    if (broken_.has_value()) return *broken_;
    if (ended_) return 0;
    const CopyQueue::Received received = queue_->Receive(socket_.get(), frags);
    if (received.outcome == CopyQueue::Outcome::kAway) {
      if (!core_->WaitForRelease(deadline)) return DeadlineExceeded("the region's memory is away");
      continue;
    }
    if (received.outcome == CopyQueue::Outcome::kEmpty) {
      if (!core_->Wait(socket_.get(), deadline)) return DeadlineExceeded("nothing arrived");
      continue;
    }
    if (received.outcome != CopyQueue::Outcome::kNoRoom) return Deliver(received);
    core_->Mute(socket_.get());
    if (deadline == kNever && queue_->posting() && core_->NothingWillBeReleased()) {
      return absl::ResourceExhaustedError(
          "every net_iov of the queue is held by frags, and nobody else can release them; release "
          "some first");
    }
    if (!core_->WaitForRelease(deadline)) return DeadlineExceeded("no net_iov was released");
  }
}

absl::StatusOr<size_t> CopyConnection::Deliver(const CopyQueue::Received& received) {
  switch (received.outcome) {
    case CopyQueue::Outcome::kFrags: received_bytes_ += received.bytes; return received.frags;
    case CopyQueue::Outcome::kEnd: return ReachEnd();
    case CopyQueue::Outcome::kBroken: return BreakByErrno(received.error);
    case CopyQueue::Outcome::kRevoked:
      ResetSocket(socket_.get());
      return Break(absl::AbortedError(
          "the region was revoked while bytes were copied into it; the connection was reset"));
    case CopyQueue::Outcome::kClosed: return Break(received.why);
    case CopyQueue::Outcome::kAway:
    case CopyQueue::Outcome::kEmpty:
    case CopyQueue::Outcome::kNoRoom:
    case CopyQueue::Outcome::kNoTokens: break;
  }
  return absl::ResourceExhaustedError(
      "the queue's token table is full of frags that are held; release some first");
}

absl::StatusOr<size_t> CopyConnection::ReachEnd() {
  ended_ = true;
  if (std::exchange(watched_, false)) core_->Unwatch(socket_.get());
  return 0;
}

absl::Status CopyConnection::Break(absl::Status reason) {
  if (std::exchange(watched_, false)) core_->Unwatch(socket_.get());
  broken_ = std::move(reason);
  return *broken_;
}

absl::Status CopyConnection::BreakByErrno(int err) {
  return Break(absl::UnavailableError(
      absl::StrCat("connection ", local_, " - ", remote_, " broke: ", std::strerror(err))));
}

absl::StatusOr<size_t> CopyConnection::Read(std::span<uint8_t> bytes, Nanos deadline) {
  if (bytes.empty()) {
    return absl::InvalidArgumentError("room for 0 bytes was given; give room for at least 1");
  }
  for (;;) {
    if (broken_.has_value()) return *broken_;
    if (ended_) return 0;
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got == 0) return ReachEnd();
    if (got > 0) {
      const uint64_t count = static_cast<uint64_t>(got);
      received_bytes_ += count;
      core_->stats().payload_bytes.Add(count);
      core_->stats().receive_calls.Add(1);
      (queue_ != nullptr ? core_->stats().bytes_read : core_->stats().host_bytes).Add(count);
      return static_cast<size_t>(got);
    }
    const int err = errno;
    if (err == EINTR) continue;
    if (err != EAGAIN) return BreakByErrno(err);
    if (!core_->Wait(socket_.get(), deadline)) return DeadlineExceeded("nothing arrived");
  }
}

absl::StatusOr<size_t> CopyConnection::Send(std::span<const uint8_t> bytes, Nanos deadline) {
  if (shut_down_) {
    return absl::FailedPreconditionError("the connection was shut down for sending");
  }
  for (;;) {
    if (broken_.has_value()) return *broken_;
    const ssize_t sent =
        ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      sent_bytes_ += static_cast<uint64_t>(sent);
      return static_cast<size_t>(sent);
    }
    const int err = errno;
    if (err == EINTR) continue;
    if (err != EAGAIN) return BreakByErrno(err);
    if (!writable_.valid()) {
      absl::StatusOr<UniqueFd> writable = WatchWritable(socket_.get());
      if (!writable.ok()) return writable.status();
      writable_ = *std::move(writable);
    }
    if (!core_->Wait(writable_.get(), deadline))
      return DeadlineExceeded("no byte was taken to send");
  }
}

absl::Status CopyConnection::Flush(Nanos deadline) {
  while (UnacknowledgedBytes(socket_.get()) > 0) {
    if (broken_.has_value()) return *broken_;
    if (TcpStateOf(socket_.get()) == "CLOSED") return BreakByErrno(ECONNRESET);
    const Nanos now = core_->clock().Now();
    if (deadline <= now) return DeadlineExceeded("not everything was acknowledged");
    (void)core_->Wait(-1, std::min(deadline, now + kFlushAskAgain));
  }
  return absl::OkStatus();
}

absl::Status CopyConnection::Shutdown() {
  if (broken_.has_value()) return *broken_;
  shut_down_ = true;
  if (::shutdown(socket_.get(), SHUT_WR) == 0) return absl::OkStatus();
  return BreakByErrno(errno);
}

void CopyConnection::Abort() {
  ResetSocket(socket_.get());
  (void)Break(absl::UnavailableError("the connection was aborted"));
}

ConnectionInfo CopyConnection::info() const {
  return ConnectionInfo{.local = local_,
                        .remote = remote_,
                        .state = std::string(TcpStateOf(socket_.get())),
                        .queue = queue_ != nullptr ? queue_->index() : 0,
                        .bound = queue_ != nullptr,
                        .payload_bytes_received = received_bytes_,
                        .payload_bytes_sent = sent_bytes_};
}

CopyListener::CopyListener(CopyCore* core, UniqueFd socket, std::shared_ptr<CopyQueue> queue)
    : core_(core),
      socket_(std::move(socket)),
      queue_(std::move(queue)),
      port_(LocalPort(socket_.get())) {
  core_->Watch(socket_.get());
}

CopyListener::~CopyListener() { core_->Unwatch(socket_.get()); }

absl::StatusOr<std::unique_ptr<Connection>> CopyListener::Accept(Nanos deadline) {
  for (;;) {
    absl::StatusOr<UniqueFd> accepted = AcceptSocket(socket_.get());
    if (!accepted.ok()) return accepted.status();
    if (accepted->valid()) {
      core_->stats().connections_accepted.Add(1);
      return CopyConnection::Create(core_, *std::move(accepted), queue_);
    }
    if (!core_->Wait(socket_.get(), deadline)) return DeadlineExceeded("nobody connected");
  }
}

}  // namespace devmem
