// SPDX-License-Identifier: Apache-2.0
//
// One TCP socket of the plug-in: what Linux keeps beside the connection (struct sock and struct
// socket), in plain values. plugin.h says what the calls do with it; its lock guards it.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "netmem/tcp/engine.h"

namespace devmem::packetdrill {

// What a call answers: `value`, or -1 with this errno.
struct CallResult {
  int64_t value = 0;
  int error = 0;

  static CallResult Fail(int error) { return {-1, error}; }
};

// What setsockopt() and fcntl() set; a connection inherits it from its listener.
struct SocketSettings {
  bool reuse_address = false;
  bool reuse_port = false;
  bool keepalive = false;
  bool linger = false;
  int linger_seconds = 0;
  bool v6_only = false;
  bool recv_err = false;
  bool no_delay = false;
  bool cork = false;
  bool quick_ack = true;
  int tos = 0;
  int mtu_discover = 1;  // IP_PMTUDISC_WANT.
  uint32_t receive_buffer_bytes = 0;
  uint32_t send_buffer_bytes = 0;
  bool receive_buffer_locked = false;  // The user has set it: no autotuning.
  bool send_buffer_locked = false;
  uint32_t low_water_bytes = 1;     // SO_RCVLOWAT.
  Nanos receive_timeout = kNever;   // SO_RCVTIMEO.
  Nanos send_timeout = kNever;      // SO_SNDTIMEO.
  uint32_t mss_bytes = 0;           // TCP_MAXSEG as the user set it; 0: not set.
  uint32_t window_clamp_bytes = 0;  // TCP_WINDOW_CLAMP; 0: none.
  Nanos keepalive_time = 0;
  Nanos keepalive_interval = 0;
  uint32_t keepalive_probes = 0;
  uint32_t user_timeout_ms = 0;
  int linger2_seconds = 0;
  int defer_accept_seconds = 0;
  uint32_t syn_retries = 0;  // TCP_SYNCNT; 0: the knob's.
  bool congestion_is_reno = false;
  uint32_t unsent_low_water_bytes = UINT32_MAX;  // TCP_NOTSENT_LOWAT.
  bool report_unread = false;                    // TCP_INQ.
};

struct Epoll;

// What has kept the sending side from being idle, and for how long (Linux's tcp_chrono).
struct SendLimits {
  enum class Kind : uint8_t { kIdle, kBusy, kPeerWindow, kSendBuffer };

  Kind kind = Kind::kIdle;
  Nanos since = 0;
  Nanos busy = 0;  // Without the other two.
  Nanos peer_window = 0;
  Nanos send_buffer = 0;

  // Time went on to `now`.
  void Add(Nanos now);
};

struct Socket {
  // What the user has been told: SS_UNCONNECTED, a listener, SS_CONNECTING, SS_CONNECTED.
  enum class Phase : uint8_t { kUnconnected, kListening, kConnecting, kConnected };

  int fd = -1;
  int domain = 0;
  bool nonblocking = false;
  Phase phase = Phase::kUnconnected;
  SocketSettings settings;

  bool bound = false;
  IpAddress local;
  uint16_t local_port = 0;
  IpAddress remote;
  uint16_t remote_port = 0;

  std::optional<ConnectionId> connection;
  // One for each family that a dual-stack socket listens on.
  std::vector<ListenerId> listeners;

  int error = 0;              // SO_ERROR, told once.
  bool receive_shut = false;  // No more data: FIN, the end, or shutdown(SHUT_RD).
  bool send_shut = false;
  bool ended = false;  // The connection is over and its reason has been noted.

  // What the last look at the connection saw; a difference wakes whoever polls.
  TcpState seen_state = TcpState::kClosed;
  uint64_t seen_received_bytes = 0;
  uint32_t seen_pending = 0;
  size_t begun_bytes = 0;           // Unsent ones in the socket buffer that Linux would fill next.
  Nanos opened_at = 0;              // When the handshake was over.
  uint32_t first_target_bytes = 0;  // TcpConnection::window_target_bytes when the user got it.
  SendLimits limits;
  bool wants_space = false;  // A write or a poll for writing found too little room.
};

}  // namespace devmem::packetdrill
