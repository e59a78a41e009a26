// SPDX-License-Identifier: Apache-2.0
// The sending half on its own: what goes within which window, what an acknowledgment means, and
// what goes again. Sequence numbers begin just below 2^32.

#include "netmem/tcp/sender.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace devmem {
namespace {

constexpr SeqNum kIss{0xfffffdff};
constexpr SeqNum kFirst = kIss + 1;
constexpr uint32_t kMss = 1000;

class SenderTest : public ::testing::Test {
 protected:
  SenderTest() { Open(60'000); }

  void Open(uint32_t window_bytes) {
    sender_ = Sender();
    sender_.Start(kIss, *SendBuffer::Create(64 << 10));
    sender_.OnSynSent(now_);
    Segment syn_ack{.seq = peer_, .ack = kFirst, .flags = kTcpSyn | kTcpAck};
    syn_ack.window = static_cast<uint16_t>(window_bytes);
    sender_.OnHandshake(syn_ack, kMss, 0);
    now_ += 10 * kMillisecond;
    (void)sender_.OnAck(syn_ack, 0, no_timestamps_, now_);
    window_bytes_ = window_bytes;
  }
  void Queue(size_t bytes) { EXPECT_EQ(sender_.Queue(std::vector<uint8_t>(bytes, 'x')), bytes); }

  // Sends what may be sent; each plan as "offset+bytes", with "F" for a FIN.
  std::string SendAll(uint32_t segment_bytes_max = kMss) {
    std::string sent;
    while (const std::optional<SendPlan> plan = sender_.NextToSend(segment_bytes_max)) {
      if (!sent.empty()) sent += ' ';
      sent += Describe(*plan);
      gso_bytes_ = plan->gso_segment_bytes;
      sender_.OnSent(*plan, now_);
    }
    return sent;
  }
  static std::string Describe(const SendPlan& plan) {
    return std::to_string(plan.seq.value() - kFirst.value()) + "+" +
           std::to_string(plan.payload.size()) + (plan.fin ? "F" : "");
  }
  AckOutcome Ack(uint32_t offset) {
    const Segment segment{.seq = peer_ + 1,
                          .ack = kFirst + offset,
                          .flags = kTcpAck,
                          .window = static_cast<uint16_t>(window_bytes_)};
    return sender_.OnAck(segment, 0, no_timestamps_, now_);
  }
  std::string Resend() {
    const std::optional<SendPlan> plan = sender_.FirstUnacked();
    if (!plan.has_value()) return "";
    sender_.OnSent(*plan, now_);
    return Describe(*plan);
  }

  Sender sender_;
  SeqNum peer_{7};
  uint32_t window_bytes_ = 0;
  uint16_t gso_bytes_ = 0;
  Nanos now_ = kSecond;
  TimestampState no_timestamps_;
};

TEST_F(SenderTest, NothingIsSentBeforeTheSynIsAcknowledged) {
  Sender sender;
  sender.Start(kIss, *SendBuffer::Create(4096));
  sender.OnSynSent(now_);
  EXPECT_EQ(sender.Queue(std::vector<uint8_t>(10)), 10u);
  EXPECT_FALSE(sender.NextToSend(kMss).has_value());
  EXPECT_FALSE(sender.NeedsPersist());
}

TEST_F(SenderTest, TheCongestionWindowBoundsTheFirstFlight) {
  Queue(30'000);
  EXPECT_EQ(SendAll(20'000), "0+10000");
  EXPECT_EQ(sender_.flight_bytes(), kInitialWindowSegments * kMss);
}

TEST_F(SenderTest, ThePeersWindowBoundsWhatIsSent) {
  Open(2500);
  Queue(5000);
  EXPECT_EQ(SendAll(), "0+1000 1000+1000") << "500 more would be a silly window";
  EXPECT_FALSE(sender_.NeedsPersist());
}

TEST_F(SenderTest, NagleHoldsASmallSegmentWhileAnythingIsInFlight) {
  Queue(10);
  EXPECT_EQ(SendAll(), "0+10");
  Queue(20);
  EXPECT_EQ(SendAll(), "");
  Ack(10);
  EXPECT_EQ(SendAll(), "10+20");
}

TEST_F(SenderTest, NoDelaySwitchesNagleOff) {
  sender_.set_no_delay(true);
  Queue(10);
  EXPECT_EQ(SendAll(), "0+10");
  Queue(20);
  EXPECT_EQ(SendAll(), "10+20");
}

TEST_F(SenderTest, ASuperFrameIsWholeSegmentsButForTheEndOfTheData) {
  Queue(4500);
  EXPECT_EQ(SendAll(3500), "0+3000 3000+1500");
  EXPECT_EQ(gso_bytes_, kMss);
  Ack(4500);
  Queue(500);
  EXPECT_EQ(SendAll(3500), "4500+500");
  EXPECT_EQ(gso_bytes_, 0);
}

TEST_F(SenderTest, TheFinGoesWithTheLastByteAndOnlyOnce) {
  Queue(1500);
  sender_.QueueFin();
  EXPECT_EQ(SendAll(), "0+1000 1000+500F");
  EXPECT_EQ(SendAll(), "");
  EXPECT_FALSE(Ack(1500).fin_acked);
  EXPECT_TRUE(Ack(1501).fin_acked);
  EXPECT_TRUE(sender_.all_acked());
  EXPECT_EQ(SendAll(), "");
}

TEST_F(SenderTest, AFinAloneNeedsNoWindow) {
  Open(0);
  sender_.QueueFin();
  EXPECT_EQ(SendAll(), "0+0F");
  EXPECT_EQ(Resend(), "0+0F");
}

TEST_F(SenderTest, AnAckOfTheSynIsNoAckOfTheFin) {
  sender_ = Sender();
  sender_.Start(kIss, *SendBuffer::Create(4096));
  sender_.OnSynSent(now_);
  sender_.QueueFin();
  EXPECT_FALSE(Ack(0).fin_acked);
}

TEST_F(SenderTest, AfterATimeoutEverythingGoesAgainWithinTheNewWindow) {
  Queue(5000);
  EXPECT_EQ(SendAll(), "0+1000 1000+1000 2000+1000 3000+1000 4000+1000");
  sender_.OnTimeout();
  EXPECT_EQ(Resend(), "0+1000");
  EXPECT_EQ(SendAll(), "") << "one segment is the whole window";
  Ack(1000);
  EXPECT_EQ(SendAll(), "1000+1000 2000+1000");
  // The peer had the rest all along.
  Ack(5000);
  EXPECT_TRUE(sender_.all_acked());
  EXPECT_EQ(sender_.snd_nxt(), kFirst + 5000);
}

TEST_F(SenderTest, ATimeoutSendsTheFinAgainBehindItsData) {
  Queue(1500);
  sender_.QueueFin();
  SendAll();
  sender_.OnTimeout();
  EXPECT_EQ(Resend(), "0+1000");
  Ack(1000);
  EXPECT_EQ(SendAll(), "1000+500F");
  EXPECT_EQ(sender_.snd_max(), kFirst + 1501);
}

TEST_F(SenderTest, WhatGoesAgainIsNoMoreThanWhatWasSent) {
  Open(100);
  Queue(100);
  EXPECT_EQ(SendAll(), "0+100");
  Queue(500);
  sender_.OnTimeout();
  EXPECT_EQ(Resend(), "0+100") << "the peer has room for no more";
}

TEST_F(SenderTest, TheThirdDuplicateAckSendsTheFirstSegmentAgain) {
  Queue(10'000);
  SendAll();
  EXPECT_FALSE(Ack(0).retransmit);
  EXPECT_FALSE(Ack(0).retransmit);
  EXPECT_TRUE(Ack(0).retransmit);
  EXPECT_EQ(Resend(), "0+1000");
  EXPECT_FALSE(Ack(0).retransmit) << "once";
}

TEST_F(SenderTest, APartialAckSendsTheNextHoleAndAFullOneEndsTheRecovery) {
  Queue(10'000);
  SendAll();
  for (int i = 0; i < 3; ++i) Ack(0);
  Resend();
  const AckOutcome partial = Ack(3000);
  EXPECT_TRUE(partial.retransmit);
  EXPECT_TRUE(partial.restart_timer) << "the first partial one";
  EXPECT_EQ(Resend(), "3000+1000");
  const AckOutcome second = Ack(6000);
  EXPECT_TRUE(second.retransmit);
  EXPECT_FALSE(second.restart_timer);
  EXPECT_FALSE(Ack(10'000).retransmit);
  EXPECT_FALSE(sender_.congestion().in_recovery());
}

TEST_F(SenderTest, SegmentsWithDataOrAChangedWindowAreNoDuplicateAcks) {
  Queue(10'000);
  SendAll();
  Segment segment{.seq = peer_ + 1, .ack = kFirst, .flags = kTcpAck, .window = 60'000};
  for (int i = 0; i < 4; ++i) {
    segment.payload_bytes = 100;
    EXPECT_FALSE(sender_.OnAck(segment, 0, no_timestamps_, now_).retransmit);
    segment.payload_bytes = 0;
    segment.cut = true;
    EXPECT_FALSE(sender_.OnAck(segment, 0, no_timestamps_, now_).retransmit);
    segment.cut = false;
    ++segment.window;
    EXPECT_FALSE(sender_.OnAck(segment, 0, no_timestamps_, now_).retransmit);
  }
}

TEST_F(SenderTest, KarnsRuleTakesNoSampleFromWhatWentTwice) {
  const Nanos before = sender_.rto().srtt();
  Queue(1000);
  SendAll();
  sender_.OnTimeout();
  Resend();
  now_ += 5 * kSecond;
  Ack(1000);
  EXPECT_EQ(sender_.rto().srtt(), before);
  Queue(1000);
  SendAll();
  now_ += 5 * kSecond;
  Ack(2000);
  EXPECT_GT(sender_.rto().srtt(), before);
}

TEST_F(SenderTest, KarnsRuleHoldsForAFastRetransmissionToo) {
  const Nanos before = sender_.rto().srtt();
  Queue(10'000);
  SendAll();
  for (int i = 0; i < 3; ++i) Ack(0);
  Resend();
  now_ += 5 * kSecond;
  Ack(10'000);
  EXPECT_EQ(sender_.rto().srtt(), before);
}

TEST_F(SenderTest, WithTimestampsAnEchoIsASampleAlsoAfterARetransmission) {
  TimestampState timestamps{.enabled = true};
  Queue(1000);
  SendAll();
  sender_.OnTimeout();
  Resend();
  Segment segment{.seq = peer_ + 1, .ack = kFirst + 1000, .flags = kTcpAck, .window = 60'000};
  segment.options.timestamps = TcpTimestamps{1, timestamps.TsValue(now_)};
  const Nanos before = sender_.rto().srtt();
  now_ += 500 * kMillisecond;
  (void)sender_.OnAck(segment, 0, timestamps, now_);
  EXPECT_GT(sender_.rto().srtt(), before);
}

TEST_F(SenderTest, AClosedWindowNeedsThePersistTimerAndItsOpeningIsReported) {
  Open(1000);
  Queue(3000);
  SendAll();
  window_bytes_ = 0;
  Ack(1000);
  EXPECT_EQ(SendAll(), "");
  EXPECT_TRUE(sender_.NeedsPersist());
  EXPECT_FALSE(sender_.Forced().has_value()) << "nothing goes into a shut window";
  sender_.rto().Backoff();
  window_bytes_ = 2000;
  EXPECT_TRUE(Ack(1000).window_opened);
  EXPECT_EQ(sender_.rto().backoff_count(), 0u);
  EXPECT_EQ(SendAll(), "1000+1000 2000+1000");
}

TEST_F(SenderTest, ThePersistTimerUsesAWindowThatIsOpenButSmall) {
  Open(4000);
  Queue(8000);
  SendAll();
  window_bytes_ = 300;
  Ack(4000);
  EXPECT_EQ(SendAll(), "") << "300 of at most 4000 is silly";
  ASSERT_TRUE(sender_.NeedsPersist());
  EXPECT_EQ(Describe(sender_.Forced().value()), "4000+300");
}

TEST_F(SenderTest, AnOldSegmentDoesNotChangeTheWindow) {
  Queue(100);
  SendAll();
  Ack(100);
  window_bytes_ = 5;
  Ack(0);
  EXPECT_EQ(sender_.peer_window_bytes(), 60'000u);
}

TEST_F(SenderTest, AWindowFarAheadOfTheLastThatChangedItIsStillNews) {
  // Two gigabytes came in with acknowledgments that said nothing new.
  peer_ += 0x7ffffff0;
  sender_.OnOldAck(peer_);
  peer_ += 0x7ffffff0;
  window_bytes_ = 1234;
  Ack(0);
  EXPECT_EQ(sender_.peer_window_bytes(), 1234u);
}

TEST_F(SenderTest, AcksOfWhatWasNeverSentOrLongAgoAreNotAcceptable) {
  Queue(1000);
  SendAll();
  EXPECT_TRUE(sender_.AckAcceptable(kFirst + 1000));
  EXPECT_FALSE(sender_.AckAcceptable(kFirst + 1001));
  EXPECT_TRUE(sender_.AckAcceptable(kFirst - 1u)) << "the SYN is all that was acknowledged";
  EXPECT_FALSE(sender_.AckAcceptable(kFirst - 2u));
  for (uint32_t acked = 1000; acked <= 100'000; acked += 1000) {
    Ack(acked);
    Queue(1000);
    SendAll();
  }
  EXPECT_TRUE(sender_.AckAcceptable(kFirst + 100'000 - 60'000u));
  EXPECT_FALSE(sender_.AckAcceptable(kFirst + 100'000 - 60'001u)) << "the largest window";
}

TEST_F(SenderTest, AnIdleConnectionStartsSlowlyAgain) {
  for (uint32_t sent = 0; sent < 100'000; sent += 10'000) {
    Queue(10'000);
    SendAll();
    Ack(sent + 10'000);
  }
  ASSERT_GT(sender_.congestion().cwnd_bytes(), kInitialWindowSegments * kMss);
  sender_.RestartAfterIdle(now_ + kMillisecond);
  ASSERT_GT(sender_.congestion().cwnd_bytes(), kInitialWindowSegments * kMss);
  sender_.RestartAfterIdle(now_ + 10 * kSecond);
  EXPECT_EQ(sender_.congestion().cwnd_bytes(), kInitialWindowSegments * kMss);
}

TEST_F(SenderTest, OnlyTheFirstCopyCountsAsSent) {
  Queue(1500);
  EXPECT_EQ(sender_.OnSent(*sender_.NextToSend(kMss), now_), 1000u);
  sender_.OnTimeout();
  EXPECT_EQ(sender_.OnSent(*sender_.FirstUnacked(), now_), 0u);
}

TEST_F(SenderTest, ARecordSharesNoSegmentWithWhatFollowsAndIsPushed) {
  Queue(300);
  sender_.EndRecord();
  Queue(2500);
  sender_.EndRecord();
  Queue(100);
  EXPECT_TRUE(sender_.NextToSend(kMss)->pushed);
  // The end of a record goes though it is small; what ends none is held back.
  EXPECT_EQ(SendAll(), "0+300 300+1000 1300+1000 2300+500");
  EXPECT_EQ(Resend(), "0+300");
  Ack(2800);
  EXPECT_EQ(SendAll(), "2800+100");
}

TEST_F(SenderTest, ASuperFrameEndsWithItsRecord) {
  Queue(2500);
  sender_.EndRecord();
  Queue(5000);
  EXPECT_EQ(SendAll(8000), "0+2500 2500+5000");
}

}  // namespace
}  // namespace devmem
