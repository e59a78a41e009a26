// SPDX-License-Identifier: Apache-2.0
//
// IPv6 of a session and its link, seen from the other end of the wire frame by frame: neighbour
// discovery and what it may not be fooled into, ping, and connections both ways.

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "selftests/testing/raw_peer.h"

namespace devmem::testing {
namespace {

const MacAddress kPeerMac({2, 0, 0, 0, 0, 1});
const MacAddress kSessionMac({2, 0, 0, 0, 0, 2});
const MacAddress kStrangerMac({2, 0, 0, 0, 0, 0x77});
const IpAddress kPeerLinkLocal = LinkLocalAddress(kPeerMac);

using Bytes = std::vector<uint8_t>;

Bytes Question(const IpAddress& target, const IpAddress& sender = kRawPeerV6,
               const MacAddress& sender_mac = kPeerMac) {
  Bytes frame(128);
  frame.resize(BuildNeighbourSolicitation(sender_mac, sender, target, frame));
  return frame;
}

// Duplicate address detection: from nobody, without an option (RFC 4862 section 5.4.2).
Bytes Detection(const IpAddress& target) {
  Bytes frame = Question(target, IpAddress());
  frame.resize(frame.size() - kLinkAddressOptionBytes);
  StoreBe16(&frame[18], kNeighbourMessageBytes);
  StoreBe16(&frame[56], 0);
  const uint32_t pseudo_sum = PseudoHeaderSumV6(IpAddress(), SolicitedNodeGroup(target),
                                                kIpProtocolIcmpV6, kNeighbourMessageBytes);
  StoreBe16(&frame[56], ChecksumField(PartialSum(std::span(frame).subspan(54), pseudo_sum)));
  return frame;
}

Bytes Answer(const IpAddress& target, const MacAddress& mac, bool overrides,
             const IpAddress& to = kRawSessionV6) {
  Bytes frame(128);
  frame.resize(BuildNeighbourMessage(mac, kSessionMac, target, to,
                                     {.type = kIcmpV6NeighbourAdvertisement,
                                      .solicited = !to.is_multicast(),
                                      .overrides = overrides,
                                      .target = target,
                                      .link_address = mac},
                                     frame));
  return frame;
}

Bytes Ping(uint32_t data_bytes, const IpAddress& destination = kRawSessionV6) {
  const uint32_t message_bytes = static_cast<uint32_t>(kIcmpHeaderBytes) + data_bytes;
  Bytes message(kIcmpHeaderBytes);
  EmitIcmpEcho({.type = kIcmpV6EchoRequest, .identifier = 77, .sequence = 3}, message);
  const Bytes data = TestPayload(data_bytes);
  message.insert(message.end(), data.begin(), data.end());
  const uint32_t pseudo_sum =
      PseudoHeaderSumV6(kRawPeerV6, destination, kIpProtocolIcmpV6, message_bytes);
  StoreBe16(&message[2], ChecksumField(PartialSum(message, pseudo_sum)));
  Bytes frame(kEthernetHeaderBytes + kIpv6HeaderBytes);
  EmitEthernet({.destination = kSessionMac, .source = kPeerMac, .ether_type = kEtherTypeIpv6},
               frame);
  EmitIpv6({.payload_bytes = static_cast<uint16_t>(message_bytes),
            .next_header = kIpProtocolIcmpV6,
            .source = kRawPeerV6,
            .destination = destination},
           std::span(frame).subspan(kEthernetHeaderBytes));
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

// Where the session sends what it has for the peer: the answer to a segment of nobody's.
MacAddress WhereAnswersGo(RawPeer& peer) {
  const std::vector<SeenFrame> answers = peer.Send(RawSegment{.v6 = true});
  EXPECT_EQ(answers.size(), 1u);
  if (answers.size() != 1) return MacAddress();
  return EthernetHeader::Parse(answers[0].bytes)->destination();
}

TEST(StackIpv6Test, AnswersAQuestionForEachOfItsAddressesWithItsMac) {
  RawPeer peer;
  for (const IpAddress& ours : {kRawSessionV6, LinkLocalAddress(kSessionMac)}) {
    for (const IpAddress& asker : {kRawPeerV6, kPeerLinkLocal}) {
      const std::vector<SeenFrame> answers = peer.Send(Question(ours, asker));
      ASSERT_EQ(answers.size(), 1u);
      const std::optional<NeighbourMessage> answer = answers[0].neighbour();
      ASSERT_TRUE(answer.has_value());
      EXPECT_FALSE(answer->is_solicitation);
      EXPECT_TRUE(answer->solicited && answer->overrides);
      EXPECT_EQ(answer->source, ours);
      EXPECT_EQ(answer->target, ours);
      EXPECT_EQ(answer->link_address, kSessionMac);
      EXPECT_EQ(answers[0].headers.flow.local, asker);
      EXPECT_EQ(EthernetHeader::Parse(answers[0].bytes)->destination(), kPeerMac);
    }
  }
  EXPECT_EQ(peer.Statistic("neighbour_replies"), 4u);
}

TEST(StackIpv6Test, DefendsItsAddressAgainstDetectionAndTellsEverybody) {
  RawPeer peer;
  const std::vector<SeenFrame> answers = peer.Send(Detection(kRawSessionV6));
  ASSERT_EQ(answers.size(), 1u);
  const std::optional<NeighbourMessage> answer = answers[0].neighbour();
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->solicited);
  EXPECT_EQ(answers[0].headers.flow.local, kIpv6AllNodes);
  EXPECT_EQ(EthernetHeader::Parse(answers[0].bytes)->destination(),
            MacAddress::ForIpv6Group(kIpv6AllNodes));
  EXPECT_TRUE(peer.Send(Detection(kRawPeerV6)).empty());
}

TEST(StackIpv6Test, IsSilentAboutAddressesOfOthers) {
  RawPeer peer;
  const IpAddress other = *ParseIpAddress("2001:db8::5");
  EXPECT_TRUE(peer.Send(Question(other)).empty());
  EXPECT_TRUE(peer.Send(Ping(56, other)).empty());
  EXPECT_EQ(peer.Statistic("not_ours"), 1u);
  EXPECT_TRUE(peer.Send(Ping(56, kIpv6AllNodes)).empty());
  EXPECT_EQ(peer.Statistic("not_ours"), 1u);
  EXPECT_EQ(peer.Statistic("neighbour_replies"), 0u);
}

TEST(StackIpv6Test, ASessionWithoutIpv6IsSilent) {
  SessionOptions options;
  options.addresses = {"192.0.2.1/24"};
  RawPeer peer(2, options);
  EXPECT_TRUE(peer.Send(Question(kRawSessionV6)).empty());
  EXPECT_TRUE(peer.Send(Question(LinkLocalAddress(kSessionMac))).empty());
  EXPECT_TRUE(peer.Send(Ping(56)).empty());
  EXPECT_TRUE(peer.Send(RawSegment{.v6 = true}).empty());
}

TEST(StackIpv6Test, WhatRfc4861HasUsDiscardIsCountedAndTeachesNothing) {
  RawPeer peer;
  Bytes from_afar = Question(kRawSessionV6);
  from_afar[21] = 254;
  EXPECT_TRUE(peer.Send(from_afar).empty());
  Bytes endless = Question(kRawSessionV6);
  endless[79] = 0;  // The option's length.
  EXPECT_TRUE(peer.Send(endless).empty());
  EXPECT_EQ(peer.Statistic("neighbour_refused"), 2u);
  EXPECT_TRUE(peer.Send(RawSegment{.v6 = true}).size() == 1);  // The question who the peer is.
  EXPECT_EQ(peer.Statistic("unresolved"), 1u);
}

TEST(StackIpv6Test, EveryWorkerHearsOfANeighbourThatOneWasTold) {
  RawPeer peer(4);
  (void)peer.Send(Question(kRawSessionV6));
  for (uint16_t port = 1; port <= 64; ++port) {
    EXPECT_EQ(peer.Send(RawSegment{.source_port = port, .v6 = true}).size(), 1u) << port;
  }
  EXPECT_EQ(peer.Statistic("unresolved"), 0u);
  EXPECT_EQ(peer.Statistic("tcp.resets_out"), 64u);
}

TEST(StackIpv6Test, AnUnsolicitedAnswerAboutAStrangerIsNotKept) {
  RawPeer peer;
  (void)peer.Send(Answer(kRawPeerV6, kStrangerMac, true));
  (void)peer.Send(Answer(kRawPeerV6, kStrangerMac, true, kIpv6AllNodes));
  const std::vector<SeenFrame> asked = peer.Send(RawSegment{.v6 = true});
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_TRUE(asked[0].neighbour().has_value() && asked[0].neighbour()->is_solicitation);
}

TEST(StackIpv6Test, AKnownNeighbourMovesOnlyWhenTheNewsOverrides) {
  RawPeer peer;
  (void)peer.Send(Question(kRawSessionV6));
  EXPECT_EQ(WhereAnswersGo(peer), kPeerMac);
  (void)peer.Send(Answer(kRawPeerV6, kStrangerMac, false));
  EXPECT_EQ(WhereAnswersGo(peer), kPeerMac);
  (void)peer.Send(Answer(kRawPeerV6, kStrangerMac, true, kIpv6AllNodes));
  EXPECT_EQ(WhereAnswersGo(peer), kStrangerMac);
}

TEST(StackIpv6Test, SomebodyWithOurAddressIsCountedAndNotBelieved) {
  RawPeer peer;
  EXPECT_TRUE(peer.Send(Answer(kRawSessionV6, kStrangerMac, true, kIpv6AllNodes)).empty());
  EXPECT_TRUE(peer.Send(Question(kRawSessionV6, kRawSessionV6, kStrangerMac)).empty());
  EXPECT_EQ(peer.Statistic("address_conflicts"), 2u);
  EXPECT_EQ(peer.Send(Question(kRawSessionV6)).size(), 1u);
}

TEST(StackIpv6Test, AnswersPingsOfEverySizeThatOneFrameHolds) {
  RawPeer peer;
  uint64_t count = 0;
  for (uint32_t data_bytes = 0; data_bytes <= 1452; data_bytes += data_bytes < 64 ? 1 : 64) {
    const Bytes request = Ping(data_bytes);
    const std::vector<SeenFrame> answers = peer.Send(request);
    ASSERT_EQ(answers.size(), 1u) << data_bytes;
    const std::span<const uint8_t> message =
        CheckedIcmpMessage(answers[0].bytes, answers[0].headers);
    ASSERT_EQ(message.size(), kIcmpHeaderBytes + data_bytes);
    EXPECT_EQ(message[0], kIcmpV6EchoReply);
    EXPECT_EQ(Bytes(message.begin() + 4, message.end()),
              Bytes(request.begin() + 58, request.end()));
    ++count;
  }
  EXPECT_EQ(peer.Statistic("echo_replies"), count);
  EXPECT_TRUE(peer.session().host_account().idle());
}

TEST(StackIpv6Test, AnActiveOpenAsksTheSolicitedNodeGroupAndSendsTheParkedSyn) {
  RawPeer peer;
  (void)peer.session().Connect({.address = "2001:db8::2", .port = 80}, std::nullopt, 0);
  const std::vector<SeenFrame> asked = peer.Exchange();
  ASSERT_EQ(asked.size(), 1u);
  const std::optional<NeighbourMessage> question = asked[0].neighbour();
  ASSERT_TRUE(question.has_value());
  EXPECT_TRUE(question->is_solicitation);
  EXPECT_EQ(question->source, kRawSessionV6);
  EXPECT_EQ(question->target, kRawPeerV6);
  EXPECT_EQ(question->link_address, kSessionMac);
  EXPECT_EQ(EthernetHeader::Parse(asked[0].bytes)->destination().ToString(), "33:33:ff:00:00:02");
  const std::vector<SeenFrame> syn = peer.Send(Answer(kRawPeerV6, kPeerMac, true));
  ASSERT_EQ(syn.size(), 1u);
  EXPECT_EQ(syn[0].tcp().flags(), kTcpSyn);
  EXPECT_EQ(syn[0].headers.flow.remote, kRawSessionV6);
  EXPECT_EQ(EthernetHeader::Parse(syn[0].bytes)->destination(), kPeerMac);
}

TEST(StackIpv6Test, AnUnansweredQuestionIsAskedAgainOnceASecondAtMost) {
  RawPeer peer;
  const absl::StatusOr<std::unique_ptr<Connection>> none = peer.session().Connect(
      {.address = "2001:db8::2", .port = 80}, std::nullopt, peer.session().Now() + 8 * kSecond);
  EXPECT_TRUE(absl::IsDeadlineExceeded(none.status())) << none.status();
  EXPECT_EQ(peer.Exchange().size(), 4u);  // The SYN goes at 0, 1, 3 and 7 s.
}

TEST(StackIpv6Test, AnAddressBehindTheGatewayIsReachedThroughIt) {
  SessionOptions options;
  options.addresses = {"192.0.2.1/24", "2001:db8::1/64"};
  options.gateway = "192.0.2.254,fe80::fe";
  RawPeer peer(1, options);
  (void)peer.session().Connect({.address = "2001:db8:9::9", .port = 80}, std::nullopt, 0);
  const std::vector<SeenFrame> asked = peer.Exchange();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].neighbour()->target, *ParseIpAddress("fe80::fe"));
  EXPECT_TRUE(asked[0].neighbour()->source.is_link_local_v6());
  const std::vector<SeenFrame> syn =
      peer.Send(Answer(*ParseIpAddress("fe80::fe"), kStrangerMac, true));
  ASSERT_EQ(syn.size(), 1u);
  EXPECT_EQ(EthernetHeader::Parse(syn[0].bytes)->destination(), kStrangerMac);
  EXPECT_EQ(syn[0].headers.flow.local, *ParseIpAddress("2001:db8:9::9"));
  EXPECT_EQ(syn[0].headers.flow.remote, kRawSessionV6);
}

TEST(StackIpv6Test, ASteeredConnectionOpensAndEachFlowHasItsLabel) {
  RawPeer peer(4);
  const std::unique_ptr<Region> region =
      ValueOrFail(peer.session().Allocate({.bytes = 1 << 20}), "region");
  const BindingId binding = ValueOrFail(peer.session().Bind(*region, {.queues = {3}}), "binding");
  std::unique_ptr<Listener> listener = ValueOrFail(
      peer.session().Listen({.address = "2001:db8::1", .port = 5201}, binding), "listener");
  std::vector<uint32_t> labels;
  for (const uint16_t port : std::array<uint16_t, 2>{40000, 40001}) {
    const std::vector<SeenFrame> answers =
        peer.Send(RawSegment{.source_port = port, .flags = kTcpSyn, .v6 = true});
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(answers[0].tcp().flags(), kTcpSyn | kTcpAck);
    const Ipv6Header ip = *Ipv6Header::Parse(std::span(answers[0].bytes).subspan(14));
    EXPECT_EQ(ip.hop_limit(), 64);
    labels.push_back(ip.flow_label());
  }
  EXPECT_NE(labels[0], labels[1]);
  RawSegment syn{.source_port = 40002, .v6 = true};
  peer.Handshake(syn);
  std::unique_ptr<Connection> connection = ValueOrFail(listener->Accept(0), "connection");
  EXPECT_EQ(connection->info().queue, 3u);
  EXPECT_EQ(connection->info().local, "[2001:db8::1]:5201");
  EXPECT_EQ(connection->info().remote, "[2001:db8::2]:40002");
  connection->Abort();
}

TEST(StackIpv6Test, ASegmentInAnAtomicFragmentIsTakenAndARealFragmentIsCounted) {
  RawPeer peer;
  (void)peer.Send(Question(kRawSessionV6));
  // RFC 6946: a fragment header that says "offset 0, nothing follows" changes nothing.
  Bytes frame = RawSegment{.v6 = true}.Bytes();
  frame.insert(frame.begin() + 54, {kIpProtocolTcp, 0, 0, 0, 1, 2, 3, 4});
  frame[20] = 44;
  StoreBe16(&frame[18], static_cast<uint16_t>(frame.size() - 54));
  EXPECT_EQ(peer.Send(frame).size(), 1u);
  EXPECT_EQ(peer.Statistic("drop.fragment"), 0u);
  frame[57] = 1;  // More fragments follow.
  EXPECT_TRUE(peer.Send(frame).empty());
  frame[57] = 8;  // The second eight bytes.
  EXPECT_TRUE(peer.Send(frame).empty());
  EXPECT_EQ(peer.Statistic("drop.fragment"), 2u);
}

TEST(StackIpv6Test, ConnectingAcrossFamiliesIsRefusedWithTheReason) {
  RawPeer both;
  const absl::Status mixed =
      both.session()
          .Connect({.address = "2001:db8::2", .port = 80, .local_address = "192.0.2.1"},
                   std::nullopt, 0)
          .status();
  EXPECT_TRUE(absl::IsInvalidArgument(mixed)) << mixed;
  EXPECT_NE(mixed.message().find("two families"), absl::string_view::npos);
  SessionOptions options;
  options.addresses = {"192.0.2.1/24"};
  RawPeer v4(2, options);
  const absl::Status none =
      v4.session().Connect({.address = "2001:db8::2", .port = 80}, std::nullopt, 0).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(none)) << none;
  EXPECT_NE(none.message().find("no IPv6 address"), absl::string_view::npos) << none;
}

}  // namespace
}  // namespace devmem::testing
