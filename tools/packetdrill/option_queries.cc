// SPDX-License-Identifier: Apache-2.0
//
// getsockopt(), and what TCP_INFO tells.

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/string_view.h"
#include "tools/packetdrill/option_names.h"
#include "tools/packetdrill/plugin.h"

namespace devmem::packetdrill {
namespace {

// Writes as much of the answer as there is room for; Linux says how much that was.
CallResult Answer(const void* from, size_t from_bytes, void* value, socklen_t* bytes) {
  const size_t copied = std::min<size_t>(from_bytes, *bytes);
  std::memcpy(value, from, copied);
  *bytes = static_cast<socklen_t>(copied);
  return {};
}

struct timeval TimevalOf(Nanos timeout) {
  struct timeval time = {};
  if (timeout == kNever) return time;
  time.tv_sec = timeout / kSecond;
  time.tv_usec = timeout % kSecond / kMicrosecond;
  return time;
}

// Linux's TCP_CA_Open to TCP_CA_Loss.
uint8_t CongestionState(const NewReno& congestion) {
  if (congestion.in_recovery()) return 3;
  if (congestion.after_timeout()) return 4;
  if (congestion.duplicate_bytes() != 0) return 1;
  return congestion.in_marked() ? 2 : 0;
}

int SecondsOf(Nanos time) { return static_cast<int>(time / kSecond); }

// Linux's numbers of the states (include/net/tcp_states.h).
uint8_t StateNumber(TcpState state) {
  switch (state) {
    case TcpState::kEstablished: return TCP_ESTABLISHED;
    case TcpState::kSynSent: return TCP_SYN_SENT;
    case TcpState::kSynReceived: return TCP_SYN_RECV;
    case TcpState::kFinWait1: return TCP_FIN_WAIT1;
    case TcpState::kFinWait2: return TCP_FIN_WAIT2;
    case TcpState::kTimeWait: return TCP_TIME_WAIT;
    case TcpState::kClosed: return TCP_CLOSE;
    case TcpState::kCloseWait: return TCP_CLOSE_WAIT;
    case TcpState::kLastAck: return TCP_LAST_ACK;
    case TcpState::kListen: return TCP_LISTEN;
    case TcpState::kClosing: return TCP_CLOSING;
  }
  return TCP_CLOSE;
}

}  // namespace

CallResult PlugIn::GetOption(int fd, int level, int option, void* value, socklen_t* bytes) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (value == nullptr || bytes == nullptr) return CallResult::Fail(EFAULT);
  if (static_cast<int>(*bytes) < 0) return CallResult::Fail(EINVAL);
  if (level == SOL_TCP && option == TCP_INFO) return GetTcpInfo(*socket, value, bytes);
  // Neither of the algorithms has anything to tell.
  if (level == SOL_TCP && option == TCP_CC_INFO) return Answer("", 0, value, bytes);
  if (level == SOL_SOCKET && option == SO_MEMINFO) return GetMemInfo(*socket, value, bytes);
  if (level == SOL_TCP && option == TCP_CONGESTION) {
    char name[16] = "cubic";
    if (socket->settings.congestion_is_reno) std::strcpy(name, "reno");
    return Answer(name, sizeof(name), value, bytes);
  }
  if (level == SOL_SOCKET && option == SO_LINGER) {
    const linger answer = {socket->settings.linger ? 1 : 0, socket->settings.linger_seconds};
    return Answer(&answer, sizeof(answer), value, bytes);
  }
  if (level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO)) {
    const struct timeval answer = TimevalOf(option == SO_RCVTIMEO ? socket->settings.receive_timeout
                                                                  : socket->settings.send_timeout);
    return Answer(&answer, sizeof(answer), value, bytes);
  }
  std::optional<int> number;
  switch (level) {
    case SOL_SOCKET: number = SocketOptionValue(*socket, option); break;
    case SOL_TCP: number = TcpOptionValue(*socket, option); break;
    case SOL_IP:
    case SOL_IPV6: number = IpOptionValue(*socket, level, option); break;
    default: break;
  }
  if (!number.has_value()) {
    return CallResult::Fail(level == SOL_TCP || level == SOL_SOCKET || level == SOL_IP ||
                                    level == SOL_IPV6
                                ? ENOPROTOOPT
                                : EOPNOTSUPP);
  }
  return Answer(&*number, sizeof(*number), value, bytes);
}

// SO_MEMINFO: bytes received, the receive buffer, bytes sent, the send buffer, and five more
// (include/uapi/linux/sock_diag.h).
CallResult PlugIn::GetMemInfo(Socket& socket, void* value, socklen_t* bytes) {
  uint32_t answer[9] = {};
  const TcpConnection* connection = ConnectionOf(socket);
  answer[1] = ReceiveBufferBytes(socket);
  answer[3] = SendBufferBytes(socket);
  if (connection != nullptr) {
    answer[0] = static_cast<uint32_t>(connection->receiver.in_order().bytes());
    answer[5] = static_cast<uint32_t>(connection->sender.buffer().size());
  }
  return Answer(answer, sizeof(answer), value, bytes);
}

// Linux lets the buffer of a socket grow while its user keeps up, and behind holes, but not before
// somebody has the socket.
uint32_t PlugIn::ReceiveBufferBytes(const Socket& socket) {
  const uint32_t own = socket.settings.receive_buffer_bytes;
  const TcpConnection* connection = ConnectionOf(socket);
  if (connection == nullptr || socket.settings.receive_buffer_locked ||
      connection->window_target_bytes <= socket.first_target_bytes) {
    return own;
  }
  const uint64_t grown =
      std::min<uint64_t>(2ull * connection->window_target_bytes, knobs_.rmem_bytes[2]);
  return std::max(own, static_cast<uint32_t>(grown));
}

std::optional<int> PlugIn::SocketOptionValue(Socket& socket, int option) {
  const SocketSettings& settings = socket.settings;
  switch (option) {
    case SO_REUSEADDR: return settings.reuse_address ? 1 : 0;
    case SO_REUSEPORT: return settings.reuse_port ? 1 : 0;
    case SO_KEEPALIVE: return settings.keepalive ? 1 : 0;
    case SO_RCVBUF: return static_cast<int>(ReceiveBufferBytes(socket));
    case SO_SNDBUF: return static_cast<int>(SendBufferBytes(socket));
    case SO_RCVLOWAT: return static_cast<int>(settings.low_water_bytes);
    case SO_SNDLOWAT: return 1;
    case SO_TYPE: return SOCK_STREAM;
    case SO_PROTOCOL: return IPPROTO_TCP;
    case SO_DOMAIN: return socket.domain;
    case SO_ACCEPTCONN: return socket.phase == Socket::Phase::kListening ? 1 : 0;
    case SO_ERROR: return TakeError(socket);
    case SO_ZEROCOPY:
    case SO_OOBINLINE:
    case SO_DONTROUTE:
    case SO_BROADCAST:
    case SO_PRIORITY:
    case SO_MARK:
    case SO_DEBUG: return 0;
    default: return std::nullopt;
  }
}

std::optional<int> PlugIn::TcpOptionValue(Socket& socket, int option) {
  const SocketSettings& settings = socket.settings;
  const TcpConnection* connection = ConnectionOf(socket);
  switch (option) {
    case TCP_NODELAY: return settings.no_delay ? 1 : 0;
    case TCP_CORK: return settings.cork ? 1 : 0;
    case TCP_QUICKACK:
      return (connection == nullptr ? settings.quick_ack : connection->ack_policy.quick()) ? 1 : 0;
    case TCP_MAXSEG:
      if (connection != nullptr && connection->state != TcpState::kSynSent) {
        return static_cast<int>(connection->sender.mss_bytes());
      }
      return static_cast<int>(settings.mss_bytes != 0 ? settings.mss_bytes : kMssBytesDefault);
    case TCP_KEEPIDLE: return SecondsOf(settings.keepalive_time);
    case TCP_KEEPINTVL: return SecondsOf(settings.keepalive_interval);
    case TCP_KEEPCNT: return static_cast<int>(settings.keepalive_probes);
    case TCP_USER_TIMEOUT: return static_cast<int>(settings.user_timeout_ms);
    case TCP_LINGER2:
      return settings.linger2_seconds != 0 ? settings.linger2_seconds
                                           : SecondsOf(knobs_.fin_timeout);
    case TCP_DEFER_ACCEPT: return settings.defer_accept_seconds;
    case TCP_SYNCNT:
      return static_cast<int>(settings.syn_retries != 0 ? settings.syn_retries
                                                        : knobs_.syn_retries);
    case TCP_WINDOW_CLAMP: return static_cast<int>(settings.window_clamp_bytes);
    case TCP_NOTSENT_LOWAT: return static_cast<int>(settings.unsent_low_water_bytes);
    case TCP_INQ: return settings.report_unread ? 1 : 0;
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
    case kTcpThinLinearTimeouts:
    case kTcpSaveSyn: return 0;
    case kTcpTimestamp:
      return static_cast<int>(static_cast<uint32_t>(stack_->now() / kMillisecond));
    default: return std::nullopt;
  }
}

std::optional<int> PlugIn::IpOptionValue(const Socket& socket, int level, int option) const {
  if (level == SOL_IPV6) {
    if (option == IPV6_V6ONLY) return socket.settings.v6_only ? 1 : 0;
    if (option == IPV6_TCLASS) return socket.settings.tos;
    return std::nullopt;
  }
  switch (option) {
    case IP_TOS: return socket.settings.tos;
    case IP_TTL: return 64;
    case IP_MTU_DISCOVER: return socket.settings.mtu_discover;
    case IP_RECVERR: return socket.settings.recv_err ? 1 : 0;
    case IP_MTU: return static_cast<int>(knobs_.mtu_bytes);
    default: return std::nullopt;
  }
}

CallResult PlugIn::GetTcpInfo(Socket& socket, void* value, socklen_t* bytes) {
  TcpInfo info = {};
  info.state = StateNumber(StateOf(socket));
  info.snd_mss = info.rcv_mss = kMssBytesDefault;
  info.rto = static_cast<uint32_t>(kRtoInitial / kMicrosecond);
  info.reordering = kDuplicateAckThreshold;
  info.snd_cwnd = knobs_.initial_window_segments;
  info.snd_ssthresh = INT32_MAX;
  info.max_pacing_rate = UINT64_MAX;
  info.pmtu = knobs_.mtu_bytes;
  if (const TcpConnection* connection = ConnectionOf(socket)) {
    FillTcpInfo(*connection, &info);
    FillTimes(socket, *connection, &info);
  }
  // A caller whose struct is longer than ours gets zeros for what we do not know.
  std::memset(value, 0, *bytes);
  std::memcpy(value, &info, std::min<size_t>(*bytes, sizeof(info)));
  return {};
}

// What the socket knows beside its connection.
void PlugIn::FillTimes(Socket& socket, const TcpConnection& connection, TcpInfo* info) {
  NoteSendLimit(socket, connection);
  const SendLimits& limits = socket.limits;
  const auto usecs = [](Nanos time) { return static_cast<uint64_t>(time / kMicrosecond); };
  info->busy_time = usecs(limits.busy + limits.peer_window + limits.send_buffer);
  info->rwnd_limited = usecs(limits.peer_window);
  info->sndbuf_limited = usecs(limits.send_buffer);
  // Without any data the clock began with the connection.
  if (connection.payload_bytes_received == 0) {
    info->last_data_recv_ms =
        static_cast<uint32_t>((stack_->now() - socket.opened_at) / kMillisecond);
  }
}

void PlugIn::FillTcpInfo(const TcpConnection& connection, TcpInfo* info) const {
  const Sender& sender = connection.sender;
  const uint32_t mss = std::max(sender.mss_bytes(), 1u);
  const auto segments = [mss](uint32_t bytes_count) { return (bytes_count + mss - 1) / mss; };
  const auto usecs = [](Nanos time) { return static_cast<uint32_t>(time / kMicrosecond); };
  const auto ago_ms = [this](Nanos at) {
    return static_cast<uint32_t>((stack_->now() - at) / kMillisecond);
  };
  if (connection.timestamps.enabled) info->options |= kInfoTimestamps;
  if (connection.sack_permitted) info->options |= kInfoSack;
  if (connection.window_scaling) info->options |= kInfoWindowScale;
  info->ca_state = CongestionState(sender.congestion());
  info->sacked = segments(sender.sacked_bytes());
  info->wscales =
      static_cast<uint8_t>((connection.snd_scale & 0xf) | (connection.rcv_scale & 0xf) << 4);
  // The same count serves for what goes again and for probes of a silent or shut peer.
  (sender.all_acked() ? info->probes : info->retransmits) = connection.retries;
  info->backoff = static_cast<uint8_t>(sender.rto().backoff_count());
  info->rto = usecs(sender.rto().rto());
  info->ato = usecs(knobs_.delayed_ack);
  info->snd_mss = sender.mss_bytes();
  info->rcv_mss = connection.ack_policy.rcv_mss_bytes();
  info->unacked = segments(sender.snd_max().value() - sender.snd_una().value());
  info->rtt = usecs(sender.rto().srtt());
  info->rttvar = usecs(sender.rto().rttvar());
  info->snd_cwnd = sender.congestion().cwnd_bytes() / mss;
  const uint32_t ssthresh = sender.congestion().ssthresh_bytes();
  info->snd_ssthresh = ssthresh > kCongestionWindowBytesMax ? INT32_MAX : ssthresh / mss;
  info->advmss = knobs_.mtu_bytes - (connection.flow.local.is_v4() ? 40 : 60) -
                 (connection.timestamps.enabled ? 12 : 0);
  info->rcv_space = connection.receiver.outstanding_bytes();
  info->rcv_ssthresh = connection.receiver.outstanding_bytes();
  info->rcv_wnd = connection.receiver.outstanding_bytes();
  info->snd_wnd = sender.peer_window_bytes();
  info->bytes_received = connection.payload_bytes_received;
  info->bytes_sent = connection.payload_bytes_sent;
  const size_t queued = sender.buffer().size();
  const uint32_t flight = sender.flight_bytes();
  info->notsent_bytes = static_cast<uint32_t>(queued - std::min<size_t>(queued, flight));
  info->bytes_acked =
      connection.payload_bytes_sent -
      std::min<uint64_t>(connection.payload_bytes_sent, queued - info->notsent_bytes);
  info->last_data_recv_ms =
      ago_ms(connection.ack_policy.data_heard_at(connection.last_heard_at, stack_->now()));
  info->last_ack_recv_ms = ago_ms(connection.last_heard_at);
}

}  // namespace devmem::packetdrill
