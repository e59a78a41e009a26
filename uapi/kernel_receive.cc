// SPDX-License-Identifier: Apache-2.0
//
// Receiving of the kernel backend: one recvmsg(), its control messages, and the frags or host bytes
// that come of it.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/kernel_binding.h"

namespace devmem {
namespace {

using Outcome = SocketQueue::Outcome;
using Received = SocketQueue::Received;

constexpr size_t kControlBytes = CMSG_SPACE(sizeof(abi::dmabuf_cmsg));

Received NoRoom(absl::string_view why) {
  return {.outcome = Outcome::kNoRoom, .why = absl::ResourceExhaustedError(why)};
}

Received Broken(absl::Status why) { return {.outcome = Outcome::kBroken, .why = std::move(why)}; }

}  // namespace

Received KernelBinding::Receive(int socket, std::span<Frag> frags) {
  const std::lock_guard<std::mutex> lock(mutex_);
  FlushLocked();
  if (std::optional<Received> cannot = CannotReceive()) return *std::move(cannot);
  const size_t frags_max = std::min<size_t>({frags.size(), kControlMessagesMax, tokens_.room()});
  if (frags_max == 0) return {.outcome = Outcome::kNoTokens};
  const uint32_t index = by_fd_.at(socket);
  const uint64_t held = uint64_t{tokens_.used()} * kKernelNetIovBytes;
  const Message message = ReceiveMessage(index, setup_.held_bytes_max - held, frags_max);
  if (message.instead.has_value()) {
    room_.End();
    return *message.instead;
  }
  const size_t count = NameFrags(index, message.pieces, frags);
  room_.End();
  CountBytes(message, false);
  shared_.stats->frags.Add(count);
  shared_.stats->tokens_issued.Add(count);
  Publish();
  return {.outcome = Outcome::kBytes, .frags = count, .bytes = message.bytes};
}

Received KernelBinding::Read(int socket, std::span<uint8_t> bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  FlushLocked();
  if (std::optional<Received> cannot = CannotReceive()) return *std::move(cannot);
  if (!setup_.read_back.mapped()) {
    return {.outcome = Outcome::kRefused, .why = setup_.read_back.Begin().status()};
  }
  const uint32_t index = by_fd_.at(socket);
  const Message message = ReceiveMessage(index, bytes.size(), kControlMessagesMax);
  room_.End();
  if (message.instead.has_value()) return *message.instead;
  const absl::Status copied = CopyOut(message, bytes);
  GiveBackPieces(index, message.pieces);
  if (!copied.ok()) {
    shared_.calls->EndStream(sockets_[index]->fd, true);
    return Broken(copied);
  }
  CountBytes(message, true);
  return {.outcome = Outcome::kBytes, .bytes = message.bytes};
}

// What stands in the way before the kernel is asked.
std::optional<Received> KernelBinding::CannotReceive() const {
  if (closed_) return Received{.outcome = Outcome::kClosed, .why = why_closed_};
  if (!posting_) return NoRoom("the region is being removed, and receives no more");
  if (uint64_t{tokens_.used()} * kKernelNetIovBytes < setup_.held_bytes_max) return std::nullopt;
  shared_.kernel_stats->held_back.Add(1);
  shared_.stats->receive_starved.Add(1);
  return NoRoom(absl::StrCat("frags hold ", uint64_t{tokens_.used()} * kKernelNetIovBytes,
                             " bytes of net_iovs, of ", setup_.held_bytes_max,
                             " that may be (BindOptions::held_bytes_max)"));
}

KernelBinding::Message KernelBinding::ReceiveMessage(uint32_t index, uint64_t bytes_max,
                                                     size_t pieces_max) {
  const int socket = sockets_[index]->fd;
  const std::span<uint8_t> room = room_.Begin(static_cast<uint32_t>(pieces_max));
  if (room.empty()) {
    shared_.stats->receive_starved.Add(1);
    return {.instead = NoRoom("the session's host region is held by frags")};
  }
  pieces_max = std::min<size_t>(pieces_max, room_.granted());
  msghdr header{};
  const ssize_t got = CallReceive(socket, room.first(std::min<uint64_t>(room.size(), bytes_max)),
                                  pieces_max, &header);
  if (got == 0) return {.instead = Received{.outcome = Outcome::kEnd}};
  if (got < 0) return {.instead = ExplainError(static_cast<int>(-got))};
  const auto bytes = static_cast<size_t>(got);
  const ControlReading reading = ReadControl(header, bytes, std::span(pieces_).first(pieces_max));
  const std::span<const KernelPiece> pieces = std::span(pieces_).first(reading.count);
  for (const KernelPiece& piece : pieces) {
    shared_.kernel_stats->kernel_tokens.Add(piece.linear ? 0 : 1);
  }
  if (const std::optional<absl::Status> wrong = WhatIsWrong(reading, pieces)) {
    shared_.kernel_stats->control_damaged.Add(1);
    GiveBackPieces(index, pieces);
    shared_.calls->EndStream(socket, true);
    return {.instead = Broken(*wrong)};
  }
  return {.instead = std::nullopt,
          .bytes = bytes,
          .pieces = pieces,
          .plain = reading.plain,
          .linear = room};
}

// Room for as many control messages as there may be pieces is exactly enough. Should the kernel
// want more for the first one, it gets more; then the bytes bound the pieces, of which each has at
// least one.
ssize_t KernelBinding::CallReceive(int socket, std::span<uint8_t> room, size_t pieces_max,
                                   msghdr* message) {
  size_t control_bytes = pieces_max * kControlBytes;
  const size_t control_bytes_max = control_.size() * sizeof(uint64_t);
  for (;;) {
    iovec vector{room.data(), room.size()};
    *message = msghdr{};
    message->msg_iov = &vector;
    message->msg_iovlen = 1;
    message->msg_control = control_.data();
    message->msg_controllen = control_bytes;
    const ssize_t got =
        shared_.calls->ReceiveMessage(socket, message, MSG_SOCK_DEVMEM | MSG_DONTWAIT);
    message->msg_iov = nullptr;
    if (got != -abi::ETOOSMALL || control_bytes == control_bytes_max) return got;
    shared_.kernel_stats->control_grown.Add(1);
    control_bytes = std::min(2 * control_bytes, control_bytes_max);
    room = room.first(std::min(room.size(), pieces_max));
  }
}

Received KernelBinding::ExplainError(int err) {
  switch (err) {
    case EAGAIN: return {.outcome = Outcome::kEmpty};
    // The kernel found no memory for the names of what has arrived; the bytes are still there.
    case ENOMEM:
    case ENOBUFS:
    case EBUSY: return NoRoom("the kernel has no memory for more tokens now");
    case abi::ETOOSMALL:
      return Broken(absl::InternalError(
          absl::StrCat("recvmsg() finds no room for one control message in ",
                       kControlMessagesMax * kControlBytes,
                       " bytes (ETOOSMALL); this kernel's devmem TCP is not the one we know")));
    case ENODEV:
      return Broken(absl::FailedPreconditionError(
          "the next bytes lie in memory of another kind of binding, of io_uring's zero-copy "
          "receive "
          "(ENODEV): a flow rule sends this connection to a queue that is not the binding's; look "
          "at `ethtool -n` and `devmemctl queue show`"));
    case EFAULT:
      return Broken(
          absl::InternalError("recvmsg() could not hand out the next bytes (EFAULT): the NIC "
                              "delivered a packet that is "
                              "shorter than its headers say"));
    default: return {.outcome = Outcome::kBroken, .error = err};
  }
}

// Nothing of a damaged message is handed out: what it lost is lost from the middle of the stream.
std::optional<absl::Status> KernelBinding::WhatIsWrong(const ControlReading& reading,
                                                       std::span<const KernelPiece> pieces) const {
  switch (reading.verdict) {
    case ControlReading::Verdict::kGood: break;
    case ControlReading::Verdict::kTruncated:
      return absl::DataLossError(
          "the kernel cut a control message short and lost the bytes that it named, as kernels "
          "before 6.14 do; the connection was reset. Use a newer kernel");
    case ControlReading::Verdict::kMismatch:
    case ControlReading::Verdict::kOverflow:
      return absl::DataLossError(
          "the control messages of a recvmsg() do not add up to the bytes that it returned; the "
          "connection was reset");
  }
  for (const KernelPiece& piece : pieces) {
    if (piece.linear) continue;
    if (piece.dmabuf_id != setup_.dmabuf_id) {
      return absl::DataLossError(
          absl::StrCat("bytes arrived in binding ", piece.dmabuf_id,
                       " of the kernel, and the connection's is ", setup_.dmabuf_id,
                       "; the connection was reset. A flow rule sends it to a queue of another "
                       "binding: look at `ethtool -n`"));
    }
    if (piece.offset > setup_.bytes || piece.bytes > setup_.bytes - piece.offset) {
      return absl::DataLossError(absl::StrCat("the kernel names ", piece.bytes, " bytes at offset ",
                                              piece.offset, " of a binding of ", setup_.bytes,
                                              " bytes; the connection was reset"));
    }
  }
  return std::nullopt;
}

// Neighbours that touch become one frag. Linear bytes touch when nothing of the stream lies between
// them.
size_t KernelBinding::NameFrags(uint32_t socket_index, std::span<const KernelPiece> pieces,
                                std::span<Frag> frags) {
  size_t count = 0;
  for (size_t i = 0; i < pieces.size();) {
    if (pieces[i].linear) {
      uint32_t bytes = 0;
      for (; i < pieces.size() && pieces[i].linear; ++i) bytes += pieces[i].bytes;
      frags[count++] = room_.Keep(bytes);
      continue;
    }
    KernelTokens::Run run = tokens_.Start(pieces[i].offset, pieces[i].bytes, pieces[i].token);
    for (++i; i < pieces.size() && !pieces[i].linear && run.TouchedBy(pieces[i].offset); ++i) {
      tokens_.Extend(&run, pieces[i].bytes, pieces[i].token);
    }
    frags[count++] = NameRun(socket_index, run);
  }
  return count;
}

Frag KernelBinding::NameRun(uint32_t socket_index, const KernelTokens::Run& run) {
  ++sockets_[socket_index]->held_frags;
  return {.region_id = setup_.region_id,
          .length_bytes = run.bytes(),
          .offset = setup_.region_offset + run.offset(),
          .token = tokens_.Name(run, socket_index)};
}

// The kernel has handed the bytes out and does not take them back, so one that cannot be read is
// lost to the stream.
absl::Status KernelBinding::CopyOut(const Message& message, std::span<uint8_t> bytes) const {
  const bool any_device = std::any_of(message.pieces.begin(), message.pieces.end(),
                                      [](const KernelPiece& piece) { return !piece.linear; });
  std::optional<absl::StatusOr<ReadBack::Copy>> copy;
  if (any_device) copy.emplace(setup_.read_back.Begin());
  if (any_device && !copy->ok()) {
    return absl::DataLossError(
        absl::StrCat("bytes that were received cannot be read back: ", copy->status().message(),
                     "; the connection was reset. Use Recv(), and the device"));
  }
  const std::span<const uint8_t> device =
      any_device ? (*copy)->bytes() : std::span<const uint8_t>();
  size_t linear_done = 0;
  size_t done = 0;
  for (const KernelPiece& piece : message.pieces) {
    const uint8_t* const from = piece.linear ? &message.linear[linear_done] : &device[piece.offset];
    std::memcpy(&bytes[done], from, piece.bytes);
    done += piece.bytes;
    if (piece.linear) linear_done += piece.bytes;
  }
  return absl::OkStatus();
}

void KernelBinding::CountBytes(const Message& message, bool read_back) {
  uint64_t linear = 0;
  uint64_t device = 0;
  for (const KernelPiece& piece : message.pieces) (piece.linear ? linear : device) += piece.bytes;
  SocketStats& stats = *shared_.stats;
  stats.receive_calls.Add(1);
  stats.payload_bytes.Add(linear + device);
  stats.region_bytes.Add(device);
  stats.host_bytes.Add(linear);
  stats.bounced_bytes.Add(linear);
  if (read_back) stats.bytes_read_back.Add(device);
  KernelStats& more = *shared_.kernel_stats;
  (message.plain ? more.unbound_bytes : more.linear_bytes).Add(linear);
}

}  // namespace devmem
