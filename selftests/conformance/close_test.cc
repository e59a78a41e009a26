// SPDX-License-Identifier: Apache-2.0
//
// Conformance: connections end in order, or with a reset, from either side, with and without bytes
// on the way.

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class CloseTest : public ConformanceTest {};
DEVMEM_CONFORMANCE_SUITE(CloseTest);

TEST_P(CloseTest, AStreamWithoutAByteEndsAtOnce) {
  Link link = Open();
  link.peer.Close();
  ExpectEnd(*link.ours);
}

TEST_P(CloseTest, TheEndComesAfterTheLastByteWhenThePeerCloses) {
  Link link = Open();
  PeerSends(link.peer, {.seed = 1, .bytes = 100'000});
  link.peer.Close();
  const std::vector<Frag> frags = Take(*link.ours, 1, 0, 100'000);
  ExpectEnd(*link.ours);
  Release(*link.ours, frags);
}

TEST_P(CloseTest, AFinThatCarriesDataEndsTheStreamBehindIt) {
  Link link = Open();
  link.peer.Cork(true);
  PeerSends(link.peer, {.seed = 1, .bytes = 100});
  link.peer.ShutDownSending();
  const std::vector<Frag> frags = Take(*link.ours, 1, 0, 100);
  ExpectEnd(*link.ours);
  Release(*link.ours, frags);
}

TEST_P(CloseTest, APeerThatHasSentItsLastByteStillGetsOurs) {
  Link link = Open();
  PeerSends(link.peer, {.seed = 1, .bytes = 5000});
  link.peer.ShutDownSending();
  Release(*link.ours, Take(*link.ours, 1, 0, 5000));
  ExpectEnd(*link.ours);
  SendAll(*link.ours, 2, 0, 100'000);
  EXPECT_TRUE(link.ours->Shutdown().ok());
  ExpectPeerReads(link.peer, 2, 0, 100'000);
  ExpectPeerReadsEnd(link.peer);
  const absl::Status flushed = link.ours->Flush(Soon());
  EXPECT_TRUE(flushed.ok()) << flushed;
}

TEST_P(CloseTest, AfterOurLastByteWeStillGetThePeers) {
  Link link = Open();
  SendAll(*link.ours, 1, 0, 1000);
  EXPECT_TRUE(link.ours->Shutdown().ok());
  const absl::Status flushed = link.ours->Flush(Soon());
  EXPECT_TRUE(flushed.ok()) << flushed;
  const std::array<uint8_t, 1> more = {1};
  EXPECT_TRUE(absl::IsFailedPrecondition(link.ours->Send(more, Soon()).status()));
  ExpectPeerReads(link.peer, 1, 0, 1000);
  ExpectPeerReadsEnd(link.peer);
  Transfer(link, {.seed = 2, .bytes = 1 << 20});
  link.peer.Close();
  ExpectEnd(*link.ours);
}

TEST_P(CloseTest, AConnectionThatIsDroppedWithEverythingReadEndsInOrder) {
  Link link = Open();
  Transfer(link, {.seed = 1, .bytes = 10'000});
  link.ours.reset();
  ExpectPeerReadsEnd(link.peer);
}

TEST_P(CloseTest, AConnectionThatIsDroppedWithBytesUnreadIsReset) {
  Link link = Open();
  PeerSends(link.peer, {.seed = 1, .bytes = 10'000});
  ASSERT_TRUE(AwaitThat([&] { return link.peer.UnacknowledgedBytes() == 0; }));
  link.ours.reset();
  ExpectPeerReset(link.peer);
}

TEST_P(CloseTest, BothSidesCloseAtOnce) {
  Link link = Open();
  EXPECT_TRUE(link.ours->Shutdown().ok());
  link.peer.ShutDownSending();
  ExpectEnd(*link.ours);
  ExpectPeerReadsEnd(link.peer);
  const absl::Status flushed = link.ours->Flush(Soon());
  EXPECT_TRUE(flushed.ok()) << flushed;
}

TEST_P(CloseTest, AnAbortResetsThePeer) {
  Link link = Open();
  link.ours->Abort();
  ExpectBroken(*link.ours);
  ExpectPeerReset(link.peer);
}

TEST_P(CloseTest, AnAbortDropsWhatWasNotReceived) {
  Link link = Open();
  PeerSends(link.peer, {.seed = 1, .bytes = 100'000});
  std::array<Frag, 1> first;
  ASSERT_EQ(link.ours->Recv(first, Soon()).value_or(0), 1u);
  link.ours->Abort();
  ExpectBroken(*link.ours);
  ExpectPeerReset(link.peer);
  EXPECT_GT(Check(first, 1, 0), 0u) << "what was received before is kept";
  Release(*link.ours, first);
}

TEST_P(CloseTest, AResetOfThePeersBreaksTheConnectionAfterItsBytes) {
  Link link = Open();
  const std::vector<Frag> frags = SendAndTake(link, {.seed = 1, .bytes = 1000});
  link.peer.Reset();
  ExpectBroken(*link.ours);
  const std::array<uint8_t, 1> byte = {1};
  EXPECT_TRUE(absl::IsUnavailable(link.ours->Send(byte, Soon()).status()));
  Release(*link.ours, frags);
}

TEST_P(CloseTest, BytesThatArrivedBeforeAResetAreHandedOut) {
  Link link = Open();
  // Until the peer knows that everything is there.
  PeerSends(link.peer, {.seed = 1, .bytes = 1000});
  ASSERT_TRUE(AwaitThat([&] { return link.peer.UnacknowledgedBytes() == 0; }));
  link.peer.Reset();
  const std::vector<Frag> frags = Take(*link.ours, 1, 0, 1000);
  ExpectBroken(*link.ours);
  Release(*link.ours, frags);
}

TEST_P(CloseTest, ASenderLearnsOfAResetToo) {
  Link link = Open();
  link.peer.Reset();
  std::vector<uint8_t> bytes(64 << 10);
  absl::StatusOr<size_t> sent = link.ours->Send(bytes, Soon());
  while (sent.ok()) sent = link.ours->Send(bytes, Soon());
  EXPECT_TRUE(absl::IsUnavailable(sent.status())) << sent.status();
}

}  // namespace
}  // namespace devmem::testing
