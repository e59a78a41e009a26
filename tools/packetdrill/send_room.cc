// SPDX-License-Identifier: Apache-2.0
//
// When a write finds room, as sk_stream_memory_free() and its like of Linux decide: Linux counts
// whole socket buffers with their overhead, and fills one that it has begun.

#include <algorithm>

#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {
namespace {

// About what one of Linux's socket buffers costs beside its data.
constexpr size_t kBufferOverheadBytes = 832;
// Of one segment in the reckoning of tcp_sndbuf_expand(): headers, and the shared info behind them.
constexpr uint32_t kSegmentOverheadBytes = 640;
constexpr uint32_t kBufferHeadBytes = 256;
constexpr uint32_t kBufferGoalBytesMax = 65535 - 320;

// The most that Linux puts into one socket buffer: whole segments, and not more than half of the
// peer's window.
size_t GoalBytes(const TcpConnection& connection) {
  const uint32_t mss = std::max(connection.sender.mss_bytes(), 1u);
  const uint32_t half_window = std::max(connection.sender.peer_window_bytes() / 2, mss);
  const uint32_t goal = std::min(kBufferGoalBytesMax, half_window);
  return std::max(goal - goal % mss, mss);
}

size_t UnsentBytes(const TcpConnection& connection) {
  const size_t held = connection.sender.buffer().size();
  return held - std::min<size_t>(held, connection.sender.flight_bytes());
}

size_t ChargedBytes(const TcpConnection& connection) {
  const size_t held = connection.sender.buffer().size();
  if (held == 0) return 0;
  const size_t goal = GoalBytes(connection);
  return held + (1 + (held + goal - 1) / goal) * kBufferOverheadBytes;
}

// 0 is the machine's, which knows no limit.
uint32_t UnsentLimit(const Socket& socket) {
  const uint32_t own = socket.settings.unsent_low_water_bytes;
  return own != 0 ? own : UINT32_MAX;
}

SendLimits::Kind LimitOf(const Socket& socket, const TcpConnection& connection) {
  const Sender& sender = connection.sender;
  if (sender.buffer().empty() && sender.all_acked()) return SendLimits::Kind::kIdle;
  const size_t unsent = UnsentBytes(connection);
  const uint32_t flight = sender.flight_bytes();
  const uint32_t usable = sender.peer_window_bytes() - std::min(sender.peer_window_bytes(), flight);
  if (unsent != 0 && usable < std::min<size_t>(unsent, sender.mss_bytes())) {
    return SendLimits::Kind::kPeerWindow;
  }
  return unsent == 0 && socket.wants_space ? SendLimits::Kind::kSendBuffer
                                           : SendLimits::Kind::kBusy;
}

}  // namespace

void SendLimits::Add(Nanos now) {
  const Nanos elapsed = now - since;
  since = now;
  switch (kind) {
    case Kind::kIdle: return;
    case Kind::kBusy: busy += elapsed; return;
    case Kind::kPeerWindow: peer_window += elapsed; return;
    case Kind::kSendBuffer: send_buffer += elapsed; return;
  }
}

void PlugIn::NoteSendLimit(Socket& socket, const TcpConnection& connection) {
  socket.limits.Add(stack_->now());
  socket.limits.kind = LimitOf(socket, connection);
}

uint32_t PlugIn::SendBufferBytes(const Socket& socket) {
  const SocketSettings& settings = socket.settings;
  const TcpConnection* connection = ConnectionOf(socket);
  if (settings.send_buffer_locked || connection == nullptr || !IsSynchronized(connection->state)) {
    return settings.send_buffer_bytes;
  }
  const uint32_t mss = std::max(connection->sender.mss_bytes(), 1u);
  uint32_t per_segment = 1;
  while (per_segment < mss + kSegmentOverheadBytes) per_segment *= 2;
  per_segment += kBufferHeadBytes;
  const uint32_t segments =
      std::max(knobs_.initial_window_segments, connection->sender.congestion().cwnd_bytes() / mss);
  const uint64_t wanted = 2ull * segments * per_segment;
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(wanted, settings.send_buffer_bytes,
                           std::max(knobs_.wmem_bytes[2], settings.send_buffer_bytes)));
}

bool PlugIn::IsWritable(Socket& socket, const TcpConnection& connection) {
  const uint64_t charged = ChargedBytes(connection);
  const uint64_t limit = SendBufferBytes(socket);
  // A third must be free, so that a writer is not woken for crumbs.
  if (charged >= limit || limit - charged < charged / 2) return false;
  return 2ull * UnsentBytes(connection) < UnsentLimit(socket);
}

// How much may be queued before asking again; the caller sends what can go in between. What has
// been begun is filled without asking.
size_t PlugIn::SendRoom(Socket& socket, const TcpConnection& connection) {
  const size_t goal = GoalBytes(connection);
  const size_t unsent = UnsentBytes(connection);
  const size_t physical = connection.sender.buffer().free();
  socket.begun_bytes = std::min(socket.begun_bytes, unsent);
  if (socket.begun_bytes != 0 && socket.begun_bytes < goal) {
    return std::min(goal - socket.begun_bytes, physical);
  }
  const bool free_memory =
      ChargedBytes(connection) < SendBufferBytes(socket) && unsent < UnsentLimit(socket);
  if (!free_memory) return 0;
  socket.begun_bytes = 0;
  return std::min(goal, physical);
}

}  // namespace devmem::packetdrill
