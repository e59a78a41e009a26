// SPDX-License-Identifier: Apache-2.0
//
// Socket options and the struct of TCP_INFO that are newer than the C library's headers, with the
// kernel's numbers (include/uapi/linux/tcp.h).

#pragma once

#include <netinet/tcp.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace devmem::packetdrill {

inline constexpr int kTcpThinLinearTimeouts = 16;
inline constexpr int kTcpTimestamp = 24;
inline constexpr int kTcpSaveSyn = 27;
inline constexpr int kTcpTxDelay = 37;

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef IPV6_AUTOFLOWLABEL
#define IPV6_AUTOFLOWLABEL 70
#endif
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

// The bits of TcpInfo::options.
inline constexpr uint8_t kInfoTimestamps = 1;
inline constexpr uint8_t kInfoSack = 2;
inline constexpr uint8_t kInfoWindowScale = 4;
inline constexpr uint8_t kInfoEcn = 8;

// struct tcp_info. Who asks with a shorter buffer gets its beginning, with a longer one zeros
// behind it.
struct TcpInfo {
  uint8_t state;
  uint8_t ca_state;
  uint8_t retransmits;
  uint8_t probes;
  uint8_t backoff;
  uint8_t options;
  uint8_t wscales;  // Low half: of the windows that we are sent; high half: of ours.
  uint8_t delivery_rate_app_limited;
  uint32_t rto;  // In microseconds, as all times unless the name says ms.
  uint32_t ato;
  uint32_t snd_mss;
  uint32_t rcv_mss;
  uint32_t unacked;
  uint32_t sacked;
  uint32_t lost;
  uint32_t retrans;
  uint32_t fackets;
  uint32_t last_data_sent_ms;
  uint32_t last_ack_sent_ms;
  uint32_t last_data_recv_ms;
  uint32_t last_ack_recv_ms;
  uint32_t pmtu;
  uint32_t rcv_ssthresh;
  uint32_t rtt;
  uint32_t rttvar;
  uint32_t snd_ssthresh;
  uint32_t snd_cwnd;
  uint32_t advmss;
  uint32_t reordering;
  uint32_t rcv_rtt;
  uint32_t rcv_space;
  uint32_t total_retrans;
  uint64_t pacing_rate;
  uint64_t max_pacing_rate;
  uint64_t bytes_acked;
  uint64_t bytes_received;
  uint32_t segs_out;
  uint32_t segs_in;
  uint32_t notsent_bytes;
  uint32_t min_rtt;
  uint32_t data_segs_in;
  uint32_t data_segs_out;
  uint64_t delivery_rate;
  uint64_t busy_time;
  uint64_t rwnd_limited;
  uint64_t sndbuf_limited;
  uint32_t delivered;
  uint32_t delivered_ce;
  uint64_t bytes_sent;
  uint64_t bytes_retrans;
  uint32_t dsack_dups;
  uint32_t reord_seen;
  uint32_t rcv_ooopack;
  uint32_t snd_wnd;
  uint32_t rcv_wnd;
  uint32_t rehash;
  uint16_t total_rto;
  uint16_t total_rto_recoveries;
  uint32_t total_rto_time;
};
static_assert(offsetof(TcpInfo, rto) == 8 && offsetof(TcpInfo, pacing_rate) == 104);
static_assert(offsetof(TcpInfo, bytes_acked) == 120 && offsetof(TcpInfo, bytes_sent) == 200);
static_assert(sizeof(TcpInfo) == 248);
static_assert(std::is_trivially_copyable_v<TcpInfo>);

}  // namespace devmem::packetdrill
