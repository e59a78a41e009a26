// SPDX-License-Identifier: Apache-2.0
// What the flags string may say, and what is said about the rest of it.
#include "tools/packetdrill/knobs.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "tools/packetdrill/host_stack.h"

namespace devmem::packetdrill {
namespace {

TEST(KnobsTest, WhatIsNotMentionedIsLinuxsDefault) {
  const ParsedKnobs parsed = ParseKnobs("");
  EXPECT_TRUE(parsed.errors.empty());
  EXPECT_TRUE(parsed.knobs.sack);
  EXPECT_EQ(parsed.knobs.rmem_bytes[2], 6291456u);
  EXPECT_EQ(parsed.knobs.delayed_ack, 40 * kMillisecond);
  EXPECT_FALSE(parsed.knobs.address_v4.has_value());
}

TEST(KnobsTest, ThisMachinesAreReadAsTheyAreWritten) {
  std::ifstream file("/proc/sys/net/ipv4/tcp_rmem");
  uint32_t least = 0, usual = 0, most = 0;
  if (!(file >> least >> usual >> most)) GTEST_SKIP() << "/proc/sys/net/ipv4/tcp_rmem is not there";
  const ParsedKnobs parsed = ParseKnobs(MachineFlags() + " tcp_sack=0");
  EXPECT_TRUE(parsed.errors.empty());
  EXPECT_EQ(parsed.knobs.rmem_bytes, (std::array<uint32_t, 3>{least, usual, most}));
  EXPECT_FALSE(parsed.knobs.sack) << "what is given has the last word";
}

TEST(KnobsTest, ListsTakeCommasSpacesAndColons) {
  for (const char* flags : {"tcp_rmem=4096 540000 15728640,tcp_sack=0",
                            "net.ipv4.tcp_rmem=4096:540000:15728640 tcp_sack=0",
                            "tcp_sack=0 tcp_rmem=\"4096,540000,15728640\""}) {
    const ParsedKnobs parsed = ParseKnobs(flags);
    EXPECT_TRUE(parsed.errors.empty()) << flags;
    EXPECT_EQ(parsed.knobs.rmem_bytes[1], 540000u) << flags;
    EXPECT_FALSE(parsed.knobs.sack) << flags;
  }
}

TEST(KnobsTest, ABareAddressIsTheStacks) {
  const ParsedKnobs parsed = ParseKnobs("192.168.0.7 address=fd00::7 mtu=1400");
  EXPECT_TRUE(parsed.errors.empty());
  EXPECT_EQ(parsed.knobs.address_v4, ParseIpAddress("192.168.0.7"));
  EXPECT_EQ(parsed.knobs.address_v6, ParseIpAddress("fd00::7"));
  EXPECT_EQ(parsed.knobs.mtu_bytes, 1400u);
}

TEST(KnobsTest, WhatIsNotUnderstoodIsNamedAndSkipped) {
  EXPECT_EQ(ParseKnobs("tcp_wonder=1").errors.size(), 1u);
  EXPECT_EQ(ParseKnobs("tcp_sack=7").errors.size(), 1u);
  EXPECT_EQ(ParseKnobs("tcp_rmem=1 2").errors.size(), 1u);
  EXPECT_EQ(ParseKnobs("address=nowhere").errors.size(), 1u);
  EXPECT_EQ(ParseKnobs("what").errors.size(), 1u);
  EXPECT_TRUE(ParseKnobs("tcp_wonder=1 tcp_sack=0").knobs.sack == false);
}

TEST(KnobsTest, EarlyRetransmissionsOfThreeAndFourAreLossProbes) {
  EXPECT_TRUE(ParseKnobs("").knobs.loss_probe);
  EXPECT_FALSE(ParseKnobs("tcp_early_retrans=0").knobs.loss_probe);
  EXPECT_TRUE(ParseKnobs("net.ipv4.tcp_early_retrans=4").knobs.loss_probe);
  EXPECT_EQ(ParseKnobs("tcp_invalid_ratelimit=0").knobs.invalid_answer_interval, 0);
}

TEST(KnobsTest, WhateverIsAcceptedMakesAHost) {
  for (const char* flags : {"tcp_rmem=1,1,1 tcp_wmem=1,1,1", "mtu=128", "mtu=65535",
                            "tcp_rmem=1,2,1073741824", "tcp_retries2=127 tcp_syn_retries=127"}) {
    const ParsedKnobs parsed = ParseKnobs(flags);
    EXPECT_TRUE(parsed.errors.empty()) << flags;
    EXPECT_TRUE(HostStack::Create(parsed.knobs).ok()) << flags;
  }
}

TEST(KnobsTest, TheHelpNamesEachKnob) {
  const std::string help = KnobHelp();
  for (const char* name : {"address", "mtu", "tcp_rmem", "tcp_ecn", "tcp_syncookies"}) {
    EXPECT_NE(help.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace devmem::packetdrill
