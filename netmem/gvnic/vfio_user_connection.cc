// SPDX-License-Identifier: Apache-2.0
//
// Framing of vfio-user: exactly a header, then exactly the rest of its message. Runs on the thread
// of the device.

#include "netmem/gvnic/vfio_user_connection.h"

#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "netmem/gvnic/limits.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr size_t kHeaderBytes = sizeof(VfioUserHeader);
constexpr size_t kControlBytes = CMSG_SPACE(kVfioUserFdsMax * sizeof(int));

}  // namespace

absl::StatusOr<VfioUserMessage*> VfioUserConnection::Receive() {
  if (header_filled_bytes_ == kHeaderBytes && body_filled_bytes_ == message_.body.size()) {
    header_filled_bytes_ = body_filled_bytes_ = 0;
    message_.fds.clear();
    message_.body.clear();
  }
  if (header_filled_bytes_ < kHeaderBytes) {
    const auto bytes = std::span(reinterpret_cast<uint8_t*>(&message_.header), kHeaderBytes);
    const auto progress = ReadInto(bytes, &header_filled_bytes_);
    if (!progress.ok()) return progress.status();
    if (*progress == Progress::kWaiting) return nullptr;
    if (*progress == Progress::kClosed && header_filled_bytes_ == 0) {
      return absl::CancelledError("the vfio-user client closed the connection");
    }
    if (*progress == Progress::kClosed) {
      return absl::DataLossError("the vfio-user client closed the connection within a header");
    }
    const absl::Status begun = BeginBody();
    if (!begun.ok()) return begun;
  }
  const auto progress = ReadInto(message_.body, &body_filled_bytes_);
  if (!progress.ok()) return progress.status();
  if (*progress == Progress::kClosed) {
    return absl::DataLossError(
        absl::StrCat("the vfio-user client closed the connection within a message, ",
                     body_filled_bytes_, " of ", message_.body.size(), " bytes behind its header"));
  }
  return *progress == Progress::kDone ? &message_ : nullptr;
}

absl::Status VfioUserConnection::BeginBody() {
  const uint32_t bytes = message_.header.bytes;
  if (bytes < kHeaderBytes || bytes > kVfioUserMessageBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("vfio-user command ", message_.header.command, " says that it has ", bytes,
                     " bytes; a message has ", kHeaderBytes, " to ", kVfioUserMessageBytesMax));
  }
  message_.body.resize(bytes - kHeaderBytes);
  return absl::OkStatus();
}

// Reads on until `part` is full.
absl::StatusOr<VfioUserConnection::Progress> VfioUserConnection::ReadInto(std::span<uint8_t> part,
                                                                          size_t* filled_bytes) {
  while (*filled_bytes < part.size()) {
    alignas(cmsghdr) uint8_t control[kControlBytes];
    const std::span<uint8_t> rest = part.subspan(*filled_bytes);
    iovec vector{.iov_base = rest.data(), .iov_len = rest.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
      const int err = errno;
      if (err == EINTR) continue;
      if (err == EAGAIN || err == EWOULDBLOCK) return Progress::kWaiting;
      if (err == ECONNRESET) return Progress::kClosed;
      return ErrnoToStatus(err, "reading from the vfio-user client");
    }
    const absl::Status taken = TakeFds(message);
    if (!taken.ok()) return taken;
    if (got == 0) return Progress::kClosed;
    *filled_bytes += static_cast<size_t>(got);
  }
  return Progress::kDone;
}

// Owns every descriptor that arrived before anything is judged, so that none can leak.
absl::Status VfioUserConnection::TakeFds(const msghdr& received) {
  // CMSG_NXTHDR takes a msghdr that it may change.
  msghdr message = received;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      message_.fds.emplace_back(fd);
    }
  }
  if ((received.msg_flags & MSG_CTRUNC) == 0 && message_.fds.size() <= kVfioUserFdsMax) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a vfio-user message brought more file descriptors than the ", kVfioUserFdsMax,
                   " that the client was told of, or more than this process may open"));
}

absl::Status VfioUserConnection::Reply(const VfioUserHeader& command, uint32_t error,
                                       std::span<const uint8_t> body) {
  if (error != 0) body = {};
  VfioUserHeader header = command;
  header.bytes = static_cast<uint32_t>(kHeaderBytes + body.size());
  header.flags = VfioUserHeader::kReply | (error == 0 ? 0 : VfioUserHeader::kError);
  header.error = error;
  if (backlog_.size() - sent_bytes_ + header.bytes > kVfioUserBacklogBytesMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the vfio-user client does not read its answers: ", backlog_.size() - sent_bytes_,
        " bytes wait for it"));
  }
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&header);
  backlog_.insert(backlog_.end(), bytes, bytes + kHeaderBytes);
  backlog_.insert(backlog_.end(), body.begin(), body.end());
  return Flush();
}

absl::Status VfioUserConnection::Flush() {
  while (has_backlog()) {
    const ssize_t sent = ::send(socket_.get(), backlog_.data() + sent_bytes_,
                                backlog_.size() - sent_bytes_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      const int err = errno;
      if (err == EINTR) continue;
      if (err == EAGAIN || err == EWOULDBLOCK) return absl::OkStatus();
      return ErrnoToStatus(err, "answering the vfio-user client");
    }
    sent_bytes_ += static_cast<size_t>(sent);
  }
  backlog_.clear();
  sent_bytes_ = 0;
  return absl::OkStatus();
}

}  // namespace devmem
