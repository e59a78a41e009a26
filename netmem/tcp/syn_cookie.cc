// SPDX-License-Identifier: Apache-2.0
// Packing and checking. 28 bits of hash make a blind guess right once in 268 million ACKs, in each
// of the two periods that are valid.
#include "netmem/tcp/syn_cookie.h"

#include <algorithm>
#include <array>

#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

// The segment sizes of today's networks: the smallest we send, the defaults of IPv4 and IPv6,
// tunnels, PPPoE, Ethernet, and jumbo frames.
constexpr std::array<uint16_t, 8> kSizes = {88, 536, 1220, 1360, 1400, 1440, 1460, 8940};
static_assert(kSizes.front() == kMssBytesMin && kSizes[1] == kMssBytesDefault);

constexpr uint32_t kHashMask = (1u << 28) - 1;
constexpr uint8_t kNoScale = 15;
static_assert(kWindowScaleMax < kNoScale);

uint32_t SizeIndex(uint16_t mss_bytes) {
  uint32_t index = 0;
  while (index + 1 < kSizes.size() && kSizes[index + 1] <= mss_bytes) ++index;
  return index;
}

uint32_t TimestampBits(const CookieOptions& options) {
  return (options.ecn ? 32u : 0u) | (options.sack_permitted ? 16u : 0u) |
         options.window_scale.value_or(kNoScale);
}

// `period` counts kSynCookiePeriod; `bits` are those of the timestamp, 64 when there is none.
uint32_t HashOf(const FlowKey& flow, const SipKey& secret, SeqNum peer_iss, uint64_t period,
                uint32_t size_index, uint32_t bits) {
  std::array<uint8_t, 2 * IpAddress::kBytes + 19> input;
  uint8_t* at = input.data();
  flow.local.StoreTo(at);
  flow.remote.StoreTo(at + IpAddress::kBytes);
  at += 2 * IpAddress::kBytes;
  StoreBe16(at, flow.local_port);
  StoreBe16(at + 2, flow.remote_port);
  StoreBe32(at + 4, peer_iss.value());
  StoreBe32(at + 8, static_cast<uint32_t>(period >> 32));
  StoreBe32(at + 12, static_cast<uint32_t>(period));
  at[16] = static_cast<uint8_t>(size_index);
  at[17] = static_cast<uint8_t>(bits);
  at[18] = 3;  // Apart from what isn.cc makes with the same secret.
  return static_cast<uint32_t>(SipHash24(secret, input)) & kHashMask;
}

uint32_t BitsFor(const CookieOptions& options) {
  return options.timestamps ? TimestampBits(options) : kCookieTicks;
}

}  // namespace

CookieOptions CookieOptionsFor(const TcpOptions& syn, bool ecn) {
  CookieOptions options;
  options.mss_bytes = kSizes[SizeIndex(syn.mss.value_or(kMssBytesDefault))];
  if (!syn.timestamps.has_value()) return options;
  options.timestamps = true;
  options.sack_permitted = syn.sack_permitted;
  options.ecn = ecn;
  if (syn.window_scale.has_value()) {
    options.window_scale = std::min(*syn.window_scale, kWindowScaleMax);
  }
  return options;
}

SeqNum MakeSynCookie(const FlowKey& flow, const SipKey& secret, SeqNum peer_iss,
                     const CookieOptions& options, Nanos now) {
  const uint64_t period = static_cast<uint64_t>(now / kSynCookiePeriod);
  const uint32_t size_index = SizeIndex(options.mss_bytes);
  const uint32_t hash = HashOf(flow, secret, peer_iss, period, size_index, BitsFor(options));
  return SeqNum(static_cast<uint32_t>(period & 1) << 31 | size_index << 28 | hash);
}

uint32_t CookieTimestamp(uint32_t tsval, const CookieOptions& options) {
  const uint32_t marked = (tsval & ~(kCookieTicks - 1)) | TimestampBits(options);
  // The connection's later timestamps may not be older than this one.
  return marked - tsval < kCookieTicks && marked != tsval ? marked - kCookieTicks : marked;
}

std::optional<CookieOptions> CheckSynCookie(const FlowKey& flow, const SipKey& secret,
                                            SeqNum peer_iss, SeqNum cookie,
                                            std::optional<uint32_t> echo, Nanos now) {
  uint64_t period = static_cast<uint64_t>(now / kSynCookiePeriod);
  if ((period & 1) != cookie.value() >> 31) {
    if (period == 0) return std::nullopt;
    --period;
  }
  const uint32_t size_index = cookie.value() >> 28 & 7;
  const uint32_t bits = echo.has_value() ? *echo & (kCookieTicks - 1) : kCookieTicks;
  const uint32_t hash = HashOf(flow, secret, peer_iss, period, size_index, bits);
  if (hash != (cookie.value() & kHashMask)) return std::nullopt;
  CookieOptions options;
  options.mss_bytes = kSizes[size_index];
  if (!echo.has_value()) return options;
  options.timestamps = true;
  options.ecn = (bits & 32) != 0;
  options.sack_permitted = (bits & 16) != 0;
  if ((bits & 15) != kNoScale) options.window_scale = static_cast<uint8_t>(bits & 15);
  return options;
}

}  // namespace devmem
