// SPDX-License-Identifier: Apache-2.0
//
// A session and its link, seen from the other end of the wire frame by frame: ARP, ping, frames for
// nobody, and frames that reach the wrong queue.

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "selftests/testing/raw_peer.h"

namespace devmem::testing {
namespace {

constexpr uint32_t kServer = 0xc0000201;
constexpr uint32_t kPeer = 0xc0000202;
const MacAddress kPeerMac({2, 0, 0, 0, 0, 1});
const MacAddress kServerMac({2, 0, 0, 0, 0, 2});

std::vector<uint8_t> ArpQuestion(uint32_t sender, uint32_t target) {
  std::vector<uint8_t> frame(64);
  frame.resize(
      BuildArpRequest(kPeerMac, IpAddress::FromV4(sender), IpAddress::FromV4(target), frame));
  return frame;
}

// The answer to the question in `request`, as the owner of `mac` gives it.
std::vector<uint8_t> ArpAnswer(const SeenFrame& request, const MacAddress& mac) {
  std::vector<uint8_t> frame(64);
  frame.resize(BuildArpReply(request.bytes, mac, frame));
  return frame;
}

// RFC 5227 section 3: a question for the sender's own address, to everybody.
std::vector<uint8_t> Announcement(uint32_t address, const MacAddress& mac) {
  std::vector<uint8_t> frame(64);
  frame.resize(BuildArpRequest(mac, IpAddress::FromV4(address), IpAddress::FromV4(address), frame));
  return frame;
}

std::vector<uint8_t> Ping(uint32_t destination, uint32_t data_bytes) {
  std::vector<uint8_t> message(kIcmpHeaderBytes);
  EmitIcmpEcho({.type = kIcmpEchoRequest, .identifier = 77, .sequence = 3}, message);
  const std::vector<uint8_t> data = TestPayload(data_bytes);
  message.insert(message.end(), data.begin(), data.end());
  StoreBe16(&message[2], ChecksumField(PartialSum(message)));

  std::vector<uint8_t> ip(20);
  ip[0] = 0x45;
  StoreBe16(&ip[2], static_cast<uint16_t>(20 + message.size()));
  ip[8] = 64;
  ip[9] = 1;  // ICMP.
  StoreBe32(&ip[12], kPeer);
  StoreBe32(&ip[16], destination);
  StoreBe16(&ip[10], ChecksumField(PartialSum(ip)));

  std::vector<uint8_t> frame(kServerMac.bytes().begin(), kServerMac.bytes().end());
  frame.insert(frame.end(), kPeerMac.bytes().begin(), kPeerMac.bytes().end());
  frame.insert(frame.end(), {0x08, 0x00});
  frame.insert(frame.end(), ip.begin(), ip.end());
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

TEST(StackLinkTest, AnswersAQuestionForItsAddressWithItsMac) {
  RawPeer peer;
  const std::vector<SeenFrame> answers = peer.Send(ArpQuestion(kPeer, kServer));
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].arp().operation(), kArpReply);
  EXPECT_EQ(answers[0].arp().sender_mac(), kServerMac);
  EXPECT_EQ(answers[0].arp().sender_ip(), IpAddress::FromV4(kServer));
  EXPECT_EQ(answers[0].arp().target_mac(), kPeerMac);
  EXPECT_EQ(peer.Statistic("arp_replies"), 1u);
}

TEST(StackLinkTest, IsSilentAboutAddressesOfOthers) {
  RawPeer peer;
  EXPECT_TRUE(peer.Send(ArpQuestion(kPeer, kServer + 5)).empty());
  EXPECT_TRUE(peer.Send(Ping(kServer + 5, 56)).empty());
  EXPECT_TRUE(peer.Send(Ping(kServer | 0xff, 56)).empty());  // The subnet's broadcast address.
  EXPECT_TRUE(peer.Send(RawSegment{.flags = kTcpSyn, .destination = kServer + 5}).empty());
  EXPECT_EQ(peer.Statistic("not_ours"), 3u);
  EXPECT_EQ(peer.Statistic("arp_replies"), 0u);
}

TEST(StackLinkTest, AnswersPingsOfEverySizeThatOneFrameHolds) {
  RawPeer peer;
  uint64_t count = 0;
  for (uint32_t data_bytes = 0; data_bytes <= 1472; data_bytes += data_bytes < 64 ? 1 : 64) {
    const std::vector<uint8_t> request = Ping(kServer, data_bytes);
    const std::vector<SeenFrame> answers = peer.Send(request);
    ASSERT_EQ(answers.size(), 1u) << data_bytes;
    const SeenFrame& answer = answers[0];
    EXPECT_EQ(answer.headers.flow.remote, IpAddress::FromV4(kServer));
    EXPECT_EQ(answer.headers.flow.local, IpAddress::FromV4(kPeer));
    const std::span<const uint8_t> message = std::span(answer.bytes).subspan(34);
    ASSERT_EQ(message.size(), kIcmpHeaderBytes + data_bytes);
    EXPECT_EQ(message[0], kIcmpEchoReply);
    EXPECT_EQ(ChecksumField(PartialSum(message)), 0u) << data_bytes;
    const std::vector<uint8_t> echoed(message.begin() + 4, message.end());
    EXPECT_EQ(echoed, std::vector<uint8_t>(request.begin() + 38, request.end())) << data_bytes;
    ++count;
  }
  EXPECT_EQ(peer.Statistic("echo_replies"), count);
}

TEST(StackLinkTest, APingWithAWrongChecksumIsNotAnswered) {
  RawPeer peer;
  std::vector<uint8_t> request = Ping(kServer, 56);
  request.back() ^= 1;
  EXPECT_TRUE(peer.Send(request).empty());
  EXPECT_TRUE(peer.session().host_account().idle());
}

TEST(StackLinkTest, ASegmentForNobodyIsAnsweredWithOneResetWhicheverQueueItReaches) {
  for (const uint32_t queues : {1u, 2u, 5u}) {
    RawPeer peer(queues);
    uint64_t sent = 0;
    (void)peer.Send(ArpQuestion(kPeer, kServer));
    for (uint16_t port = 1; port <= 40; ++port) {
      const std::vector<SeenFrame> answers =
          peer.Send(RawSegment{.source_port = port, .ack = SeqNum(99), .payload = {1, 2, 3}});
      ASSERT_EQ(answers.size(), 1u) << queues << " queues, port " << port;
      EXPECT_EQ(answers[0].tcp().flags(), kTcpRst);
      EXPECT_EQ(answers[0].tcp().seq(), SeqNum(99));
      ++sent;
    }
    EXPECT_EQ(peer.Statistic("tcp.resets_out"), sent);
    EXPECT_EQ(peer.Statistic("tcp.drop.no_connection"), sent);
    EXPECT_TRUE(peer.session().host_account().idle());
  }
}

TEST(StackLinkTest, AResetForNobodyIsNotAnswered) {
  RawPeer peer;
  (void)peer.Send(ArpQuestion(kPeer, kServer));
  EXPECT_TRUE(peer.Send(RawSegment{.flags = kTcpRst | kTcpAck}).empty());
  EXPECT_EQ(peer.Statistic("tcp.resets_out"), 0u);
}

TEST(StackLinkTest, EveryWorkerHearsOfANeighbourThatOneWasTold) {
  RawPeer peer(4);
  (void)peer.Send(ArpQuestion(kPeer, kServer));
  // Flows on all queues are answered: each worker knows the way.
  for (uint16_t port = 1; port <= 64; ++port) {
    EXPECT_EQ(peer.Send(RawSegment{.source_port = port}).size(), 1u) << port;
  }
  EXPECT_EQ(peer.Statistic("unresolved"), 0u);
}

TEST(StackLinkTest, ASynThatRssPutElsewhereOpensTheSteeredConnection) {
  RawPeer peer(4);
  const std::unique_ptr<Region> region =
      ValueOrFail(peer.session().Allocate({.bytes = 1 << 20}), "region");
  const BindingId binding = ValueOrFail(peer.session().Bind(*region, {.queues = {3}}), "binding");
  std::unique_ptr<Listener> listener = ValueOrFail(
      peer.session().Listen({.address = "192.0.2.1", .port = 5201}, binding), "listener");
  RawSegment syn{.flags = kTcpSyn};
  peer.Handshake(syn);
  std::unique_ptr<Connection> connection = ValueOrFail(listener->Accept(0), "connection");
  EXPECT_EQ(connection->info().queue, 3u);
  EXPECT_TRUE(connection->info().bound);
  connection->Abort();
}

TEST(StackLinkTest, FramesThatWaitInARingWhenTheirRuleComesAreHandedOverOnce) {
  RawPeer peer(2);
  const std::unique_ptr<Region> region =
      ValueOrFail(peer.session().Allocate({.bytes = 1 << 20}), "region");
  const BindingId binding = ValueOrFail(peer.session().Bind(*region, {.queues = {1}}), "binding");
  // The SYN arrives before there is a rule: RSS puts it on queue 0.
  ASSERT_TRUE(peer.link().b().Inject(RawSegment{.flags = kTcpSyn}.Bytes()));
  std::unique_ptr<Listener> listener = ValueOrFail(
      peer.session().Listen({.address = "192.0.2.1", .port = 5201}, binding), "listener");
  const std::vector<SeenFrame> answers = peer.Exchange();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].tcp().flags(), kTcpSyn | kTcpAck);
  EXPECT_EQ(peer.Statistic("handed_over"), 1u);
  EXPECT_EQ(peer.Statistic("tcp.opened_passive"), 1u);
}

TEST(StackLinkTest, FramesBeyondTheHandOverRingAreDroppedAndCounted) {
  RawPeer peer(2);
  // Nobody knows these; those on queue 1 go on to queue 0 and the other way round. One turn of one
  // worker hands over at most a batch, so the ring is filled without the other being run.
  uint32_t injected = 0;
  for (uint16_t port = 1; port <= 2000; ++port) {
    if (peer.link().b().Inject(RawSegment{.source_port = port}.Bytes())) ++injected;
  }
  Worker& worker = peer.stack().worker(1);
  while (worker.Run(peer.session().Now()) != 0) continue;
  const uint64_t overflow = peer.Statistic("handover_overflow");
  EXPECT_GT(overflow, 0u);
  EXPECT_EQ(peer.Statistic("handed_over"), kHandoverFrames);
  (void)peer.Exchange();
  EXPECT_EQ(peer.Statistic("tcp.resets_out") + peer.Statistic("handover_overflow"), injected);
}

TEST(StackLinkTest, AnActiveOpenAsksForTheNeighbourAndSendsTheParkedSyn) {
  RawPeer peer;
  const absl::StatusOr<std::unique_ptr<Connection>> refused =
      peer.session().Connect({.address = "192.0.2.2", .port = 80}, std::nullopt, 0);
  EXPECT_TRUE(absl::IsDeadlineExceeded(refused.status())) << refused.status();
  const std::vector<SeenFrame> asked = peer.Exchange();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].arp().operation(), kArpRequest);
  EXPECT_EQ(asked[0].arp().sender_ip(), IpAddress::FromV4(kServer));
  EXPECT_EQ(asked[0].arp().target_ip(), IpAddress::FromV4(kPeer));
  const std::vector<SeenFrame> syn = peer.Send(ArpAnswer(asked[0], kPeerMac));
  ASSERT_EQ(syn.size(), 1u);
  EXPECT_EQ(syn[0].tcp().flags(), kTcpSyn);
  EXPECT_EQ(EthernetHeader::Parse(syn[0].bytes)->destination(), kPeerMac);
}

// Where a reset for a segment of the peer's goes, on each of many queues.
void ExpectAnswersGoTo(RawPeer& peer, const MacAddress& mac) {
  for (uint16_t port = 1; port <= 16; ++port) {
    const std::vector<SeenFrame> answers = peer.Send(RawSegment{.source_port = port});
    ASSERT_EQ(answers.size(), 1u) << port;
    EXPECT_EQ(EthernetHeader::Parse(answers[0].bytes)->destination(), mac) << port;
  }
}

TEST(StackLinkTest, EveryWorkerFollowsANeighbourThatAnnouncesWhereItIs) {
  RawPeer peer(4);
  (void)peer.Send(ArpQuestion(kPeer, kServer));
  const MacAddress moved({2, 0, 0, 0, 0, 0x77});
  EXPECT_TRUE(peer.Send(Announcement(kPeer, moved)).empty());
  ExpectAnswersGoTo(peer, moved);
  EXPECT_EQ(peer.Statistic("arp_replies"), 1u) << "nobody asked the second time";
}

TEST(StackLinkTest, AnAnnouncementOfAStrangerIsNotKept) {
  RawPeer peer;
  EXPECT_TRUE(peer.Send(Announcement(kPeer, kPeerMac)).empty());
  const std::vector<SeenFrame> asked = peer.Send(RawSegment{});
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].headers.kind, FrameKind::kArp);
}

// What the session sends within 20 s to a peer that has connected and is silent now, each question
// answered for `mac`: segments, at least one of which went again, then a question, then segments.
std::vector<SeenFrame> SendToASilentPeer(RawPeer& peer, const RawSegment& syn,
                                         const MacAddress& mac) {
  std::unique_ptr<Listener> listener = ValueOrFail(
      peer.session().Listen({.address = "192.0.2.1", .port = 5201}, std::nullopt), "listener");
  (void)peer.Handshake(syn);
  std::unique_ptr<Connection> connection = ValueOrFail(listener->Accept(0), "connection");
  EXPECT_TRUE(connection->Send(TestPayload(100), 0).ok());
  std::vector<SeenFrame> seen;
  for (int turn = 0; turn < 200; ++turn) {
    for (SeenFrame& frame : peer.After(100 * kMillisecond)) {
      if (frame.headers.kind == FrameKind::kArp) (void)peer.Send(ArpAnswer(frame, mac));
      seen.push_back(std::move(frame));
    }
  }
  connection->Abort();
  return seen;
}

// The question in `seen`, behind two segments at least that went the old way.
size_t FindQuestion(const std::vector<SeenFrame>& seen) {
  size_t at = 0;
  while (at < seen.size() && seen[at].headers.kind == FrameKind::kTcp) {
    EXPECT_EQ(EthernetHeader::Parse(seen[at++].bytes)->destination(), kPeerMac);
  }
  EXPECT_GE(at, 2u) << "one loss is no reason to ask";
  return at;
}

TEST(StackLinkTest, APeerThatAnswersNoMoreIsAskedForAgainAndFoundWhereItIs) {
  RawPeer peer(1);
  const MacAddress moved({2, 0, 0, 0, 0, 0x77});
  const std::vector<SeenFrame> seen = SendToASilentPeer(peer, RawSegment{}, moved);
  const size_t question = FindQuestion(seen);
  ASSERT_LT(question + 1, seen.size());
  EXPECT_EQ(seen[question].arp().target_ip(), IpAddress::FromV4(kPeer));
  EXPECT_EQ(EthernetHeader::Parse(seen.back().bytes)->destination(), moved);
}

TEST(StackLinkTest, APeerBehindTheGatewayFollowsTheGateway) {
  SessionOptions options;
  options.gateway = "192.0.2.254";
  RawPeer peer(1, options);
  const MacAddress gateway({2, 0, 0, 0, 0, 0x77});
  const std::vector<SeenFrame> seen =
      SendToASilentPeer(peer, RawSegment{.source = 0xcb007109}, gateway);
  const size_t question = FindQuestion(seen);
  ASSERT_LT(question + 1, seen.size());
  EXPECT_EQ(seen[question].arp().target_ip(), IpAddress::FromV4(0xc00002fe));
  EXPECT_EQ(EthernetHeader::Parse(seen.back().bytes)->destination(), gateway);
}

TEST(StackLinkTest, AnAddressBehindTheGatewayIsReachedThroughIt) {
  SessionOptions options;
  options.gateway = "192.0.2.254";
  RawPeer peer(1, options);
  (void)peer.session().Connect({.address = "203.0.113.9", .port = 80}, std::nullopt, 0);
  const std::vector<SeenFrame> asked = peer.Exchange();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].arp().target_ip(), IpAddress::FromV4(0xc00002fe));
  const MacAddress gateway({2, 0, 0, 0, 0, 0x77});
  const std::vector<SeenFrame> syn = peer.Send(ArpAnswer(asked[0], gateway));
  ASSERT_EQ(syn.size(), 1u);
  EXPECT_EQ(EthernetHeader::Parse(syn[0].bytes)->destination(), gateway);
  EXPECT_EQ(syn[0].headers.flow.local, IpAddress::FromV4(0xcb007109));
}

TEST(StackLinkTest, WithoutAWayOutNothingIsSentAndTheFrameIsCounted) {
  RawPeer peer;
  (void)peer.session().Connect({.address = "203.0.113.9", .port = 80}, std::nullopt, 0);
  EXPECT_TRUE(peer.Exchange().empty());
  EXPECT_EQ(peer.Statistic("no_route"), 1u);
}

TEST(StackLinkTest, AnUnansweredQuestionIsAskedAgainOnceASecondAtMost) {
  RawPeer peer;
  std::unique_ptr<Connection> connection;
  const absl::StatusOr<std::unique_ptr<Connection>> none = peer.session().Connect(
      {.address = "192.0.2.2", .port = 80}, std::nullopt, peer.session().Now() + 8 * kSecond);
  EXPECT_TRUE(absl::IsDeadlineExceeded(none.status())) << none.status();
  // The SYN goes at 0, 1, 3 and 7 s.
  EXPECT_EQ(peer.Exchange().size(), 4u);
  EXPECT_EQ(peer.Statistic("unresolved"), 4u);
}

TEST(StackLinkTest, TruncatedAndLyingFramesAreDroppedByReason) {
  RawPeer peer;
  std::vector<uint8_t> cut = RawSegment{.payload = TestPayload(100)}.Bytes();
  cut.resize(cut.size() - 1);
  EXPECT_TRUE(peer.Send(cut).empty());
  EXPECT_EQ(peer.Statistic("drop.truncated"), 1u);
  std::vector<uint8_t> wrong = RawSegment{.payload = TestPayload(100)}.Bytes();
  wrong.back() ^= 1;
  EXPECT_TRUE(peer.Send(wrong).empty());
  EXPECT_EQ(peer.Statistic("drop.checksum"), 1u);
  std::vector<uint8_t> bad_ip = RawSegment{}.Bytes();
  bad_ip[22] ^= 1;
  EXPECT_TRUE(peer.Send(bad_ip).empty());
  EXPECT_EQ(peer.Statistic("drop.malformed"), 1u);
  EXPECT_TRUE(peer.Send(std::vector<uint8_t>(10)).empty());
  EXPECT_TRUE(peer.session().host_account().idle());
}

}  // namespace
}  // namespace devmem::testing
