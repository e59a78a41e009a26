// SPDX-License-Identifier: Apache-2.0
//
// What ICMP may do to a connection. Anybody can send such a message, so it is believed only when it
// quotes a sequence number in flight (RFC 5927 section 4.1), it ends a connection only while that
// opens (RFC 1122 section 4.2.3.9, and RFC 5461 section 4.1 for soft errors), and it lowers the
// path's MTU only down to a floor and never raises it (RFC 1191 section 3, RFC 8201 section 4).

#include "netmem/tcp/icmp_error.h"

#include <algorithm>
#include <cerrno>

#include "netmem/tcp/engine.h"

namespace devmem {

void TcpEngine::InputIcmp(const IcmpError& error, Nanos now) {
  now_ = now;
  const uint32_t found = IndexOf(error.flow);
  if (found == ConnectionTable::kNone) {
    ++stats_.icmp_no_connection;
    return;
  }
  TcpConnection& connection = at(found);
  if (error.seq < connection.sender.snd_una() || error.seq >= connection.sender.snd_max()) {
    ++stats_.icmp_bad_sequence;
    return;
  }
  switch (error.kind) {
    case IcmpErrorKind::kTooBig: LowerPathMtu(connection, error.mtu_bytes); return;
    case IcmpErrorKind::kUnreachable:
    case IcmpErrorKind::kSoft: OnUnreachable(connection, error); return;
  }
}

// A connection that has been agreed on outlives every such message: routes come back, and the
// retransmission timer decides. What is on its way is not, so its user hears of it at once.
void TcpEngine::OnUnreachable(TcpConnection& connection, const IcmpError& error) {
  connection.system_error = static_cast<int16_t>(error.system_error);
  if (connection.state != TcpState::kSynSent && connection.state != TcpState::kSynReceived) {
    ++(error.kind == IcmpErrorKind::kSoft ? stats_.icmp_soft : stats_.icmp_hard_late);
    return;
  }
  ++stats_.icmp_closed;
  const bool refused = error.system_error == ECONNREFUSED;
  CloseNow(connection, refused ? CloseReason::kRefused : CloseReason::kUnreachable);
}

// RFC 1191 section 6.4: what was too large goes again at once, in smaller segments, and the
// congestion window stays: nothing says that the path is full.
void TcpEngine::LowerPathMtu(TcpConnection& connection, uint32_t mtu_bytes) {
  const bool is_v4 = connection.flow.local.is_v4();
  const uint32_t mtu = std::max(mtu_bytes, is_v4 ? kPathMtuMinIpv4 : kPathMtuMinIpv6);
  const uint32_t headers = (is_v4 ? 20u : 40u) + 20u + (connection.timestamps.enabled ? 12u : 0u);
  // Before the handshake is done nothing large is under way.
  if (!connection.sender.syn_acked() || mtu - headers >= connection.sender.mss_bytes()) {
    ++stats_.icmp_mtu_ignored;
    return;
  }
  ++stats_.icmp_mtu_lowered;
  connection.sender.OnPathMtu(mtu - headers);
  RestartRetransmit(connection);
  MarkFlush(connection);
}

}  // namespace devmem
