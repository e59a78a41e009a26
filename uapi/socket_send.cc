// SPDX-License-Identifier: Apache-2.0
//
// Sending over a kernel socket, from host memory and from device memory.

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "uapi/socket_connection.h"
#include "uapi/tcp_socket.h"

namespace devmem {
namespace {

// The kernel has no event for "everything was acknowledged", and none that memory for a notice is
// there again: whoever waits looks again this often.
constexpr Nanos kSendAskAgain = kMillisecond;

absl::Status DeadlineExceeded(absl::string_view what) {
  return absl::DeadlineExceededError(absl::StrCat(what, " by the deadline; call again to go on"));
}

}  // namespace

absl::Status SocketConnection::WaitWritable(Nanos deadline) {
  if (!writable_.valid()) {
    absl::StatusOr<UniqueFd> writable = WatchWritable(socket_.get());
    if (!writable.ok()) return writable.status();
    writable_ = *std::move(writable);
  }
  if (core_->Wait(writable_.get(), deadline)) return absl::OkStatus();
  return DeadlineExceeded("no byte was taken to send");
}

absl::StatusOr<size_t> SocketConnection::Send(std::span<const uint8_t> bytes, Nanos deadline) {
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
    TakeNotices();
    const absl::Status writable = WaitWritable(deadline);
    if (!writable.ok()) return writable;
  }
}

absl::StatusOr<size_t> SocketConnection::SendFrom(const Region& region, uint64_t offset,
                                                  uint64_t bytes, Nanos deadline) {
  if (offset > region.size_bytes() || bytes > region.size_bytes() - offset) {
    return absl::OutOfRangeError(
        absl::StrCat(bytes, " bytes from offset ", offset, " on leave ", region.Describe()));
  }
  const absl::StatusOr<uint32_t> dmabuf = PrepareSendFrom(region);
  // Whoever cannot send without a copy sends with one.
  if (absl::IsUnimplemented(dmabuf.status())) {
    return Connection::SendFrom(region, offset, bytes, deadline);
  }
  if (!dmabuf.ok()) return dmabuf.status();
  for (;;) {
    if (shut_down_) {
      return absl::FailedPreconditionError("the connection was shut down for sending");
    }
    if (broken_.has_value()) return *broken_;
    const ssize_t sent = device_sender_->Send(*dmabuf, offset, bytes);
    if (sent >= 0) {
      sent_bytes_ += static_cast<uint64_t>(sent);
      core_->backend().CountSent(static_cast<uint64_t>(sent));
      return static_cast<size_t>(sent);
    }
    const absl::Status again = AfterFailedSend(static_cast<int>(-sent), deadline);
    if (!again.ok()) return again;
  }
}

absl::StatusOr<uint32_t> SocketConnection::PrepareSendFrom(const Region& region) {
  const absl::StatusOr<uint32_t> dmabuf = core_->backend().SendBinding(region);
  if (!dmabuf.ok() || device_sender_ != nullptr) return dmabuf;
  auto sender = std::make_unique<DeviceSender>(socket_.get(), &core_->backend().calls());
  const absl::Status prepared = sender->Prepare(core_->backend().importer_name());
  if (!prepared.ok()) return prepared;
  device_sender_ = std::move(sender);
  return dmabuf;
}

// OK when it is worth another try.
absl::Status SocketConnection::AfterFailedSend(int err, Nanos deadline) {
  switch (err) {
    case EAGAIN: return WaitWritable(deadline);
    // No memory for one more notice: those that are there go first.
    case ENOBUFS:
      TakeNotices();
      if (core_->Wait(-1, std::min(deadline, core_->clock().Now() + kSendAskAgain))) {
        return absl::OkStatus();
      }
      return DeadlineExceeded("the kernel had no memory to send from device memory (optmem_max)");
    case ENODEV:
      return absl::UnavailableError(absl::StrCat("the way to ", remote_, " does not lead over ",
                                                 core_->backend().importer_name(),
                                                 ", which alone can read the memory; look at "
                                                 "`ip route get`"));
    case EINVAL:
      return absl::UnimplementedError(absl::StrCat(
          core_->backend().importer_name(), " does not send from device memory on this connection ",
          "(EINVAL; scatter-gather may be off: `ethtool -K ... sg on`); use Send()"));
    default: return BreakByErrno(err);
  }
}

void SocketConnection::TakeNotices() {
  if (device_sender_ != nullptr) device_sender_->TakeNotices();
}

absl::Status SocketConnection::Flush(Nanos deadline) {
  for (;;) {
    TakeNotices();
    const bool in_use = device_sender_ != nullptr && device_sender_->outstanding() > 0;
    if (UnacknowledgedBytes(socket_.get()) == 0 && !in_use) return absl::OkStatus();
    if (broken_.has_value()) return *broken_;
    if (TcpStateOf(socket_.get()) == "CLOSED") return BreakByErrno(ECONNRESET);
    const Nanos now = core_->clock().Now();
    if (deadline <= now) return DeadlineExceeded("not everything was acknowledged");
    (void)core_->Wait(-1, std::min(deadline, now + kSendAskAgain));
  }
}

}  // namespace devmem
