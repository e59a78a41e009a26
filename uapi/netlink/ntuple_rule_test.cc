// SPDX-License-Identifier: Apache-2.0
//
// Flow rules as values, as the ioctl's struct and as text: each form gives the others back, and
// what is not of our kind is recognised as such.

#include "uapi/netlink/ntuple_rule.h"

#include <gtest/gtest.h>

#include <cstring>

namespace devmem {
namespace {

NtupleRule Parsed(absl::string_view text) {
  const absl::StatusOr<NtupleRule> rule = ParseRule(text);
  EXPECT_TRUE(rule.ok()) << rule.status();
  return rule.ok() ? *rule : NtupleRule();
}

TEST(NtupleRuleTest, TextAndStructGiveTheRuleBack) {
  for (const char* const text :
       {"tcp4 dst-ip 192.0.2.1 dst-port 5201 action 3 loc 7",
        "tcp4 src-ip 192.0.2.9 dst-ip 192.0.2.1 src-port 40000 dst-port 5201 action 1 loc 0",
        "tcp6 src-ip 2001:db8::9 dst-ip 2001:db8::1 dst-port 80 action 2 loc 1023",
        "udp4 dst-port 53 action -1 loc 4", "udp6 dst-ip 2001:db8::1 context 5 loc 9",
        "tcp6 dst-port 80 action 0 loc 1"}) {
    const NtupleRule rule = Parsed(text);
    EXPECT_EQ(rule.ToString(), text);
    const auto spec = EncodeRule(rule);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const NtupleRule again = DecodeRule(*spec, rule.rss_context.value_or(0));
    EXPECT_EQ(again.ToString(), text);
    EXPECT_TRUE(SameRule(rule, again));
  }
}

TEST(NtupleRuleTest, TheStructIsWhatTheKernelReads) {
  const auto spec = EncodeRule(Parsed("tcp4 dst-ip 192.0.2.1 dst-port 5201 action 3 loc 7"));
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->flow_type, static_cast<uint32_t>(TCP_V4_FLOW));
  EXPECT_EQ(spec->ring_cookie, 3u);
  EXPECT_EQ(spec->location, 7u);
  const uint8_t address[] = {192, 0, 2, 1};
  EXPECT_EQ(std::memcmp(&spec->h_u.tcp_ip4_spec.ip4dst, address, 4), 0);
  EXPECT_EQ(spec->m_u.tcp_ip4_spec.ip4dst, 0xffffffffu);
  const uint8_t port[] = {0x14, 0x51};
  EXPECT_EQ(std::memcmp(&spec->h_u.tcp_ip4_spec.pdst, port, 2), 0);
  EXPECT_EQ(spec->m_u.tcp_ip4_spec.pdst, 0xffffu);
  EXPECT_EQ(spec->m_u.tcp_ip4_spec.ip4src, 0u);
  EXPECT_EQ(spec->m_u.tcp_ip4_spec.psrc, 0u);
}

TEST(NtupleRuleTest, WhatIsNotOfOurKindIsForeignAndEqualsNothing) {
  ethtool_rx_flow_spec spec = *EncodeRule(Parsed("tcp4 dst-ip 192.0.2.1 action 3 loc 7"));
  const NtupleRule ours = DecodeRule(spec, 0);
  EXPECT_FALSE(ours.foreign);
  ethtool_rx_flow_spec part = spec;
  reinterpret_cast<uint8_t*>(&part.m_u.tcp_ip4_spec.ip4dst)[3] = 0;  // A /24.
  EXPECT_TRUE(DecodeRule(part, 0).foreign);
  ethtool_rx_flow_spec vlan = spec;
  vlan.flow_type |= FLOW_EXT;
  EXPECT_TRUE(DecodeRule(vlan, 0).foreign);
  ethtool_rx_flow_spec tos = spec;
  tos.m_u.tcp_ip4_spec.tos = 0xff;
  EXPECT_TRUE(DecodeRule(tos, 0).foreign);
  ethtool_rx_flow_spec virtual_function = spec;
  virtual_function.ring_cookie |= uint64_t{1} << 32;
  EXPECT_TRUE(DecodeRule(virtual_function, 0).foreign);
  ethtool_rx_flow_spec ether = spec;
  ether.flow_type = ETHER_FLOW;
  EXPECT_TRUE(DecodeRule(ether, 0).foreign);
  EXPECT_FALSE(SameRule(DecodeRule(ether, 0), DecodeRule(ether, 0)));
}

TEST(NtupleRuleTest, RulesThatDifferInOneThingAreNotTheSame) {
  const NtupleRule rule = Parsed("tcp4 dst-ip 192.0.2.1 dst-port 5201 action 3 loc 7");
  for (const char* const other :
       {"udp4 dst-ip 192.0.2.1 dst-port 5201 action 3",
        "tcp4 dst-ip 192.0.2.2 dst-port 5201 action 3",
        "tcp4 dst-ip 192.0.2.1 dst-port 5202 action 3", "tcp4 dst-ip 192.0.2.1 action 3",
        "tcp4 dst-ip 192.0.2.1 dst-port 5201 action 4",
        "tcp4 dst-ip 192.0.2.1 dst-port 5201 action -1",
        "tcp4 dst-ip 192.0.2.1 dst-port 5201 context 3"}) {
    EXPECT_FALSE(SameRule(rule, Parsed(other))) << other;
  }
  // Where it stands is not what it does.
  EXPECT_TRUE(SameRule(rule, Parsed("tcp4 dst-ip 192.0.2.1 dst-port 5201 action 3 loc 8")));
}

TEST(NtupleRuleTest, TextThatIsNoRuleIsRefused) {
  for (const char* const text :
       {"", "tcp4 dst-ip", "sctp4 dst-port 1 action 1", "tcp4 dst-ip 300.0.0.1 action 1",
        "tcp4 dst-port 70000 action 1", "tcp6 dst-ip 192.0.2.1 action 1",
        "tcp4 dst-ip 2001:db8::1 action 1", "tcp4 colour blue"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseRule(text).status())) << text;
  }
  NtupleRule mixed;
  mixed.match.local = ParseIpAddress("192.0.2.1");
  mixed.match.remote = ParseIpAddress("2001:db8::1");
  EXPECT_TRUE(absl::IsInvalidArgument(EncodeRule(mixed).status()));
}

TEST(NtupleRuleTest, VariantsWidenAndNeverTouchOtherPorts) {
  const FlowMatch flow = {.local = ParseIpAddress("192.0.2.1"),
                          .remote = ParseIpAddress("192.0.2.2"),
                          .local_port = 80,
                          .remote_port = 4000};
  const std::vector<FlowMatch> variants = RuleVariants(flow);
  ASSERT_EQ(variants.size(), 3u);
  EXPECT_EQ(variants[0], flow);
  for (const FlowMatch& variant : variants) EXPECT_EQ(variant.local_port, 80);
  // Without a local port a wider rule would catch everyone.
  EXPECT_EQ(RuleVariants({.local = flow.local}).size(), 1u);
}

}  // namespace
}  // namespace devmem
