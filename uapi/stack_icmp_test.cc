// SPDX-License-Identifier: Apache-2.0
//
// ICMP errors about a session's own segments, of both families, injected frame by frame: which
// worker hears them, what they do, what is counted, and how many strangers are looked at.

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <vector>

#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "selftests/testing/raw_peer.h"

namespace devmem::testing {
namespace {

const MacAddress kPeerMac({2, 0, 0, 0, 0, 1});
const MacAddress kSessionMac({2, 0, 0, 0, 0, 2});

using Bytes = std::vector<uint8_t>;

struct Type {
  uint8_t type;
  uint8_t code;
};

// The error that a host or router sends about `segment`, one of the session's; it comes from the
// segment's destination.
Bytes ErrorAbout(const SeenFrame& segment, Type type, uint32_t rest_of_header = 0) {
  constexpr size_t kQuoteBytesMax = 500;
  const bool v6 = segment.headers.is_v6;
  const std::span<const uint8_t> packet = std::span(segment.bytes).subspan(kEthernetHeaderBytes);
  Bytes message = {type.type, type.code, 0, 0, 0, 0, 0, 0};
  StoreBe32(&message[4], rest_of_header);
  message.insert(message.end(), packet.begin(),
                 packet.begin() + static_cast<ptrdiff_t>(std::min(packet.size(), kQuoteBytesMax)));
  const IpAddress& from = segment.headers.flow.local;
  const IpAddress& to = segment.headers.flow.remote;
  const uint16_t message_bytes = static_cast<uint16_t>(message.size());
  const uint32_t pseudo_sum =
      v6 ? PseudoHeaderSumV6(from, to, kIpProtocolIcmpV6, message_bytes) : 0;
  StoreBe16(&message[2], ChecksumField(PartialSum(message, pseudo_sum)));

  Bytes frame(kEthernetHeaderBytes + (v6 ? kIpv6HeaderBytes : kIpv4HeaderBytesMin));
  EmitEthernet({.destination = kSessionMac,
                .source = kPeerMac,
                .ether_type = v6 ? kEtherTypeIpv6 : kEtherTypeIpv4},
               frame);
  const std::span<uint8_t> ip = std::span(frame).subspan(kEthernetHeaderBytes);
  if (v6) {
    EmitIpv6({.payload_bytes = message_bytes,
              .next_header = kIpProtocolIcmpV6,
              .source = from,
              .destination = to},
             ip);
  } else {
    EmitIpv4({.total_bytes = static_cast<uint16_t>(message_bytes + kIpv4HeaderBytesMin),
              .protocol = kIpProtocolIcmp,
              .source = from,
              .destination = to},
             ip);
  }
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

class StackIcmpTest : public ::testing::TestWithParam<bool> {
 protected:
  bool v6() const { return GetParam(); }
  const char* address() const { return v6() ? "2001:db8::1" : "192.0.2.1"; }
  Type port_unreachable() const { return v6() ? Type{1, 4} : Type{3, 3}; }
  Type host_unreachable() const { return v6() ? Type{1, 3} : Type{3, 1}; }
  Type time_exceeded() const { return v6() ? Type{3, 0} : Type{11, 0}; }
  Type parameter_problem() const { return v6() ? Type{4, 0} : Type{12, 0}; }
  Type too_big() const { return v6() ? Type{2, 0} : Type{3, 4}; }

  // A connection on the session's bound queue 3 of 4, and the peer's half of it.
  std::unique_ptr<Connection> Open() {
    region_ = ValueOrFail(peer.session().Allocate({.bytes = 1 << 20}), "region");
    binding_ = ValueOrFail(peer.session().Bind(*region_, {.queues = {3}}), "binding");
    listener_ = ValueOrFail(peer.session().Listen({.address = address(), .port = 5201}, binding_),
                            "listener");
    RawSegment syn{.v6 = v6()};
    syn.options.mss = 1440;
    iss_ = peer.Handshake(syn);
    return ValueOrFail(listener_->Accept(0), "connection");
  }

  RawPeer peer{4};  // First: it outlives what its session made.
  std::unique_ptr<Region> region_;
  BindingId binding_ = 0;
  std::unique_ptr<Listener> listener_;
  SeqNum iss_;
};

INSTANTIATE_TEST_SUITE_P(BothFamilies, StackIcmpTest, ::testing::Values(false, true),
                         [](const auto& param) { return param.param ? "Ipv6" : "Ipv4"; });

TEST_P(StackIcmpTest, APacketThatWasTooBigGoesAgainInSmallerOnesWhicheverQueueIsTold) {
  const std::unique_ptr<Connection> connection = Open();
  ASSERT_TRUE(connection->Send(TestPayload(1400), 0).ok());
  const std::vector<SeenFrame> sent = peer.Exchange();
  ASSERT_EQ(sent.size(), 1u);
  ASSERT_EQ(sent[0].headers.payload_bytes, 1400u);
  const std::vector<SeenFrame> again = peer.Send(ErrorAbout(sent[0], too_big(), 1300));
  EXPECT_EQ(peer.Statistic("icmp_too_big"), 1u);
  EXPECT_EQ(peer.Statistic("tcp.icmp_mtu_lowered"), 1u);
  ASSERT_EQ(again.size(), 2u);
  for (const SeenFrame& segment : again) {
    EXPECT_LE(segment.headers.frame_bytes_expected, 14u + 1300u);
  }
  EXPECT_EQ(again[0].tcp().seq(), iss_ + 1);
  connection->Abort();
}

TEST_P(StackIcmpTest, EachKindHasItsCounterAndAnOpenConnectionOutlivesThemAll) {
  const std::unique_ptr<Connection> connection = Open();
  ASSERT_TRUE(connection->Send(TestPayload(100), 0).ok());
  const std::vector<SeenFrame> sent = peer.Exchange();
  ASSERT_EQ(sent.size(), 1u);
  for (const Type type :
       {port_unreachable(), host_unreachable(), time_exceeded(), parameter_problem()}) {
    EXPECT_TRUE(peer.Send(ErrorAbout(sent[0], type)).empty());
  }
  EXPECT_EQ(peer.Statistic("icmp_unreachable"), 2u);
  EXPECT_EQ(peer.Statistic("icmp_time_exceeded"), 1u);
  EXPECT_EQ(peer.Statistic("icmp_parameter_problem"), 1u);
  EXPECT_EQ(peer.Statistic("tcp.icmp_hard_late"), 1u);
  EXPECT_EQ(peer.Statistic("tcp.icmp_soft"), 3u);
  EXPECT_EQ(connection->info().state, "ESTABLISHED");
  connection->Abort();
}

TEST_P(StackIcmpTest, AHardErrorEndsAConnectionThatIsStillOpening) {
  listener_ = ValueOrFail(peer.session().Listen({.address = address(), .port = 5201}, std::nullopt),
                          "listener");
  const std::vector<SeenFrame> answers = peer.Send(RawSegment{.flags = kTcpSyn, .v6 = v6()});
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(peer.Send(ErrorAbout(answers[0], port_unreachable())).empty());
  EXPECT_EQ(peer.Statistic("tcp.icmp_closed"), 1u);
}

TEST_P(StackIcmpTest, AnErrorWithAWrongChecksumOrForAnotherHostIsNotBelieved) {
  const std::unique_ptr<Connection> connection = Open();
  ASSERT_TRUE(connection->Send(TestPayload(1400), 0).ok());
  const std::vector<SeenFrame> sent = peer.Exchange();
  ASSERT_EQ(sent.size(), 1u);
  Bytes wrong = ErrorAbout(sent[0], too_big(), 1300);
  wrong.back() ^= 1;
  EXPECT_TRUE(peer.Send(wrong).empty());
  EXPECT_EQ(peer.Statistic("icmp_too_big"), 0u);
  connection->Abort();
}

TEST_P(StackIcmpTest, ErrorsAboutNobodysConnectionsAreLookedAtSoManyTimesASecond) {
  Bytes learn(128);
  if (v6()) {
    learn.resize(BuildNeighbourSolicitation(kPeerMac, kRawPeerV6, kRawSessionV6, learn));
  } else {
    learn.resize(BuildArpRequest(kPeerMac, IpAddress::FromV4(0xc0000202),
                                 IpAddress::FromV4(0xc0000201), learn));
  }
  (void)peer.Send(learn);
  // The answer to a segment of nobody's is a segment that the errors can be about.
  const std::vector<SeenFrame> resets = peer.Send(RawSegment{.v6 = v6()});
  ASSERT_EQ(resets.size(), 1u);
  const Bytes error = ErrorAbout(resets[0], port_unreachable());
  // Each of the four workers looks at it, and the last one asks the engine.
  for (uint32_t i = 0; i < kIcmpStrangersPerSecondMax + 10; ++i) {
    EXPECT_TRUE(peer.Send(error).empty());
  }
  EXPECT_EQ(peer.Statistic("tcp.icmp_no_connection"), kIcmpStrangersPerSecondMax);
  EXPECT_EQ(peer.Statistic("icmp_limited"), 10u);
  (void)peer.After(kSecond);
  EXPECT_TRUE(peer.Send(error).empty());
  EXPECT_EQ(peer.Statistic("tcp.icmp_no_connection"), kIcmpStrangersPerSecondMax + 1);
  EXPECT_TRUE(peer.session().host_account().idle());
}

TEST_P(StackIcmpTest, AnErrorThatNoWorkerKnowsGoesRoundOnceAndEnds) {
  Open()->Abort();
  const std::vector<SeenFrame> resets = peer.Exchange();
  ASSERT_FALSE(resets.empty());
  const uint64_t handed_over = peer.Statistic("handed_over");
  EXPECT_TRUE(peer.Send(ErrorAbout(resets[0], host_unreachable())).empty());
  EXPECT_EQ(peer.Statistic("icmp_unreachable"), 1u);
  EXPECT_EQ(peer.Statistic("handed_over"), handed_over + 3);
  EXPECT_EQ(peer.Statistic("tcp.icmp_no_connection"), 1u);
  EXPECT_TRUE(peer.session().host_account().idle());
}

}  // namespace
}  // namespace devmem::testing
