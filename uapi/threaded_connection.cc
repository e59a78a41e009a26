// SPDX-License-Identifier: Apache-2.0
//
// A connection used from another thread than its worker's.

#include "uapi/threaded_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "uapi/stack_session.h"

namespace devmem {

ThreadedConnection::ThreadedConnection(StackSession* session, const ConnectionHandle& handle,
                                       FlowRuleBook::Hold rule)
    : session_(session), rule_(std::move(rule)), channel_(std::make_shared<Channel>(handle)) {
  session_->AddChannel(channel_);
}

ThreadedConnection::~ThreadedConnection() {
  session_->RemoveChannel(channel_);
  // Frags that were never handed out go back.
  const std::vector<Frag> unread = DropReady();
  (void)session_->ReleaseAny(unread, channel_->handle().worker);
  OnWorker([&](TcpConnection& connection) {
    Worker& worker = session_->stack().worker(channel_->handle().worker);
    // Data that the user never saw: the peer is told with a reset, as for data never taken.
    if (!unread.empty()) worker.engine().Abort(connection, session_->Now());
    worker.engine().Detach(connection, session_->Now());
    worker.Flush(session_->Now());
  });
}

void ThreadedConnection::OnWorker(const std::function<void(TcpConnection&)>& step) const {
  const ConnectionHandle& handle = channel_->handle();
  session_->OnWorker(handle.worker, [&] {
    TcpConnection* connection = session_->stack().worker(handle.worker).engine().Find(handle.id);
    DEVMEM_CHECK(connection != nullptr, "an attached connection keeps its slot");
    step(*connection);
  });
}

ThreadedConnection::Ending ThreadedConnection::End() const {
  Ending ending;
  OnWorker([&](TcpConnection& connection) {
    ending.status = EndOf(connection);
    ending.memory_gone = channel_->handle().bound && !connection.bound;
  });
  return ending;
}

bool ThreadedConnection::WaitForNews(uint64_t seen, Nanos deadline) {
  if (deadline <= session_->Now()) return false;
  channel_->Wait(seen, deadline, session_->clock());
  return true;
}

size_t ThreadedConnection::TakeReady(std::span<Frag> frags) {
  size_t taken = 0;
  if (partial_.token != 0) {
    frags[taken++] = partial_;
    partial_ = Frag{};
    partial_skip_ = 0;
  }
  while (taken < frags.size()) {
    const Frag* frag = channel_->received.Front();
    if (frag == nullptr) break;
    frags[taken++] = *frag;
    channel_->received.Pop();
  }
  if (taken != 0 && channel_->stalled.exchange(false)) {
    session_->Wake(channel_->handle().worker);
  }
  return taken;
}

std::vector<Frag> ThreadedConnection::DropReady() {
  std::vector<Frag> unread;
  if (partial_.token != 0) unread.push_back(partial_);
  partial_ = Frag{};
  partial_skip_ = 0;
  while (const Frag* frag = channel_->received.Front()) {
    unread.push_back(*frag);
    channel_->received.Pop();
  }
  return unread;
}

// The stream has ended: with what waits here, or without it where its binding went before.
absl::StatusOr<size_t> ThreadedConnection::RecvLast(std::span<Frag> frags) {
  Ending ending = End();
  // The tokens are dead, so nothing is left to release. A stream that had ended in order must not
  // look whole.
  if (ending.memory_gone && !DropReady().empty() && ending.status.ok()) {
    lost_ = absl::UnavailableError(
        "the binding of this connection was unbound before all of its bytes were taken");
  }
  if (!ending.status.ok() && ending.memory_gone) return ending.status;
  if (!lost_.ok()) return lost_;
  const size_t taken = TakeReady(frags);
  if (taken != 0 || ending.status.ok()) return taken;
  return ending.status;
}

absl::StatusOr<size_t> ThreadedConnection::Recv(std::span<Frag> frags, Nanos deadline) {
  if (!channel_->handle().bound) return RecvNeedsBinding();
  if (frags.empty()) return absl::InvalidArgumentError("Recv was given room for 0 frags");
  if (!channel_->pull.exchange(true)) session_->Wake(channel_->handle().worker);
  while (true) {
    const uint64_t seen = channel_->news();
    if (channel_->ended.load(std::memory_order_acquire)) return RecvLast(frags);
    const size_t taken = TakeReady(frags);
    if (taken != 0) return taken;
    if (channel_->lacks_tokens.load() && session_->LacksTokens(channel_)) {
      return TokensExhausted(channel_->handle().worker);
    }
    if (!WaitForNews(seen, deadline)) {
      return absl::DeadlineExceededError("no bytes arrived before the deadline");
    }
  }
}

absl::Status ThreadedConnection::Release(std::span<const Frag> frags) {
  const uint32_t worker = channel_->handle().worker;
  size_t pushed = 0;
  while (pushed < frags.size() && session_->stack().worker(worker).Owns(frags[pushed].token) &&
         channel_->returned.TryPush(frags[pushed])) {
    ++pushed;
  }
  if (pushed != 0) session_->Wake(worker);
  // The ring is full, or a frag is another queue's: the rest is carried over and waited for.
  const std::span<const Frag> rest = frags.subspan(pushed);
  return RefusedTokens(rest.empty() ? 0 : session_->ReleaseAny(rest, worker), frags.size());
}

absl::Status ThreadedConnection::Release(std::span<const Frag> frags, Fence fence) {
  session_->ReleaseLater(frags, std::move(fence), channel_->handle().worker);
  return absl::OkStatus();
}

// Bytes of frags that were on their way to Recv() come first.
size_t ThreadedConnection::ReadReady(std::span<uint8_t> bytes) {
  if (partial_.token == 0 && TakeReady(std::span(&partial_, 1)) == 0) return 0;
  const uint32_t part =
      static_cast<uint32_t>(std::min<size_t>(partial_.length_bytes, bytes.size()));
  const uint32_t worker = channel_->handle().worker;
  bool copied = false;
  bool held = false;
  session_->OnWorker(worker, [&] {
    Worker& owner = session_->stack().worker(worker);
    copied = owner.ReadHeld(partial_.token, partial_skip_, bytes.first(part));
    held = owner.Holds(partial_.token);
  });
  if (!copied) {
    // Its binding is gone and the bytes with it, or they cannot be reached just now.
    if (!held) {
      partial_ = Frag{};
      partial_skip_ = 0;
    }
    return 0;
  }
  partial_.offset += part;
  partial_.length_bytes -= part;
  partial_skip_ += part;
  if (partial_.length_bytes == 0) {
    (void)Release(std::span(&partial_, 1));
    partial_ = Frag{};
    partial_skip_ = 0;
  }
  return part;
}

// 0: nothing there yet.
absl::StatusOr<size_t> ThreadedConnection::ReadOnWorker(std::span<uint8_t> bytes) {
  size_t copied = 0;
  bool over = false;
  absl::Status end;
  OnWorker([&](TcpConnection& connection) {
    // From here on the worker leaves the stream alone; what it pushed before comes first.
    channel_->pull.store(false);
    if (!channel_->received.empty()) return;
    copied = session_->stack()
                 .worker(channel_->handle().worker)
                 .ReadBytes(connection, bytes, session_->Now());
    over = copied == 0 && connection.receiver.in_order().empty() &&
           (HasReceivedFin(connection.state) || connection.state == TcpState::kClosed);
    end = EndOf(connection);
  });
  if (copied != 0 || !over) return copied;
  if (!end.ok()) return end;
  return absl::OutOfRangeError("end of stream");
}

absl::StatusOr<size_t> ThreadedConnection::Read(std::span<uint8_t> bytes, Nanos deadline) {
  if (bytes.empty()) return absl::InvalidArgumentError("Read was given room for 0 bytes");
  while (true) {
    const uint64_t seen = channel_->news();
    const size_t ready = ReadReady(bytes);
    if (ready != 0) return ready;
    const absl::StatusOr<size_t> copied = ReadOnWorker(bytes);
    if (absl::IsOutOfRange(copied.status())) return size_t{0};
    if (!copied.ok() || *copied != 0) return copied;
    if (!channel_->received.empty()) continue;
    if (!WaitForNews(seen, deadline)) {
      return absl::DeadlineExceededError("no bytes arrived before the deadline");
    }
  }
}

absl::StatusOr<size_t> ThreadedConnection::Send(std::span<const uint8_t> bytes, Nanos deadline) {
  if (bytes.empty()) return size_t{0};
  while (true) {
    const uint64_t seen = channel_->news();
    size_t queued = 0;
    absl::Status refused;
    OnWorker([&](TcpConnection& connection) {
      refused = SendRefusal(connection);
      if (!refused.ok()) return;
      Worker& worker = session_->stack().worker(channel_->handle().worker);
      queued = worker.engine().Send(connection, bytes, session_->Now());
      worker.Flush(session_->Now());
    });
    if (!refused.ok()) return refused;
    if (queued != 0) return queued;
    if (!WaitForNews(seen, deadline)) {
      return absl::DeadlineExceededError("the send buffer stayed full until the deadline");
    }
  }
}

absl::Status ThreadedConnection::Flush(Nanos deadline) {
  while (true) {
    const uint64_t seen = channel_->news();
    bool done = false;
    size_t left = 0;
    absl::Status end;
    OnWorker([&](TcpConnection& connection) {
      left = connection.sender.buffer().size();
      const bool closed = connection.state == TcpState::kClosed;
      done = closed || (left == 0 && !OurFinIsOpen(connection));
      if (closed) end = EndOf(connection);
    });
    if (done) return end;
    if (!WaitForNews(seen, deadline)) {
      return absl::DeadlineExceededError(
          absl::StrCat(left, " bytes were not acknowledged before the deadline"));
    }
  }
}

absl::Status ThreadedConnection::Shutdown() {
  OnWorker([&](TcpConnection& connection) {
    Worker& worker = session_->stack().worker(channel_->handle().worker);
    worker.engine().Shutdown(connection, session_->Now());
    worker.Flush(session_->Now());
  });
  return absl::OkStatus();
}

void ThreadedConnection::Abort() {
  OnWorker([&](TcpConnection& connection) {
    session_->stack().worker(channel_->handle().worker).engine().Abort(connection, session_->Now());
  });
  const std::vector<Frag> unread = DropReady();
  (void)session_->ReleaseAny(unread, channel_->handle().worker);
}

ConnectionInfo ThreadedConnection::info() const {
  ConnectionInfo info;
  OnWorker([&](TcpConnection& connection) {
    info = DescribeConnection(connection, channel_->handle().worker);
  });
  return info;
}

}  // namespace devmem
