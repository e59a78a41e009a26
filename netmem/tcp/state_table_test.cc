// SPDX-License-Identifier: Apache-2.0
// Every synchronized state and SYN-RECEIVED, every kind of segment, every position in the window,
// against a table written from RFC 9293 section 3.10.7.4 and RFC 5961 sections 3 to 5. The states
// before those are in state_table_open_test.cc.

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

enum class Event {
  kSyn,
  kSynAck,
  kRst,
  kRstAck,
  kAckAncient,  // Older than the largest window: RFC 5961 section 5.2.
  kAckOld,
  kAckCurrent,  // SND.UNA.
  kAckNew,      // Everything that was sent.
  kAckBeyond,   // What was never sent.
  kData,        // 10 bytes.
  kFin,
  kDataFin,
  kNoAck,  // 10 bytes without the ACK flag.
};

// What comes of a segment. Upper case: the handshake completes first.
//   .  nothing at all            a  an ACK, and nothing is taken
//   d  data is taken, ACK        o  data is kept out of order, ACK
//   f  the FIN is taken, ACK     w  the FIN waits for what is before it, ACK
//   g  data and FIN are taken    n  our FIN is acknowledged, no answer
//   x  closed, no answer         r  RST whose number is SEG.ACK
//   s  the SYN-ACK goes again    e  established, no answer   E  established, ACK
//   N  a new connection in place of the old one: SYN-ACK
//
// By position of SEG.SEQ: 100 left of RCV.NXT, one left of it, RCV.NXT, inside, the last number of
// the window, the right edge, beyond; then the same without window: 100 left, one left, RCV.NXT,
// beyond.
struct Row {
  TcpState state;
  Event event;
  const char* open;
  const char* zero;
};

constexpr char kAllAcks[] = "aaaaaaa";
constexpr char kAllAcks0[] = "aaaa";

// Third and fourth step: what a segment without room for doubt about its ACK comes to.
constexpr Row kSynReceived[] = {
    {TcpState::kSynReceived, Event::kSyn, "asaaaaa", ""},
    {TcpState::kSynReceived, Event::kSynAck, "aEaaaaa", ""},
    {TcpState::kSynReceived, Event::kRst, "..xaa..", ""},
    {TcpState::kSynReceived, Event::kRstAck, "..xaa..", ""},
    {TcpState::kSynReceived, Event::kAckAncient, "aarrraa", ""},
    {TcpState::kSynReceived, Event::kAckOld, "aarrraa", ""},
    {TcpState::kSynReceived, Event::kAckCurrent, "aarrraa", ""},
    {TcpState::kSynReceived, Event::kAckNew, "aaeeeaa", ""},
    {TcpState::kSynReceived, Event::kAckBeyond, "aarrraa", ""},
    {TcpState::kSynReceived, Event::kData, "aDDOOaa", ""},
    {TcpState::kSynReceived, Event::kFin, "aaFWWaa", ""},
    {TcpState::kSynReceived, Event::kDataFin, "aGGOOaa", ""},
    {TcpState::kSynReceived, Event::kNoAck, "a....aa", ""},
};

// ESTABLISHED, FIN-WAIT-1 and FIN-WAIT-2 take data and a FIN; `n` where our FIN is acknowledged.
constexpr Row kReceiving[] = {
    {TcpState::kEstablished, Event::kSyn, kAllAcks, kAllAcks0},
    {TcpState::kEstablished, Event::kSynAck, kAllAcks, kAllAcks0},
    {TcpState::kEstablished, Event::kRst, "..xaa..", "..x."},
    {TcpState::kEstablished, Event::kRstAck, "..xaa..", "..x."},
    {TcpState::kEstablished, Event::kAckAncient, kAllAcks, kAllAcks0},
    {TcpState::kEstablished, Event::kAckOld, "aa...aa", "aa.a"},
    {TcpState::kEstablished, Event::kAckCurrent, "aa...aa", "aa.a"},
    {TcpState::kEstablished, Event::kAckNew, "aa...aa", "aa.a"},
    {TcpState::kEstablished, Event::kAckBeyond, kAllAcks, kAllAcks0},
    {TcpState::kEstablished, Event::kData, "addooaa", kAllAcks0},
    {TcpState::kEstablished, Event::kFin, "aafwwaa", "aafa"},
    {TcpState::kEstablished, Event::kDataFin, "aggooaa", kAllAcks0},
    {TcpState::kEstablished, Event::kNoAck, "a....aa", "aa.a"},

    {TcpState::kFinWait1, Event::kSyn, kAllAcks, kAllAcks0},
    {TcpState::kFinWait1, Event::kSynAck, kAllAcks, kAllAcks0},
    {TcpState::kFinWait1, Event::kRst, "..xaa..", "..x."},
    {TcpState::kFinWait1, Event::kRstAck, "..xaa..", "..x."},
    {TcpState::kFinWait1, Event::kAckAncient, kAllAcks, kAllAcks0},
    {TcpState::kFinWait1, Event::kAckOld, "aa...aa", "aa.a"},
    {TcpState::kFinWait1, Event::kAckCurrent, "aa...aa", "aa.a"},
    {TcpState::kFinWait1, Event::kAckNew, "aannnaa", "aana"},
    {TcpState::kFinWait1, Event::kAckBeyond, kAllAcks, kAllAcks0},
    {TcpState::kFinWait1, Event::kData, "addooaa", kAllAcks0},
    {TcpState::kFinWait1, Event::kFin, "aafwwaa", "aafa"},
    {TcpState::kFinWait1, Event::kDataFin, "aggooaa", kAllAcks0},
    {TcpState::kFinWait1, Event::kNoAck, "a....aa", "aa.a"},

    {TcpState::kFinWait2, Event::kSyn, kAllAcks, kAllAcks0},
    {TcpState::kFinWait2, Event::kSynAck, kAllAcks, kAllAcks0},
    {TcpState::kFinWait2, Event::kRst, "..xaa..", "..x."},
    {TcpState::kFinWait2, Event::kRstAck, "..xaa..", "..x."},
    {TcpState::kFinWait2, Event::kAckAncient, kAllAcks, kAllAcks0},
    {TcpState::kFinWait2, Event::kAckOld, "aa...aa", "aa.a"},
    {TcpState::kFinWait2, Event::kAckCurrent, "aa...aa", "aa.a"},
    {TcpState::kFinWait2, Event::kAckBeyond, kAllAcks, kAllAcks0},
    {TcpState::kFinWait2, Event::kData, "addooaa", kAllAcks0},
    {TcpState::kFinWait2, Event::kFin, "aafwwaa", "aafa"},
    {TcpState::kFinWait2, Event::kDataFin, "aggooaa", kAllAcks0},
    {TcpState::kFinWait2, Event::kNoAck, "a....aa", "aa.a"},
};

// Behind the peer's FIN there is nothing to take; the FIN itself may come again, one number left
// of RCV.NXT, and so may a RST of a peer that does not know that it arrived; as Linux.
constexpr Row kClosingStates[] = {
    {TcpState::kCloseWait, Event::kSyn, kAllAcks, kAllAcks0},
    {TcpState::kCloseWait, Event::kSynAck, kAllAcks, kAllAcks0},
    {TcpState::kCloseWait, Event::kRst, ".xxaa..", ".xx."},
    {TcpState::kCloseWait, Event::kRstAck, ".xxaa..", ".xx."},
    {TcpState::kCloseWait, Event::kAckAncient, kAllAcks, kAllAcks0},
    {TcpState::kCloseWait, Event::kAckOld, "aa...aa", "aa.a"},
    {TcpState::kCloseWait, Event::kAckCurrent, "aa...aa", "aa.a"},
    {TcpState::kCloseWait, Event::kAckNew, "aa...aa", "aa.a"},
    {TcpState::kCloseWait, Event::kAckBeyond, kAllAcks, kAllAcks0},
    {TcpState::kCloseWait, Event::kData, kAllAcks, kAllAcks0},
    {TcpState::kCloseWait, Event::kFin, kAllAcks, kAllAcks0},
    {TcpState::kCloseWait, Event::kDataFin, kAllAcks, kAllAcks0},
    {TcpState::kCloseWait, Event::kNoAck, "a....aa", "aa.a"},

    {TcpState::kClosing, Event::kSyn, kAllAcks, kAllAcks0},
    {TcpState::kClosing, Event::kSynAck, kAllAcks, kAllAcks0},
    {TcpState::kClosing, Event::kRst, ".xxaa..", ".xx."},
    {TcpState::kClosing, Event::kRstAck, ".xxaa..", ".xx."},
    {TcpState::kClosing, Event::kAckAncient, kAllAcks, kAllAcks0},
    {TcpState::kClosing, Event::kAckOld, "aa...aa", "aa.a"},
    {TcpState::kClosing, Event::kAckCurrent, "aa...aa", "aa.a"},
    {TcpState::kClosing, Event::kAckNew, "aannnaa", "aana"},
    {TcpState::kClosing, Event::kAckBeyond, kAllAcks, kAllAcks0},
    {TcpState::kClosing, Event::kData, kAllAcks, kAllAcks0},
    {TcpState::kClosing, Event::kFin, kAllAcks, kAllAcks0},
    {TcpState::kClosing, Event::kDataFin, kAllAcks, kAllAcks0},
    {TcpState::kClosing, Event::kNoAck, "a....aa", "aa.a"},

    {TcpState::kLastAck, Event::kSyn, kAllAcks, kAllAcks0},
    {TcpState::kLastAck, Event::kSynAck, kAllAcks, kAllAcks0},
    {TcpState::kLastAck, Event::kRst, ".xxaa..", ".xx."},
    {TcpState::kLastAck, Event::kRstAck, ".xxaa..", ".xx."},
    {TcpState::kLastAck, Event::kAckAncient, kAllAcks, kAllAcks0},
    {TcpState::kLastAck, Event::kAckOld, "aa...aa", "aa.a"},
    {TcpState::kLastAck, Event::kAckCurrent, "aa...aa", "aa.a"},
    {TcpState::kLastAck, Event::kAckNew, "aaxxxaa", "aaxa"},
    {TcpState::kLastAck, Event::kAckBeyond, kAllAcks, kAllAcks0},
    {TcpState::kLastAck, Event::kData, kAllAcks, kAllAcks0},
    {TcpState::kLastAck, Event::kFin, kAllAcks, kAllAcks0},
    {TcpState::kLastAck, Event::kDataFin, kAllAcks, kAllAcks0},
    {TcpState::kLastAck, Event::kNoAck, "a....aa", "aa.a"},

    // RFC 1337 section 3, F1: no RST cuts it short. RFC 9293 section 3.6.1: a SYN right of all that
    // came opens a new connection.
    {TcpState::kTimeWait, Event::kSyn, "aaaNNNN", "aaaN"},
    {TcpState::kTimeWait, Event::kSynAck, kAllAcks, kAllAcks0},
    {TcpState::kTimeWait, Event::kRst, "...aa..", "...."},
    {TcpState::kTimeWait, Event::kRstAck, "...aa..", "...."},
    {TcpState::kTimeWait, Event::kAckAncient, kAllAcks, kAllAcks0},
    {TcpState::kTimeWait, Event::kAckOld, "aa...aa", "aa.a"},
    {TcpState::kTimeWait, Event::kAckCurrent, "aa...aa", "aa.a"},
    {TcpState::kTimeWait, Event::kAckBeyond, kAllAcks, kAllAcks0},
    {TcpState::kTimeWait, Event::kData, kAllAcks, kAllAcks0},
    {TcpState::kTimeWait, Event::kFin, kAllAcks, kAllAcks0},
    {TcpState::kTimeWait, Event::kDataFin, kAllAcks, kAllAcks0},
    {TcpState::kTimeWait, Event::kNoAck, "a....aa", "aa.a"},
};

// RFC 9293 section 3.10.7.4, eighth and fifth step.
const std::map<TcpState, TcpState> kAfterFin = {{TcpState::kEstablished, TcpState::kCloseWait},
                                                {TcpState::kFinWait1, TcpState::kClosing},
                                                {TcpState::kFinWait2, TcpState::kTimeWait}};
const std::map<TcpState, TcpState> kAfterOurFinAcked = {{TcpState::kFinWait1, TcpState::kFinWait2},
                                                        {TcpState::kClosing, TcpState::kTimeWait}};

class StateTableTest : public EngineFixture, public ::testing::WithParamInterface<Row> {
 protected:
  static constexpr uint32_t kSmallWindow = 4096;

  // The user reads nothing, so the peer can send until the window is shut.
  void FillWindow() {
    while (receiver().outstanding_bytes() != 0) {
      Send({.bytes = std::min(receiver().outstanding_bytes(), 1000u)});
    }
  }

  void Reach(TcpState state, bool zero_window) {
    HarnessSetup setup;
    if (zero_window) setup.tcp.window_bytes_max = kSmallWindow;
    Make(setup);
    if (state == TcpState::kSynReceived) return SynReceived();
    Established();
    if (zero_window) FillWindow();
    TakeSeen();
    const SeqNum una = c().sender.snd_una();
    const bool peer_first = state == TcpState::kCloseWait || state == TcpState::kLastAck;
    if (peer_first) Send({.flags = kTcpFin | kTcpAck});
    if (state == TcpState::kEstablished || state == TcpState::kCloseWait) {
      SendBytes(500);
    } else {
      Shutdown();
    }
    TakeSeen();
    if (state == TcpState::kFinWait2 || state == TcpState::kTimeWait) Send({});
    if (state == TcpState::kTimeWait) Send({.flags = kTcpFin | kTcpAck});
    if (state == TcpState::kClosing) Send({.ack = una, .flags = kTcpFin | kTcpAck});
    TakeSeen();
  }

  FromPeer SegmentFor(Event event) {
    const SeqNum una = c().sender.snd_una();
    const bool opening = state() == TcpState::kSynReceived;
    FromPeer segment;
    segment.ack = opening ? c().sender.snd_max() : una;
    switch (event) {
      case Event::kSyn: segment.flags = kTcpSyn; break;
      case Event::kSynAck:
        segment.flags = kTcpSyn | kTcpAck;
        segment.ack = c().sender.snd_max();
        break;
      case Event::kRst: segment.flags = kTcpRst; break;
      case Event::kRstAck: segment.flags = kTcpRst | kTcpAck; break;
      // The largest window of the fixture's peer is 1 MiB.
      case Event::kAckAncient: segment.ack = una - (8192u << 7) - 1u; break;
      case Event::kAckOld: segment.ack = una - 1u; break;
      case Event::kAckCurrent: segment.ack = una; break;
      case Event::kAckNew: segment.ack = c().sender.snd_max(); break;
      case Event::kAckBeyond: segment.ack = c().sender.snd_max() + 1u; break;
      case Event::kData: segment.bytes = 10; break;
      case Event::kFin: segment.flags = kTcpFin | kTcpAck; break;
      case Event::kDataFin:
        segment.flags = kTcpFin | kTcpAck;
        segment.bytes = 10;
        break;
      case Event::kNoAck:
        segment.flags = kTcpPsh;
        segment.bytes = 10;
        break;
    }
    return segment;
  }

  // The state of the connection with this 4-tuple; CLOSED when there is none.
  TcpState StateNow() {
    TcpState now = TcpState::kClosed;
    engine().VisitConnections([&](const TcpConnection& connection) {
      if (connection.flow == Flow(peer_port_) && connection.state != TcpState::kClosed) {
        now = connection.state;
      }
    });
    return now;
  }

  void Expect(char code, TcpState before, SeqNum seq, const FromPeer& segment) {
    const bool completes = before == TcpState::kSynReceived && code >= 'A' && code <= 'Z';
    TcpState after = completes || code == 'e' ? TcpState::kEstablished : before;
    const uint32_t old = seq < nxt_ ? nxt_.value() - seq.value() : 0;
    uint32_t taken = 0;
    switch (code) {
      case '.':
      case 'e': ExpectNothing(); break;
      case 'a':
      case 'E': ExpectOnly(IsAck(nxt_)); break;
      case 'r': ExpectOnly(All({HasFlags(kTcpRst), HasSeq(*segment.ack)})); break;
      case 's': ExpectOnly(All({IsSynAck(nxt_), HasSeq(kOurIss)})); break;
      case 'N':
        ExpectOnly(IsSynAck(seq + 1));
        EXPECT_EQ(StateNow(), TcpState::kSynReceived);
        return;
      case 'd':
      case 'D': taken = 10 - old; break;
      case 'o':
      case 'O':
      case 'w':
      case 'W': ExpectOnly(IsAck(nxt_)); break;
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        taken = segment.bytes + 1 - old;
        after = kAfterFin.at(after);
        break;
      case 'n':
        ExpectNothing();
        after = kAfterOurFinAcked.at(before);
        break;
      case 'x':
        ExpectNothing();
        EXPECT_EQ(StateNow(), TcpState::kClosed);
        return;
      default: FAIL() << "no such code: " << code;
    }
    if (taken != 0) ExpectOnly(IsAck(nxt_ + taken));
    ASSERT_EQ(StateNow(), after);
    EXPECT_EQ(receiver().rcv_nxt(), nxt_ + taken);
    EXPECT_EQ(receiver().reassembly().bytes() != 0, code == 'o' || code == 'O');
  }

  void RunOne(const Row& row, bool zero_window, uint32_t position, char code) {
    Reach(row.state, zero_window);
    ASSERT_EQ(state(), row.state);
    nxt_ = receiver().rcv_nxt();
    const SeqNum edge = receiver().right_edge();
    ASSERT_EQ(receiver().outstanding_bytes() == 0, zero_window);
    const SeqNum open[] = {nxt_ - 100u, nxt_ - 1u, nxt_, nxt_ + 50u, edge - 1u, edge, edge + 1000u};
    const SeqNum shut[] = {nxt_ - 100u, nxt_ - 1u, nxt_, nxt_ + 1000u};
    FromPeer segment = SegmentFor(row.event);
    segment.seq = zero_window ? shut[position] : open[position];
    SCOPED_TRACE(absl::StrCat(ToString(row.state), " event ", static_cast<int>(row.event),
                              zero_window ? " no window" : "", " position ", position, " expect ",
                              std::string(1, code)));
    Send(segment);
    Expect(code, row.state, *segment.seq, segment);
    EXPECT_EQ(h().CheckAccount(false), "");
  }

  SeqNum nxt_;
};

TEST_P(StateTableTest, ComesToWhatTheRfcSaysAtEveryPositionInTheWindow) {
  const Row& row = GetParam();
  for (uint32_t i = 0; row.open[i] != 0; ++i) RunOne(row, false, i, row.open[i]);
  for (uint32_t i = 0; row.zero[i] != 0; ++i) RunOne(row, true, i, row.zero[i]);
}

std::string NameOf(const ::testing::TestParamInfo<Row>& row) {
  constexpr const char* kEvents[] = {"Syn",    "SynAck",     "Rst",    "RstAck",    "AckAncient",
                                     "AckOld", "AckCurrent", "AckNew", "AckBeyond", "Data",
                                     "Fin",    "DataFin",    "NoAck"};
  std::string name;
  for (const char letter : ToString(row.param.state)) {
    if (letter != '-') name += letter;
  }
  return absl::StrCat(name, "_", kEvents[static_cast<size_t>(row.param.event)]);
}

INSTANTIATE_TEST_SUITE_P(SynReceived, StateTableTest, ::testing::ValuesIn(kSynReceived), NameOf);
INSTANTIATE_TEST_SUITE_P(Receiving, StateTableTest, ::testing::ValuesIn(kReceiving), NameOf);
INSTANTIATE_TEST_SUITE_P(Closing, StateTableTest, ::testing::ValuesIn(kClosingStates), NameOf);

}  // namespace
}  // namespace devmem::testing
