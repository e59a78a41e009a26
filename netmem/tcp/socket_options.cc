// SPDX-License-Identifier: Apache-2.0
//
// Where the engine takes a connection's options from, and what setting them does at once.

#include "netmem/tcp/socket_options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "netmem/tcp/engine.h"

namespace devmem {

void TcpEngine::SetOptions(TcpConnection& connection, const SocketOptionsRef& options, Nanos now) {
  now_ = now;
  TakeOptions(connection, options);
  ArmKeepalive(connection);
  MarkFlush(connection);  // What was held back may leave now.
}

void TcpEngine::SetQuickAck(TcpConnection& connection, bool quick, Nanos now) {
  now_ = now;
  connection.ack_policy.SetQuick(quick);
  MarkFlush(connection);
}

void TcpEngine::ArmKeepalive(TcpConnection& connection) {
  const Nanos idle = connection.options->keepalive_idle;
  if (idle == kNever) {
    StopTimer(connection, kTimerKeepalive);
  } else if (connection.state != TcpState::kClosed && connection.state != TcpState::kTimeWait) {
    SetTimer(connection, kTimerKeepalive, connection.last_heard_at + idle);
  }
}

void TcpEngine::TakeOptions(TcpConnection& connection, const SocketOptionsRef& options) {
  connection.options = options;
  connection.sender.set_no_delay(options->no_delay);
  connection.sender.set_cork(options->cork);
  connection.sender.set_patient(options->patient);
}

absl::Status TcpEngine::SetListenerOptions(ListenerId id, const SocketOptionsRef& options) {
  Listener* listener = FindListener(id);
  if (listener == nullptr) return absl::NotFoundError(absl::StrCat("no listener has id ", id));
  listener->options = options;
  return absl::OkStatus();
}

uint64_t TcpEngine::WindowBytesMax(const SocketOptions& options) const {
  const uint64_t own = options.window_bytes_max;
  return own == 0 ? config_.window_bytes_max : std::min(own, config_.window_bytes_max);
}

uint8_t TcpEngine::WindowScaleOf(const SocketOptions& options) const {
  return options.window_scale > kWindowScaleMax ? window_scale_ : options.window_scale;
}

uint16_t TcpEngine::MssOf(const FlowKey& flow, const SocketOptions& options) const {
  const uint16_t device = OurMss(flow);
  const uint16_t own = options.mss_bytes_max;
  return own == 0 ? device : std::min(own, device);
}

}  // namespace devmem
