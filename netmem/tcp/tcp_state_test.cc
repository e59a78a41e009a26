// SPDX-License-Identifier: Apache-2.0
// Each state times each event against one table, written from RFC 9293 section 3.10 by hand.
#include "netmem/tcp/tcp_state.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <set>
#include <string>

namespace devmem {
namespace {

using enum TcpState;

// No value: the event cannot happen in this state, and asking stops the program.
using Next = std::optional<TcpState>;
constexpr Next kNo = std::nullopt;

struct Row {
  TcpState state;
  Next syn_with_ack, syn_alone, our_syn_acked, fin, our_fin_acked;
  TcpState close, reset;
  bool can_receive, can_send, synchronized, sent_fin, received_fin;
};

constexpr std::array<Row, kTcpStateCount> kTable = {{
    {kClosed, kNo, kNo, kNo, kNo, kNo, kClosed, kClosed, false, false, false, false, false},
    {kListen, kSynReceived, kSynReceived, kNo, kNo, kNo, kClosed, kListen, false, false, false,
     false, false},
    {kSynSent, kEstablished, kSynReceived, kNo, kNo, kNo, kClosed, kClosed, false, false, false,
     false, false},
    {kSynReceived, kNo, kNo, kEstablished, kCloseWait, kNo, kFinWait1, kClosed, false, false, false,
     false, false},
    {kEstablished, kNo, kNo, kEstablished, kCloseWait, kNo, kFinWait1, kClosed, true, true, true,
     false, false},
    {kFinWait1, kNo, kNo, kFinWait1, kClosing, kFinWait2, kFinWait1, kClosed, true, false, true,
     true, false},
    {kFinWait2, kNo, kNo, kFinWait2, kTimeWait, kFinWait2, kFinWait2, kClosed, true, false, true,
     true, false},
    {kCloseWait, kNo, kNo, kCloseWait, kCloseWait, kNo, kLastAck, kClosed, false, true, true, false,
     true},
    {kClosing, kNo, kNo, kClosing, kClosing, kTimeWait, kClosing, kClosed, false, false, true, true,
     true},
    {kLastAck, kNo, kNo, kLastAck, kLastAck, kClosed, kLastAck, kClosed, false, false, true, true,
     true},
    {kTimeWait, kNo, kNo, kTimeWait, kTimeWait, kTimeWait, kTimeWait, kTimeWait, false, false, true,
     true, true},
}};

class TcpStateTest : public testing::TestWithParam<Row> {
 protected:
  template <typename Transition>
  void Expect(Next expected, Transition transition) {
    if (expected.has_value()) {
      EXPECT_EQ(transition(), *expected);
    } else {
      EXPECT_DEATH(static_cast<void>(transition()), "");
    }
  }
};

TEST_P(TcpStateTest, EachEventLeadsWhereTheTableSays) {
  const Row& row = GetParam();
  SCOPED_TRACE(std::string(ToString(row.state)));
  GTEST_FLAG_SET(death_test_style, "fast");
  Expect(row.syn_with_ack, [&] { return AfterSyn(row.state, true); });
  Expect(row.syn_alone, [&] { return AfterSyn(row.state, false); });
  Expect(row.our_syn_acked, [&] { return AfterOurSynAcked(row.state); });
  Expect(row.fin, [&] { return AfterFin(row.state); });
  Expect(row.our_fin_acked, [&] { return AfterOurFinAcked(row.state); });
  EXPECT_EQ(AfterClose(row.state), row.close);
  EXPECT_EQ(AfterReset(row.state), row.reset);
}

TEST_P(TcpStateTest, EachPredicateAnswersAsTheTableSays) {
  const Row& row = GetParam();
  SCOPED_TRACE(std::string(ToString(row.state)));
  EXPECT_EQ(CanReceiveData(row.state), row.can_receive);
  EXPECT_EQ(CanSendData(row.state), row.can_send);
  EXPECT_EQ(IsSynchronized(row.state), row.synchronized);
  EXPECT_EQ(HasSentFin(row.state), row.sent_fin);
  EXPECT_EQ(HasReceivedFin(row.state), row.received_fin);
}

INSTANTIATE_TEST_SUITE_P(EveryState, TcpStateTest, testing::ValuesIn(kTable),
                         [](const testing::TestParamInfo<Row>& param) {
                           std::string name(ToString(param.param.state));
                           std::erase(name, '-');
                           return name;
                         });

TEST(TcpStateTableTest, CoversEachStateOnceAndNamesDiffer) {
  std::set<TcpState> states;
  std::set<std::string> names;
  for (const Row& row : kTable) {
    states.insert(row.state);
    names.insert(std::string(ToString(row.state)));
  }
  EXPECT_EQ(states.size(), kTcpStateCount);
  EXPECT_EQ(names.size(), kTcpStateCount);
}

TEST(TcpStateWalkTest, AnActiveCloseGoesThroughFinWaitToTimeWait) {
  TcpState state = AfterSyn(kSynSent, true);
  state = AfterClose(state);
  state = AfterOurFinAcked(state);
  EXPECT_EQ(state, kFinWait2);
  EXPECT_EQ(AfterFin(state), kTimeWait);
}

TEST(TcpStateWalkTest, BothSidesClosingAtOnceMeetInClosing) {
  TcpState state = AfterClose(kEstablished);
  state = AfterFin(state);
  EXPECT_EQ(state, kClosing);
  EXPECT_EQ(AfterOurFinAcked(state), kTimeWait);
}

TEST(TcpStateWalkTest, APassiveCloseEndsInClosedWithoutTimeWait) {
  TcpState state = AfterOurSynAcked(AfterSyn(kListen, false));
  state = AfterFin(state);
  state = AfterClose(state);
  EXPECT_EQ(state, kLastAck);
  EXPECT_EQ(AfterOurFinAcked(state), kClosed);
}

}  // namespace
}  // namespace devmem
