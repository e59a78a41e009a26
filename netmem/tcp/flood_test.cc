// SPDX-License-Identifier: Apache-2.0
// Everything that a packet can lie about, in floods: one connection transfers a segment every
// millisecond of virtual time while somebody sends fifty lies in each. The transfer must keep its
// rate to the byte, memory must stay bounded, answers must be limited, and each kind of lie must
// show in a counter of its own.

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "absl/strings/str_cat.h"
#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

constexpr uint32_t kTurns = 200;
constexpr uint32_t kLiesPerTurn = 50;
constexpr uint32_t kLies = kTurns * kLiesPerTurn;
constexpr uint32_t kGoodBytes = 1448;

class FloodTest : public EngineFixture {
 protected:
  FloodTest() { peer_syn_.timestamps = TcpTimestamps{peer_clock_, 0}; }

  uint32_t Random() { return static_cast<uint32_t>(random_()); }

  // A segment on the good connection's 4-tuple, blind or not: by default in order, with a
  // timestamp that passes.
  Segment OnConnection(SeqNum seq, uint8_t flags) {
    Segment segment{.flow = Flow(peer_port_), .seq = seq, .ack = our_nxt_, .flags = flags};
    segment.window = peer_window_;
    segment.options.timestamps = TcpTimestamps{peer_clock_, our_clock_};
    return segment;
  }
  Segment FromStranger(uint8_t flags) {
    Segment segment{.flow = Flow(static_cast<uint16_t>(Random())), .seq = SeqNum(Random())};
    if (segment.flow.remote_port == peer_port_) ++segment.flow.remote_port;
    segment.flow.remote = IpAddress::FromV4(Random());
    segment.ack = SeqNum(Random());
    segment.flags = flags;
    segment.window = static_cast<uint16_t>(Random());
    return segment;
  }
  void Lie(Segment segment, uint32_t bytes = 0) {
    if (bytes != 0) h().AddPayload(&segment, bytes, true);
    h().Input(segment);
  }

  // The transfer, with `lie` in every turn. Returns how many segments went to anybody.
  size_t Transfer(const std::function<void()>& lie) {
    const SeqNum begin = peer_nxt_;
    size_t answers = 0;
    for (uint32_t turn = 0; turn < kTurns; ++turn) {
      for (uint32_t n = 0; n < kLiesPerTurn / 2; ++n) lie();
      Deliver({.bytes = kGoodBytes});
      for (uint32_t n = 0; n < kLiesPerTurn / 2; ++n) lie();
      h().Flush();
      // Nothing is late: all that the peer sent is there in the same turn.
      EXPECT_EQ(receiver().rcv_nxt(), begin + (turn + 1) * kGoodBytes);
      EXPECT_LE(h().array.in_use(), kReassemblyRangesMax + 200);
      EXPECT_LE(engine().ranges().in_use(), kReassemblyRangesMax);
      EXPECT_LE(engine().connection_count(), connections_max_);
      EXPECT_EQ(ReadAll(), kGoodBytes);
      answers += TakeSeen().size();
      h().Advance(kMillisecond);
      ++peer_clock_;
    }
    EXPECT_EQ(state(), TcpState::kEstablished);
    EXPECT_EQ(h().CheckAccount(false), "");
    h().Advance(kSecond);
    answers += TakeSeen().size();
    // Everything was acknowledged.
    EXPECT_EQ(c().last_ack_sent, begin + kTurns * kGoodBytes);
    return answers;
  }

  // What the transfer alone says.
  static constexpr size_t kOwnAnswers = kTurns + 10;

  std::mt19937 random_{7};
  uint32_t connections_max_ = 1;
};

TEST_F(FloodTest, NothingButTheTransfer) {
  Established();
  EXPECT_LE(Transfer([] {}), kOwnAnswers);
}

TEST_F(FloodTest, SynsForAListenerLeaveABacklogAndNoMore) {
  Make({}, 8);
  Established();
  connections_max_ = 1 + 9;
  Transfer([&] { Lie(FromStranger(kTcpSyn)); });
  const EngineStats& stats = engine().stats();
  EXPECT_GE(stats.cookies_sent.value() + drops(TcpDrop::kBacklogFull), kLies - 100);
}

TEST_F(FloodTest, SynsForNobodyAreCountedAndLeaveNothing) {
  Established();
  Transfer([&] {
    Segment syn = FromStranger(kTcpSyn);
    syn.flow.local_port = 9;
    Lie(syn);
  });
  EXPECT_EQ(drops(TcpDrop::kNoConnection), kLies);
}

TEST_F(FloodTest, AcksForNobodyAreCounted) {
  Established();
  Transfer([&] { Lie(FromStranger(kTcpAck)); });
  EXPECT_EQ(drops(TcpDrop::kNoConnection) + drops(TcpDrop::kBadCookie), kLies);
}

TEST_F(FloodTest, FinsForNobodyAreCounted) {
  Established();
  Transfer([&] { Lie(FromStranger(kTcpFin | kTcpAck), 10); });
  EXPECT_EQ(drops(TcpDrop::kNoConnection) + drops(TcpDrop::kBadCookie), kLies);
}

TEST_F(FloodTest, ResetsForNobodyAreNeverAnswered) {
  Established();
  EXPECT_LE(Transfer([&] { Lie(FromStranger(kTcpRst)); }), kOwnAnswers);
  EXPECT_EQ(drops(TcpDrop::kNoConnection), kLies);
}

TEST_F(FloodTest, BlindResetsMissByOneAndAreChallengedWithinTheLimit) {
  Established();
  const size_t answers = Transfer([&] {
    const uint32_t offset = 1 + Random() % (receiver().outstanding_bytes() - 1);
    Lie(OnConnection(receiver().rcv_nxt() + offset, kTcpRst));
  });
  EXPECT_EQ(drops(TcpDrop::kBadReset), kLies);
  EXPECT_LE(answers, kOwnAnswers + 2 * kChallengeAcksPerSecondMax);
}

TEST_F(FloodTest, ResetsOutsideTheWindowAreDroppedInSilence) {
  Established();
  EXPECT_LE(
      Transfer([&] {
        const bool left = Random() % 2 == 0;
        const uint32_t by = 1 + Random() % 1'000'000;
        Lie(OnConnection(left ? receiver().rcv_nxt() - by : receiver().right_edge() + by, kTcpRst));
      }),
      kOwnAnswers);
  EXPECT_EQ(drops(TcpDrop::kBadReset), kLies);
}

TEST_F(FloodTest, SynsOnTheConnectionAreChallengedWithinTheLimit) {
  Established();
  const size_t answers =
      Transfer([&] { Lie(OnConnection(receiver().rcv_nxt() + Random() % 10'000, kTcpSyn)); });
  EXPECT_EQ(drops(TcpDrop::kUnexpectedSyn), kLies);
  EXPECT_LE(answers, kOwnAnswers + 2 * kChallengeAcksPerSecondMax);
}

TEST_F(FloodTest, DataAtTheEdgesOfTheWindowGoesNoFurtherThanTheWindow) {
  Established();
  Transfer([&] {
    const SeqNum edge = receiver().right_edge();
    const SeqNum left = receiver().rcv_nxt();
    switch (Random() % 4) {
      case 0: return Lie(OnConnection(edge, kTcpAck), 100);
      case 1: return Lie(OnConnection(edge + Random() % 100'000, kTcpAck), 100);
      case 2: return Lie(OnConnection(left - 100u, kTcpAck), 100);
      default: return Lie(OnConnection(left - 1'000'000u, kTcpAck), 100);
    }
  });
  EXPECT_EQ(drops(TcpDrop::kOutsideWindow), kLies);
}

TEST_F(FloodTest, OptimisticAcksMoveNothing) {
  Established();
  SendBytes(5000);
  const SeqNum una = c().sender.snd_una();
  const uint32_t cwnd = c().sender.congestion().window_bytes();
  our_nxt_ = una;
  const SeqNum beyond = c().sender.snd_max() + 1u;
  for (uint32_t n = 0; n < kLies; ++n) {
    Segment lie = OnConnection(receiver().rcv_nxt(), kTcpAck);
    lie.ack = beyond + Random() % 100'000;
    Lie(lie);
  }
  h().Flush();
  EXPECT_EQ(drops(TcpDrop::kBadAck), kLies);
  EXPECT_EQ(c().sender.snd_una(), una);
  EXPECT_EQ(c().sender.congestion().window_bytes(), cwnd);
  EXPECT_LE(TakeSeen().size(), 10u);
}

// RFC 3465 counts bytes, not ACKs.
TEST_F(FloodTest, SplitAcksGrowTheCongestionWindowByWhatTheyAcknowledge) {
  Established();
  SendBytes(10'000);
  TakeSeen();
  const uint32_t cwnd = c().sender.congestion().window_bytes();
  const SeqNum una = c().sender.snd_una();
  for (uint32_t n = 1; n <= 1448; ++n) {
    Segment split = OnConnection(receiver().rcv_nxt(), kTcpAck);
    split.ack = una + n;
    Lie(split);
  }
  h().Flush();
  EXPECT_EQ(c().sender.snd_una(), una + 1448u);
  EXPECT_LE(c().sender.congestion().window_bytes(), cwnd + 1448);
}

TEST_F(FloodTest, SacksOfWhatWasNeverSentAreNotBelieved) {
  Established();
  SendBytes(5000);
  TakeSeen();
  const SeqNum una = c().sender.snd_una();
  Transfer([&] {
    Segment lie = OnConnection(receiver().rcv_nxt(), kTcpAck);
    lie.ack = c().sender.snd_una();
    const SeqNum sent = c().sender.snd_max();
    lie.options.sack_block_count = 3;
    lie.options.sack_blocks[0] = {sent + Random() % 1000, sent + 2000};
    lie.options.sack_blocks[1] = {sent, sent - 100u};
    lie.options.sack_blocks[2] = {SeqNum(Random()), SeqNum(Random())};
    Lie(lie);
  });
  EXPECT_EQ(drops(TcpDrop::kBadSack), kLies);
  EXPECT_GE(c().sender.snd_una(), una);
}

TEST_F(FloodTest, TimestampsFromThePastAreDroppedAndEchoesFromTheFutureIgnored) {
  Established();
  Transfer([&] {
    Segment old = OnConnection(receiver().rcv_nxt(), kTcpAck);
    old.options.timestamps->value = peer_clock_ - 100'000 - Random() % 1000;
    Lie(old, 100);
  });
  EXPECT_EQ(drops(TcpDrop::kPaws), kLies);
  const Nanos rto = c().sender.rto().rto();
  for (uint32_t n = 0; n < kLies; ++n) {
    Segment future = OnConnection(receiver().rcv_nxt(), kTcpAck);
    future.options.timestamps->echo = c().timestamps.TsValue(h().now) + 1 + Random() % 1'000'000;
    Lie(future);
  }
  EXPECT_EQ(drops(TcpDrop::kBadEcho), kLies);
  EXPECT_EQ(c().sender.rto().rto(), rto);
}

// 40 bytes of anything, and lengths of zero: parsed as far as they make sense, never further.
TEST_F(FloodTest, OptionSoupIsCountedAndHarmless) {
  Established();
  uint32_t malformed = 0;
  Transfer([&] {
    std::array<uint8_t, 40> soup;
    for (uint8_t& byte : soup) byte = static_cast<uint8_t>(Random());
    if (Random() % 2 == 0) soup[1] = 0;
    soup[0] = static_cast<uint8_t>(2 + Random() % 7);
    Segment lie = OnConnection(receiver().rcv_nxt(), kTcpAck);
    const TcpOptions parsed = ParseTcpOptions(soup);
    lie.options.malformed = parsed.malformed;
    lie.options.mss = parsed.mss;
    lie.options.window_scale = parsed.window_scale;
    lie.options.sack_permitted = parsed.sack_permitted;
    lie.options.sack_block_count = parsed.sack_block_count;
    lie.options.sack_blocks = parsed.sack_blocks;
    malformed += parsed.malformed ? 1 : 0;
    Lie(lie);
  });
  EXPECT_GT(malformed, kLies / 2);
  EXPECT_EQ(drops(TcpDrop::kBadOptions), malformed);
}

TEST_F(FloodTest, TinySegmentsTakeNoMoreEntriesThanFullOnes) {
  Established();
  const SeqNum begin = receiver().rcv_nxt();
  for (uint32_t n = 0; n < kLies; ++n) {
    Deliver({.bytes = 1});
    if (n % 64 == 63) h().Flush();
    ASSERT_LE(h().array.in_use(), 8u);
  }
  EXPECT_EQ(receiver().rcv_nxt(), begin + kLies);
  EXPECT_EQ(ReadAll(), kLies);
}

// A tiny segment behind each of many holes: entries are bounded, and the transfer goes on.
TEST_F(FloodTest, HolesEverywhereAreRememberedWithinTheBoundOnly) {
  Established();
  for (uint32_t n = 1; n <= 4 * kReassemblyRangesMax; ++n) {
    Lie(OnConnection(receiver().rcv_nxt() + 60'000 + n * 7, kTcpAck), 1);
  }
  EXPECT_EQ(receiver().reassembly().range_count(), kReassemblyRangesMax);
  EXPECT_EQ(drops(TcpDrop::kPieceArray), 3 * kReassemblyRangesMax);
  Transfer([] {});
}

// The bytes that came first stay, whatever comes later under their numbers; the copies are counted.
TEST_F(FloodTest, OverlappingRewritesWithOtherBytesLose) {
  Established();
  constexpr uint32_t kForeign = 0x5a5a5a5a;  // The harness's fixture reads with no stamp.
  const SeqNum begin = receiver().rcv_nxt();
  for (uint32_t n = 0; n < 20; ++n) Lie(OnConnection(begin + 1000 + 2000 * n, kTcpAck), 1000);
  uint64_t rewritten = 0;
  for (uint32_t n = 0; n < 20; ++n) {
    Segment rewrite = OnConnection(begin + 1000 + 2000 * n + n * 10, kTcpAck);
    h().AddPayload(&rewrite, 1000 - n * 10, true, kForeign);
    h().Input(rewrite);
    rewritten += 1000 - n * 10;
  }
  EXPECT_EQ(engine().stats().duplicate_bytes.value(), rewritten);
  for (uint32_t n = 0; n < 20; ++n) Lie(OnConnection(begin + 2000 * n, kTcpAck), 1000);
  h().Flush();
  EXPECT_EQ(receiver().rcv_nxt(), begin + 40'000u);
  EXPECT_EQ(ReadAll(), 40'000u);  // Fails when a byte with another stamp came out.
  peer_nxt_ = begin + 40'000u;
}

}  // namespace
}  // namespace devmem::testing
