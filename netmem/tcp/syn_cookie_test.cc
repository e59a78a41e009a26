// SPDX-License-Identifier: Apache-2.0
// What a SYN cookie remembers, what it does not, and that nobody can make or alter one.

#include "netmem/tcp/syn_cookie.h"

#include <gtest/gtest.h>

#include <random>

namespace devmem {
namespace {

constexpr SipKey kSecret = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
constexpr SeqNum kPeerIss{0xfffffff0};
const FlowKey kFlow{IpAddress::FromV4(0xc0000202), IpAddress::FromV4(0xc0000201), 80, 40000};

std::optional<CookieOptions> RoundTrip(const CookieOptions& options, Nanos made_at, Nanos now) {
  const SeqNum cookie = MakeSynCookie(kFlow, kSecret, kPeerIss, options, made_at);
  std::optional<uint32_t> echo;
  if (options.timestamps) echo = CookieTimestamp(123456789, options);
  return CheckSynCookie(kFlow, kSecret, kPeerIss, cookie, echo, now);
}

TEST(SynCookieTest, EveryCombinationOfOptionsComesBack) {
  for (uint32_t bits = 0; bits < 4; ++bits) {
    for (int scale = -1; scale <= kWindowScaleMax; ++scale) {
      CookieOptions options{.mss_bytes = 1460,
                            .timestamps = true,
                            .sack_permitted = (bits & 1) != 0,
                            .ecn = (bits & 2) != 0};
      if (scale >= 0) options.window_scale = static_cast<uint8_t>(scale);
      EXPECT_EQ(RoundTrip(options, kSecond, 2 * kSecond), options);
    }
  }
}

TEST(SynCookieTest, TheSegmentSizeIsRoundedDown) {
  const std::pair<uint16_t, uint16_t> expected[] = {
      {1, 88},      {535, 88},    {536, 536},   {1300, 1220}, {1399, 1360},
      {1459, 1440}, {1460, 1460}, {8939, 1460}, {8940, 8940}, {65535, 8940}};
  for (const auto& [offered, kept] : expected) {
    EXPECT_EQ(CookieOptionsFor(TcpOptions{.mss = offered}, false).mss_bytes, kept) << offered;
  }
  EXPECT_EQ(CookieOptionsFor(TcpOptions{}, false).mss_bytes, kMssBytesDefault);
}

TEST(SynCookieTest, WithoutTimestampsNothingButTheSegmentSizeIsRemembered) {
  const TcpOptions syn{.mss = 1460, .window_scale = 7, .sack_permitted = true};
  const CookieOptions options = CookieOptionsFor(syn, true);
  EXPECT_EQ(options, CookieOptions{.mss_bytes = 1460});
  EXPECT_EQ(RoundTrip(options, 0, 0), options);
}

TEST(SynCookieTest, ACookieIsValidForOneToTwoPeriods) {
  const CookieOptions options{.mss_bytes = 1460};
  for (const Nanos made_at : {Nanos{0}, kSynCookiePeriod - 1, 5 * kSynCookiePeriod}) {
    EXPECT_TRUE(RoundTrip(options, made_at, made_at + kSynCookiePeriod).has_value());
    EXPECT_FALSE(RoundTrip(options, made_at, made_at + 2 * kSynCookiePeriod).has_value());
    EXPECT_FALSE(RoundTrip(options, made_at, made_at + 3 * kSynCookiePeriod).has_value());
  }
}

TEST(SynCookieTest, EachInputCounts) {
  const CookieOptions options{.mss_bytes = 1460, .timestamps = true, .sack_permitted = true};
  const SeqNum cookie = MakeSynCookie(kFlow, kSecret, kPeerIss, options, 0);
  const uint32_t echo = CookieTimestamp(1000, options);
  ASSERT_TRUE(CheckSynCookie(kFlow, kSecret, kPeerIss, cookie, echo, 0).has_value());
  EXPECT_FALSE(CheckSynCookie(kFlow, kSecret, kPeerIss + 1, cookie, echo, 0).has_value());
  EXPECT_FALSE(CheckSynCookie(kFlow, kSecret, kPeerIss, cookie + 1, echo, 0).has_value());
  EXPECT_FALSE(CheckSynCookie(kFlow, kSecret, kPeerIss, cookie, echo ^ 1, 0).has_value());
  EXPECT_FALSE(CheckSynCookie(kFlow, kSecret, kPeerIss, cookie, {}, 0).has_value());
  EXPECT_FALSE(CheckSynCookie(kFlow, SipKey{1, 2}, kPeerIss, cookie, echo, 0).has_value());
  for (int field = 0; field < 4; ++field) {
    FlowKey other = kFlow;
    if (field == 0) other.local = IpAddress::FromV4(1);
    if (field == 1) other.remote = IpAddress::FromV4(1);
    if (field == 2) ++other.local_port;
    if (field == 3) ++other.remote_port;
    EXPECT_FALSE(CheckSynCookie(other, kSecret, kPeerIss, cookie, echo, 0).has_value()) << field;
  }
}

TEST(SynCookieTest, GuessesFail) {
  std::mt19937 random(1);
  int right = 0;
  for (int i = 0; i < 100'000; ++i) {
    const SeqNum guess(static_cast<uint32_t>(random()));
    if (CheckSynCookie(kFlow, kSecret, kPeerIss, guess, {}, kSecond)) ++right;
  }
  EXPECT_EQ(right, 0);
}

TEST(SynCookieTest, TheTimestampIsNeverLaterThanTheClock) {
  const CookieOptions options[] = {{.timestamps = true, .window_scale = uint8_t{0}},
                                   {.timestamps = true, .sack_permitted = true, .ecn = true}};
  for (const CookieOptions& option : options) {
    for (uint32_t tsval = 0xffffff80; tsval != 0x80; ++tsval) {
      const uint32_t behind = tsval - CookieTimestamp(tsval, option);
      EXPECT_LT(behind, kCookieTicks);
    }
  }
}

}  // namespace
}  // namespace devmem
