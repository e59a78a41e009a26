// SPDX-License-Identifier: Apache-2.0
// Every kind of segment in CLOSED, LISTEN and SYN-SENT, against a table written from RFC 9293
// sections 3.10.7.1 to 3.10.7.3 and RFC 5961 section 3.2. There is no window yet; what matters is
// the acknowledgment number.

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

constexpr uint8_t kS = kTcpSyn, kA = kTcpAck, kR = kTcpRst, kF = kTcpFin, kP = kTcpPsh;

//   .  nothing           r  RST whose number is SEG.ACK
//   R  RST|ACK, number 0, that acknowledges the segment whole
//   s  SYN-ACK           a  ACK: established          x  closed
struct Row {
  uint8_t flags;
  uint32_t bytes;
  const char* closed;  // Without and with an ACK number, whatever that is.
  const char* listen;
  // By SEG.ACK: ISS - 1, ISS, ISS + 1, ISS + 2; one letter for segments without ACK.
  const char* syn_sent;
};

constexpr Row kRows[] = {
    {0, 0, "R", ".", "."},
    {kP, 10, "R", ".", "."},
    {kF, 0, "R", ".", "."},
    {kF, 10, "R", ".", "."},
    {kR, 0, ".", ".", "."},
    {kR | kS, 0, ".", ".", "."},
    {kS, 0, "R", "s", "s"},
    {kS, 10, "R", "s", "s"},
    // As Linux: who ends what it begins is not listened to.
    {kS | kF, 0, "R", ".", "s"},
    {kA, 0, "r", "r", "rr.r"},
    {kA, 10, "r", "r", "rr.r"},
    {kA | kF, 0, "r", "r", "rr.r"},
    {kA | kF, 10, "r", "r", "rr.r"},
    {kR | kA, 0, ".", ".", "..x."},
    {kS | kA, 0, "r", "r", "rrar"},
    {kS | kA, 10, "r", "r", "rrar"},
    {kS | kA | kR, 0, ".", ".", "..x."},
};

class OpenStateTableTest : public EngineFixture, public ::testing::WithParamInterface<Row> {
 protected:
  FromPeer SegmentWith(SeqNum ack) {
    const Row& row = GetParam();
    FromPeer segment{.seq = kPeerIss, .flags = row.flags, .bytes = row.bytes};
    if ((row.flags & kTcpAck) != 0) segment.ack = ack;
    if ((row.flags & kTcpSyn) != 0) segment.options = peer_syn_;
    return segment;
  }

  void Expect(char code, SeqNum ack) {
    const Row& row = GetParam();
    SCOPED_TRACE(absl::StrCat("flags ", absl::Hex(row.flags), ", ", row.bytes, " bytes, expect ",
                              std::string(1, code)));
    const uint32_t length =
        row.bytes + ((row.flags & kTcpSyn) != 0 ? 1u : 0u) + ((row.flags & kTcpFin) != 0 ? 1u : 0u);
    switch (code) {
      case '.':
      case 'x': ExpectNothing(); break;
      case 'r': ExpectOnly(All({HasFlags(kTcpRst), HasSeq(ack), HasPayload(0)})); break;
      case 'R':
        ExpectOnly(
            All({HasFlags(kTcpRst | kTcpAck), HasSeq(SeqNum(0)), HasAck(kPeerIss + length)}));
        break;
      // Only the SYN itself is acknowledged: its data comes again.
      case 's': ExpectOnly(IsSynAck(kPeerIss + 1)); break;
      case 'a': ExpectOnly(IsAck(kPeerIss + 1)); break;
      default: FAIL() << "no such code";
    }
    EXPECT_EQ(h().CheckAccount(false), "");
  }
};

TEST_P(OpenStateTableTest, InClosedOnlyAResetAnswersAndNeverAReset) {
  (void)engine().CloseListener(listener_, h().now);
  for (const SeqNum ack : {SeqNum(0), kOurIss, SeqNum(0x80000000)}) {
    Send(SegmentWith(ack));
    Expect(GetParam().closed[0], ack);
    EXPECT_EQ(engine().connection_count(), 0u);
  }
}

TEST_P(OpenStateTableTest, InListenOnlyASynOpensAConnection) {
  Send(SegmentWith(kOurIss + 1));
  Expect(GetParam().listen[0], kOurIss + 1);
  EXPECT_EQ(engine().connection_count(), GetParam().listen[0] == 's' ? 1u : 0u);
}

TEST_P(OpenStateTableTest, InSynSentTheAckMustBeOfOurSyn) {
  const char* codes = GetParam().syn_sent;
  for (uint32_t i = 0; codes[i] != 0; ++i) {
    Make({});
    SynSent();
    TakeSeen();
    const SeqNum ack = c().sender.iss() - 1u + i;
    Send(SegmentWith(ack));
    Expect(codes[i], ack);
    switch (codes[i]) {
      case 's': EXPECT_EQ(state(), TcpState::kSynReceived); break;
      case 'a': EXPECT_EQ(state(), TcpState::kEstablished); break;
      case 'x': EXPECT_EQ(state(), TcpState::kClosed); break;
      default: EXPECT_EQ(state(), TcpState::kSynSent);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Segments, OpenStateTableTest, ::testing::ValuesIn(kRows),
                         [](const auto& row) {
                           return absl::StrCat("Flags", absl::Hex(row.param.flags), "Bytes",
                                               row.param.bytes);
                         });

}  // namespace
}  // namespace devmem::testing
