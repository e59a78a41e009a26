// SPDX-License-Identifier: Apache-2.0
//
// Flow rules with masks: which flow a rule matches, which of several wins, and that a rule of the
// stack's own table means the same in both forms.

#include "netmem/nic/masked_rules.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "netmem/nic/impairment.h"
#include "netmem/wire/ipv4.h"

namespace devmem {
namespace {

FlowKey Flow(uint32_t remote, uint32_t local, uint16_t remote_port, uint16_t local_port) {
  return {.local = IpAddress::FromV4(local),
          .remote = IpAddress::FromV4(remote),
          .local_port = local_port,
          .remote_port = remote_port};
}

const MaskedRule* MatchTcp(const MaskedRules& rules, const FlowKey& flow, uint8_t tos = 0) {
  return rules.Match(flow, kIpProtocolTcp, false, tos);
}

TEST(MaskedRulesTest, OnlyMaskedBitsCount) {
  MaskedRules rules;
  MaskedRule rule{.queue = 3};
  rule.key.remote = IpAddress::FromV4(0x0a010200);
  rule.mask.remote = IpAddress::FromHalves(0, 0xffffff00);
  rule.key.local_port = 0x1450;
  rule.mask.local_port = 0xfff0;
  ASSERT_TRUE(rules.Add(rule).ok());
  EXPECT_NE(MatchTcp(rules, Flow(0x0a0102ff, 1, 9, 0x145f)), nullptr);
  EXPECT_EQ(MatchTcp(rules, Flow(0x0a0103ff, 1, 9, 0x145f)), nullptr);
  EXPECT_EQ(MatchTcp(rules, Flow(0x0a0102ff, 1, 9, 0x146f)), nullptr);
}

TEST(MaskedRulesTest, EveryBitOfAnIpv6AddressCanBeMasked) {
  MaskedRules rules;
  MaskedRule rule{.is_v6 = true};
  rule.key.local = IpAddress::FromHalves(0x20010db800000001, 0);
  rule.mask.local = IpAddress::FromHalves(0xffffffffffffffff, 0x8000000000000000);
  ASSERT_TRUE(rules.Add(rule).ok());
  FlowKey flow;
  flow.local = IpAddress::FromHalves(0x20010db800000001, 7);
  EXPECT_NE(rules.Match(flow, kIpProtocolTcp, true, 0), nullptr);
  flow.local = IpAddress::FromHalves(0x20010db800000001, 0x8000000000000007);
  EXPECT_EQ(rules.Match(flow, kIpProtocolTcp, true, 0), nullptr);
  flow.local = IpAddress::FromHalves(0x20010db800000000, 7);
  EXPECT_EQ(rules.Match(flow, kIpProtocolTcp, true, 0), nullptr);
}

TEST(MaskedRulesTest, ProtocolVersionAndTrafficClassDecideToo) {
  MaskedRules rules;
  ASSERT_TRUE(
      rules.Add({.protocol = kIpProtocolUdp, .traffic_class = 0xb8, .traffic_class_mask = 0xfc})
          .ok());
  const FlowKey flow = Flow(1, 2, 3, 4);
  EXPECT_NE(rules.Match(flow, kIpProtocolUdp, false, 0xb9), nullptr);
  EXPECT_EQ(rules.Match(flow, kIpProtocolUdp, false, 0xb0), nullptr);
  EXPECT_EQ(rules.Match(flow, kIpProtocolTcp, false, 0xb9), nullptr);
  EXPECT_EQ(rules.Match(flow, kIpProtocolUdp, true, 0xb9), nullptr);
}

TEST(MaskedRulesTest, TheLowestLocationWinsAndAnAddReplacesWhatWasThere) {
  MaskedRules rules;
  ASSERT_TRUE(rules.Add({.location = 7, .queue = 1}).ok());
  ASSERT_TRUE(rules.Add({.location = 2, .queue = 2}).ok());
  EXPECT_EQ(MatchTcp(rules, Flow(1, 2, 3, 4))->queue, 2u);
  ASSERT_TRUE(rules.Add({.location = 2, .queue = 3}).ok());
  EXPECT_EQ(rules.size(), 2u);
  EXPECT_EQ(MatchTcp(rules, Flow(1, 2, 3, 4))->queue, 3u);
  EXPECT_EQ(rules.List().front().location, 2u);
  ASSERT_TRUE(rules.Delete(2).ok());
  EXPECT_EQ(MatchTcp(rules, Flow(1, 2, 3, 4))->queue, 1u);
  EXPECT_EQ(rules.Delete(2).code(), absl::StatusCode::kNotFound);
}

TEST(MaskedRulesTest, AFullTableRefusesANewLocationAndTakesAnOldOne) {
  MaskedRules rules;
  for (uint32_t i = 0; i < kMaskedRulesMax; ++i) ASSERT_TRUE(rules.Add({.location = i}).ok());
  EXPECT_EQ(rules.Add({.location = kMaskedRulesMax}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(rules.Add({.location = 5, .queue = 1}).ok());
}

// One truth about steering: a match of the stack's NICs and its masked form agree on every flow.
TEST(MaskedRulesTest, AMatchOfTheStacksTableMeansTheSameInMaskedForm) {
  SeededRandom random(20);
  const auto maybe = [&random](auto value) {
    return random.Below(2) == 0 ? std::optional(value) : std::nullopt;
  };
  // Few values of each field, so that many flows match.
  const auto flow = [&random] {
    const bool is_v6 = random.Below(2) == 0;
    const auto address = [&] {
      const uint64_t last = 1 + random.Below(2);
      return is_v6 ? IpAddress::FromHalves(0x20010db800000000, last)
                   : IpAddress::FromV4(static_cast<uint32_t>(last));
    };
    const auto port = [&random] { return static_cast<uint16_t>(1 + random.Below(2)); };
    return FlowKey{
        .local = address(), .remote = address(), .local_port = port(), .remote_port = port()};
  };
  uint32_t matches = 0;
  for (int i = 0; i < 20000; ++i) {
    const FlowKey named = flow();
    const FlowMatch match{.local = maybe(named.local),
                          .remote = maybe(named.remote),
                          .local_port = maybe(named.local_port),
                          .remote_port = maybe(named.remote_port)};
    const FlowKey asked = flow();
    const bool is_v6 = !asked.local.is_v4();
    const MaskedRule rule = MaskedRule::Of(match, 1, is_v6);
    ASSERT_EQ(rule.Matches(asked, kIpProtocolTcp, is_v6, 0), match.Matches(asked))
        << match.ToString();
    matches += match.Matches(asked);
  }
  EXPECT_GT(matches, 1000u);
}

}  // namespace
}  // namespace devmem
