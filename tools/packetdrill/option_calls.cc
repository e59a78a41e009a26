// SPDX-License-Identifier: Apache-2.0
//
// setsockopt(): which options there are, what they may be, and what they do, as Linux has them.

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

// Linux's SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF.
constexpr uint32_t kReceiveBufferBytesMin = 2304;
constexpr uint32_t kSendBufferBytesMin = 4608;
constexpr int kLingerSecondsMax = 32767;
constexpr int kKeepaliveSecondsMax = 32767;
constexpr int kDeferAcceptSecondsMax = 120;
constexpr int kMssMin = 88;
constexpr int kMssMax = 32767;

// What setsockopt() was given, of whatever size.
class OptionValue {
 public:
  OptionValue(const void* data, socklen_t bytes) : data_(data), bytes_(bytes) {}

  template <typename T>
  bool Read(T* value) const {
    if (data_ == nullptr || bytes_ < sizeof(T)) return false;
    std::memcpy(value, data_, sizeof(T));
    return true;
  }
  absl::string_view text() const {
    const absl::string_view whole(static_cast<const char*>(data_), bytes_);
    return whole.substr(0, whole.find('\0'));
  }
  bool is_null() const { return data_ == nullptr; }

 private:
  const void* data_;
  socklen_t bytes_;
};

// Linux doubles what it is asked for, to pay for its bookkeeping.
uint32_t BufferBytes(int asked, uint32_t max_bytes, uint32_t least_bytes) {
  const uint32_t bytes = std::min(static_cast<uint32_t>(asked), max_bytes);
  return std::max(2 * bytes, least_bytes);
}

bool ReadTimeout(const OptionValue& value, Nanos* timeout) {
  struct timeval time = {};
  if (!value.Read(&time)) return false;
  const Nanos nanos = time.tv_sec * kSecond + time.tv_usec * kMicrosecond;
  *timeout = nanos == 0 || time.tv_sec < 0 ? kNever : nanos;
  return true;
}

constexpr CallResult kDone = {};
CallResult Invalid() { return CallResult::Fail(EINVAL); }

}  // namespace

CallResult PlugIn::SetOption(int fd, int level, int option, const void* value, socklen_t bytes) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return CallResult::Fail(EBADF);
  if (value == nullptr && bytes != 0) return CallResult::Fail(EFAULT);
  CallResult result = CallResult::Fail(ENOPROTOOPT);
  switch (level) {
    case SOL_SOCKET: result = SetSocketOption(*socket, option, value, bytes); break;
    case SOL_TCP: result = SetTcpOption(*socket, option, value, bytes); break;
    case SOL_IP: result = SetIpOption(*socket, option, value, bytes); break;
    case SOL_IPV6:
      result = socket->domain == AF_INET6 ? SetIpv6Option(*socket, option, value, bytes)
                                          : CallResult::Fail(ENOPROTOOPT);
      break;
    default: break;
  }
  if (result.error == 0) ApplySettings(*socket);
  if (level == SOL_TCP && option == TCP_NODELAY && socket->settings.no_delay) PushCorked(*socket);
  Settle();
  return result;
}

// Whoever turns Nagle's algorithm off gets rid of what a cork holds back, this once.
void PlugIn::PushCorked(Socket& socket) {
  TcpConnection* connection = ConnectionOf(socket);
  if (connection == nullptr) return;
  connection->sender.set_cork(false);
  stack_->Flush();
  connection->sender.set_cork(socket.settings.cork);
}

// As tcp_select_initial_window() and its like reckon: half of a buffer is for data, and a buffer
// that the user has set bounds the scale, too.
SocketOptions PlugIn::OptionsOf(const SocketSettings& settings) const {
  SocketOptions options;
  const uint32_t own = settings.receive_buffer_bytes / 2;
  uint32_t space = settings.receive_buffer_locked ? own : knobs_.rmem_bytes[2] / 2;
  if (settings.window_clamp_bytes != 0) space = std::min(space, settings.window_clamp_bytes);
  options.window_bytes_max = std::max(space, 1u);
  uint32_t reach = std::max({own, knobs_.rmem_bytes[2], knobs_.rmem_max_bytes});
  if (settings.receive_buffer_locked) reach = own;
  if (settings.window_clamp_bytes != 0) reach = std::min(reach, settings.window_clamp_bytes);
  options.window_scale = 0;
  while (options.window_scale < kWindowScaleMax && reach >> (options.window_scale + 16) != 0) {
    ++options.window_scale;
  }
  options.mss_bytes_max = static_cast<uint16_t>(settings.mss_bytes);
  options.no_delay = settings.no_delay;
  options.cork = settings.cork;
  options.patient = true;
  options.syn_retries_max =
      static_cast<uint8_t>(settings.syn_retries != 0 ? settings.syn_retries : knobs_.syn_retries);
  options.data_retries_max = static_cast<uint8_t>(knobs_.retries);
  options.keepalive_idle = settings.keepalive ? settings.keepalive_time : kNever;
  options.keepalive_interval = settings.keepalive_interval;
  options.keepalive_probes_max = static_cast<uint8_t>(settings.keepalive_probes);
  options.user_timeout = settings.user_timeout_ms * kMillisecond;
  options.fin_wait_2_max = settings.linger2_seconds == 0  ? knobs_.fin_timeout
                           : settings.linger2_seconds < 0 ? 0
                                                          : settings.linger2_seconds * kSecond;
  return options;
}

void PlugIn::ApplySettings(Socket& socket) {
  const SocketOptionsRef options(OptionsOf(socket.settings));
  for (const ListenerId id : socket.listeners) {
    (void)stack_->engine().SetListenerOptions(id, options);
  }
  if (!socket.listeners.empty()) {
    stack_->defer_accept().SetPort(socket.local_port,
                                   socket.settings.defer_accept_seconds * kSecond);
  }
  TcpConnection* connection = ConnectionOf(socket);
  if (connection != nullptr) stack_->engine().SetOptions(*connection, options, stack_->now());
}

CallResult PlugIn::SetSocketOption(Socket& socket, int option, const void* data, socklen_t bytes) {
  const OptionValue value(data, bytes);
  SocketSettings& settings = socket.settings;
  if (option == SO_LINGER) {
    linger given = {};
    if (!value.Read(&given)) return Invalid();
    settings.linger = given.l_onoff != 0;
    settings.linger_seconds = std::clamp(given.l_linger, 0, kLingerSecondsMax);
    return kDone;
  }
  if (option == SO_RCVTIMEO) {
    return ReadTimeout(value, &settings.receive_timeout) ? kDone : Invalid();
  }
  if (option == SO_SNDTIMEO) return ReadTimeout(value, &settings.send_timeout) ? kDone : Invalid();
  int number = 0;
  if (!value.Read(&number)) return Invalid();
  switch (option) {
    case SO_REUSEADDR: settings.reuse_address = number != 0; return kDone;
    case SO_REUSEPORT: settings.reuse_port = number != 0; return kDone;
    case SO_KEEPALIVE: settings.keepalive = number != 0; return kDone;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      settings.receive_buffer_bytes = BufferBytes(
          number, option == SO_RCVBUF ? knobs_.rmem_max_bytes : 1u << 30, kReceiveBufferBytesMin);
      settings.receive_buffer_locked = true;
      return kDone;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
      settings.send_buffer_bytes = BufferBytes(
          number, option == SO_SNDBUF ? knobs_.wmem_max_bytes : 1u << 30, kSendBufferBytesMin);
      settings.send_buffer_locked = true;
      return kDone;
    case SO_RCVLOWAT:
      settings.low_water_bytes = number <= 0 ? 1 : static_cast<uint32_t>(number);
      return kDone;
    case SO_ZEROCOPY: return number == 0 || number == 1 ? kDone : Invalid();
    case SO_OOBINLINE:
    case SO_DONTROUTE:
    case SO_PRIORITY:
    case SO_MARK:
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMPING:
    case SO_INCOMING_CPU:
    case SO_BUSY_POLL:
    case SO_MAX_PACING_RATE:
    case SO_DEBUG: return kDone;  // Nothing here that they could change.
    case SO_TYPE:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    default: return CallResult::Fail(ENOPROTOOPT);
  }
}

CallResult PlugIn::SetTcpOption(Socket& socket, int option, const void* data, socklen_t bytes) {
  const OptionValue value(data, bytes);
  SocketSettings& settings = socket.settings;
  if (option == TCP_CONGESTION) {
    const absl::string_view name = value.text();
    if (name != "reno" && name != "cubic") return CallResult::Fail(ENOENT);
    settings.congestion_is_reno = name == "reno";
    return kDone;
  }
  int number = 0;
  if (!value.Read(&number)) return Invalid();
  const bool connected = socket.phase == Socket::Phase::kConnected;
  switch (option) {
    case TCP_NODELAY: settings.no_delay = number != 0; return kDone;
    case TCP_CORK: settings.cork = number != 0; return kDone;
    case TCP_QUICKACK:
      settings.quick_ack = number != 0;
      if (TcpConnection* connection = ConnectionOf(socket)) {
        stack_->engine().SetQuickAck(*connection, number != 0, stack_->now());
      }
      return kDone;
    case TCP_MAXSEG:
      if (number != 0 && (number < kMssMin || number > kMssMax)) return Invalid();
      settings.mss_bytes = static_cast<uint32_t>(number);
      return kDone;
    case TCP_KEEPIDLE:
      if (number < 1 || number > kKeepaliveSecondsMax) return Invalid();
      settings.keepalive_time = number * kSecond;
      return kDone;
    case TCP_KEEPINTVL:
      if (number < 1 || number > kKeepaliveSecondsMax) return Invalid();
      settings.keepalive_interval = number * kSecond;
      return kDone;
    case TCP_KEEPCNT:
      if (number < 1 || number > 127) return Invalid();
      settings.keepalive_probes = static_cast<uint32_t>(number);
      return kDone;
    case TCP_USER_TIMEOUT:
      if (number < 0) return Invalid();
      settings.user_timeout_ms = static_cast<uint32_t>(number);
      return kDone;
    case TCP_LINGER2: settings.linger2_seconds = number; return kDone;
    case TCP_DEFER_ACCEPT:
      // Linux rounds up to a sum of timeouts: 1, 3, 7 ... seconds.
      settings.defer_accept_seconds = number <= 0 ? 0 : 1;
      while (settings.defer_accept_seconds < std::min(number, kDeferAcceptSecondsMax)) {
        settings.defer_accept_seconds = 2 * settings.defer_accept_seconds + 1;
      }
      return kDone;
    case TCP_SYNCNT:
      if (number < 1 || number > 127) return Invalid();
      settings.syn_retries = static_cast<uint32_t>(number);
      return kDone;
    case TCP_WINDOW_CLAMP:
      if (number == 0 && StateOf(socket) != TcpState::kClosed) return Invalid();
      settings.window_clamp_bytes =
          number == 0 ? 0 : std::max(static_cast<uint32_t>(number), kReceiveBufferBytesMin / 2);
      return kDone;
    case TCP_NOTSENT_LOWAT:
      settings.unsent_low_water_bytes = static_cast<uint32_t>(number);
      return kDone;
    case TCP_INQ:
      if (number < 0 || number > 1) return Invalid();
      settings.report_unread = number != 0;
      return kDone;
    // Not offered: 0 switches off what is off, more is refused as on a kernel that has it disabled.
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
      if (number == 0) return kDone;
      return connected ? Invalid() : CallResult::Fail(EOPNOTSUPP);
    case kTcpThinLinearTimeouts:
    case kTcpTimestamp:
    case kTcpSaveSyn:
    case kTcpTxDelay: return kDone;
    default: return CallResult::Fail(ENOPROTOOPT);
  }
}

CallResult PlugIn::SetIpOption(Socket& socket, int option, const void* data, socklen_t bytes) {
  int number = 0;
  // Linux takes a single byte, too.
  if (bytes >= sizeof(number)) {
    std::memcpy(&number, data, sizeof(number));
  } else if (bytes >= 1) {
    number = *static_cast<const uint8_t*>(data);
  }
  switch (option) {
    case IP_TOS: socket.settings.tos = number & 0xfc; return kDone;  // TCP owns the ECN bits.
    case IP_TTL:
      if (number != -1 && (number < 1 || number > 255)) return Invalid();
      return kDone;
    case IP_MTU_DISCOVER:
      if (number < IP_PMTUDISC_DONT || number > IP_PMTUDISC_OMIT) return Invalid();
      socket.settings.mtu_discover = number;
      return kDone;
    case IP_RECVERR: socket.settings.recv_err = number != 0; return kDone;
    case IP_FREEBIND:
    case IP_TRANSPARENT:
    case IP_RECVTOS:
    case IP_BIND_ADDRESS_NO_PORT: return kDone;
    default: return CallResult::Fail(ENOPROTOOPT);
  }
}

CallResult PlugIn::SetIpv6Option(Socket& socket, int option, const void* data, socklen_t bytes) {
  int number = 0;
  if (bytes < sizeof(number)) return Invalid();
  std::memcpy(&number, data, sizeof(number));
  switch (option) {
    case IPV6_V6ONLY:
      if (socket.bound) return Invalid();
      socket.settings.v6_only = number != 0;
      return kDone;
    case IPV6_TCLASS: socket.settings.tos = number < 0 ? 0 : number & 0xfc; return kDone;
    case IPV6_MTU_DISCOVER:
    case IPV6_RECVERR:
    case IPV6_UNICAST_HOPS:
    case IPV6_AUTOFLOWLABEL: return kDone;
    default: return CallResult::Fail(ENOPROTOOPT);
  }
}

}  // namespace devmem::packetdrill
