// SPDX-License-Identifier: Apache-2.0
//
// A connection whose worker runs inside its calls.

#include "uapi/stack_connection.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "uapi/stack_session.h"
#include "uapi/threaded_connection.h"

namespace devmem {

std::string EndpointText(const IpAddress& address, uint16_t port) {
  if (address.is_v4()) return absl::StrCat(address.ToString(), ":", port);
  return absl::StrCat("[", address.ToString(), "]:", port);
}

ConnectionInfo DescribeConnection(const TcpConnection& connection, uint32_t worker) {
  ConnectionInfo info;
  info.local = EndpointText(connection.flow.local, connection.flow.local_port);
  info.remote = EndpointText(connection.flow.remote, connection.flow.remote_port);
  info.state = std::string(ToString(connection.state));
  info.queue = worker;
  info.bound = connection.bound;
  info.payload_bytes_received = connection.payload_bytes_received;
  info.payload_bytes_sent = connection.payload_bytes_sent;
  return info;
}

absl::Status EndOf(const TcpConnection& connection) {
  if (connection.close_reason == CloseReason::kNone) return absl::OkStatus();
  const absl::StatusCode code = connection.close_reason == CloseReason::kMemoryGone
                                    ? absl::StatusCode::kAborted
                                    : absl::StatusCode::kUnavailable;
  return absl::Status(
      code, absl::StrCat("the connection to ",
                         EndpointText(connection.flow.remote, connection.flow.remote_port),
                         " ended: ", ToString(connection.close_reason)));
}

absl::Status RecvNeedsBinding() {
  return absl::FailedPreconditionError(
      "this connection has no binding, so its payload lies in host memory: use Read(), or listen "
      "or "
      "connect with a binding");
}

absl::Status TokensExhausted(uint32_t queue) {
  return absl::ResourceExhaustedError(
      absl::StrCat("all tokens of queue ", queue,
                   " name frags that are held, so bytes wait; release some frags"));
}

absl::Status RefusedTokens(size_t refused, size_t frag_count) {
  if (refused == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(refused, " of ", frag_count,
                   " frags have tokens that name nothing of this session (unknown, foreign, or "
                   "returned before, or of a binding that has ended); the others were released"));
}

absl::Status SendRefusal(const TcpConnection& connection) {
  if (connection.close_reason != CloseReason::kNone) return EndOf(connection);
  if (!connection.sender.fin_queued() && connection.state != TcpState::kClosed) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError("this side of the connection was shut down: Send() is over");
}

bool OurFinIsOpen(const TcpConnection& connection) {
  return connection.state == TcpState::kFinWait1 || connection.state == TcpState::kClosing ||
         connection.state == TcpState::kLastAck;
}

std::unique_ptr<Connection> MakeConnection(StackSession* session, const ConnectionHandle& handle,
                                           FlowRuleBook::Hold rule) {
  if (session->threaded()) {
    return std::make_unique<ThreadedConnection>(session, handle, std::move(rule));
  }
  return std::make_unique<StackConnection>(session, handle, std::move(rule));
}

StackConnection::StackConnection(StackSession* session, const ConnectionHandle& handle,
                                 FlowRuleBook::Hold rule)
    : session_(session), handle_(handle), rule_(std::move(rule)) {}

StackConnection::~StackConnection() {
  const Nanos now = session_->Now();
  worker().engine().Detach(tcp(), now);
  worker().Flush(now);
  session_->Publish(worker());
}

Worker& StackConnection::worker() const { return session_->stack().worker(handle_.worker); }

TcpConnection& StackConnection::tcp() const {
  TcpConnection* connection = worker().engine().Find(handle_.id);
  DEVMEM_CHECK(connection != nullptr, "an attached connection keeps its slot");
  return *connection;
}

absl::StatusOr<size_t> StackConnection::Recv(std::span<Frag> frags, Nanos deadline) {
  if (!handle_.bound) return RecvNeedsBinding();
  if (frags.empty()) return absl::InvalidArgumentError("Recv was given room for 0 frags");
  while (true) {
    TcpConnection& connection = tcp();
    if (connection.bound) {
      const size_t taken = worker().TakeFrags(connection, frags, session_->Now());
      if (taken != 0) {
        session_->PublishHeld(worker());
        return taken;
      }
      if (worker().tokens_full() && !connection.receiver.in_order().empty()) {
        return TokensExhausted(handle_.worker);
      }
    }
    absl::Status end = EndOf(connection);
    if (!end.ok() && connection.state == TcpState::kClosed) return end;
    if (HasReceivedFin(connection.state) || connection.state == TcpState::kClosed) {
      return size_t{0};
    }
    if (!session_->Turn(handle_.worker, deadline)) {
      return absl::DeadlineExceededError("no bytes arrived before the deadline");
    }
  }
}

absl::Status StackConnection::Release(std::span<const Frag> frags) {
  return RefusedTokens(session_->ReleaseAny(frags, handle_.worker), frags.size());
}

absl::Status StackConnection::Release(std::span<const Frag> frags, Fence fence) {
  session_->ReleaseLater(frags, std::move(fence), handle_.worker);
  return absl::OkStatus();
}

absl::StatusOr<size_t> StackConnection::Read(std::span<uint8_t> bytes, Nanos deadline) {
  if (bytes.empty()) return absl::InvalidArgumentError("Read was given room for 0 bytes");
  while (true) {
    TcpConnection& connection = tcp();
    const size_t copied = worker().ReadBytes(connection, bytes, session_->Now());
    if (copied != 0) return copied;
    // Bytes that are there and cannot be reached now are waited for.
    if (connection.receiver.in_order().empty()) {
      absl::Status end = EndOf(connection);
      if (!end.ok() && connection.state == TcpState::kClosed) return end;
      if (HasReceivedFin(connection.state) || connection.state == TcpState::kClosed) {
        return size_t{0};
      }
    }
    if (!session_->Turn(handle_.worker, deadline)) {
      return absl::DeadlineExceededError("no bytes arrived before the deadline");
    }
  }
}

absl::StatusOr<size_t> StackConnection::Send(std::span<const uint8_t> bytes, Nanos deadline) {
  if (bytes.empty()) return size_t{0};
  while (true) {
    TcpConnection& connection = tcp();
    absl::Status refused = SendRefusal(connection);
    if (!refused.ok()) return refused;
    const Nanos now = session_->Now();
    const size_t queued = worker().engine().Send(connection, bytes, now);
    if (queued != 0) {
      worker().Flush(now);
      return queued;
    }
    if (!session_->Turn(handle_.worker, deadline)) {
      return absl::DeadlineExceededError("the send buffer stayed full until the deadline");
    }
  }
}

absl::Status StackConnection::Flush(Nanos deadline) {
  while (true) {
    TcpConnection& connection = tcp();
    if (connection.state == TcpState::kClosed) return EndOf(connection);
    if (connection.sender.buffer().empty() && !OurFinIsOpen(connection)) return absl::OkStatus();
    if (!session_->Turn(handle_.worker, deadline)) {
      return absl::DeadlineExceededError(absl::StrCat(
          connection.sender.buffer().size(), " bytes were not acknowledged before the deadline"));
    }
  }
}

absl::Status StackConnection::Shutdown() {
  const Nanos now = session_->Now();
  worker().engine().Shutdown(tcp(), now);
  worker().Flush(now);
  return absl::OkStatus();
}

void StackConnection::Abort() { worker().engine().Abort(tcp(), session_->Now()); }

ConnectionInfo StackConnection::info() const { return DescribeConnection(tcp(), handle_.worker); }

}  // namespace devmem
