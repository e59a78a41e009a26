// SPDX-License-Identifier: Apache-2.0
//
// A zcrx queue against a kernel that is played over connected sockets: where bytes land, what goes
// back and how often, credit, and every end that a request can have.

#include "uapi/zcrx_queue.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>
#include <vector>

#include "selftests/testing/zcrx_queue_rig.h"

namespace devmem {
namespace {

TEST_F(ZcrxQueueTest, BytesLandInTheRegionInStreamOrder) {
  Make({});
  const std::vector<uint8_t> sent = Numbered(100'000);
  ASSERT_EQ(Send(sent), sent.size());
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_, sent);
  EXPECT_EQ(stats_.payload_bytes.value(), sent.size());
  EXPECT_EQ(stats_.bounced_bytes.value(), 0u);
}

TEST_F(ZcrxQueueTest, NeighboursThatTouchAreOneFrag) {
  Make({.packed = true});
  ASSERT_EQ(Send(Numbered(40'000)), 40'000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  // The kernel of this test takes chunks in rising order.
  EXPECT_EQ(held_.size(), 1u);
  EXPECT_EQ(landed_, Numbered(40'000));
}

TEST_F(ZcrxQueueTest, AChunkThatSeveralPacketsShareGoesBackOnceForEach) {
  Make({.packet_bytes = 1000, .packed = true});
  ASSERT_EQ(Send(Numbered(4000)), 4000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(record_.user_references, 4u);
  ReleaseAll();
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
}

TEST_F(ZcrxQueueTest, AChunkGoesBackOnlyWhenTheLastFragOfItIsReleased) {
  Make({.packet_bytes = 1000, .packed = true});
  std::array<Frag, 1> first;
  std::array<Frag, 1> second;
  ASSERT_EQ(Send(Numbered(1000)), 1000u);
  ASSERT_EQ(queue_->Receive(socket_, first).outcome, Outcome::kBytes);
  ASSERT_EQ(Send(Numbered(1000)), 1000u);
  ASSERT_EQ(queue_->Receive(socket_, second).outcome, Outcome::kBytes);
  ASSERT_EQ(first[0].offset / kChunkBytes, second[0].offset / kChunkBytes);
  EXPECT_EQ(queue_->account().used, 1u);
  EXPECT_TRUE(queue_->Release(first[0].token));
  queue_->FlushReleases();
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 2u);
  EXPECT_TRUE(queue_->Release(second[0].token));
  queue_->FlushReleases();
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
}

TEST_F(ZcrxQueueTest, ATokenIsGoodForOneReturn) {
  Make({});
  ASSERT_EQ(Send(Numbered(10)), 10u);
  std::array<Frag, 1> frags;
  ASSERT_EQ(queue_->Receive(socket_, frags).outcome, Outcome::kBytes);
  EXPECT_TRUE(queue_->Holds(frags[0].token));
  EXPECT_TRUE(queue_->Release(frags[0].token));
  EXPECT_FALSE(queue_->Release(frags[0].token));
  EXPECT_FALSE(queue_->Release(frags[0].token + 1));
}

TEST_F(ZcrxQueueTest, TheEndOfTheStreamIsNotTheEndOfItsCredit) {
  Make({}, 32, false, 32 * kChunkBytes);
  const std::vector<uint8_t> sent = Numbered(300'000);
  size_t done = 0;
  while (done < sent.size()) {
    done += Send(std::span(sent).subspan(done, std::min<size_t>(50'000, sent.size() - done)));
    EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
    ReleaseAll();
  }
  EXPECT_GT(zcrx_stats_.credits.value(), 0u);
  peer_.Reset();
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEnd);
  EXPECT_EQ(landed_, sent);
}

TEST_F(ZcrxQueueTest, AnEndRightAfterTheCreditIsStillAnEnd) {
  Make({.completions = 1024}, 1024);
  // The first request asks for an eighth of the area: send as much, and close.
  const std::vector<uint8_t> sent = Numbered(1024 * kChunkBytes / 8);
  size_t done = 0;
  while (done < sent.size()) {
    done += Send(std::span(sent).subspan(done));
    if (done == sent.size()) peer_.Reset();
    const Outcome outcome = ReceiveAll().outcome;
    EXPECT_EQ(outcome, done == sent.size() ? Outcome::kEnd : Outcome::kEmpty);
    ReleaseAll();
  }
  EXPECT_EQ(landed_, sent);
  EXPECT_EQ(zcrx_stats_.credits.value(), 1u);
}

TEST_F(ZcrxQueueTest, WhoHoldsTooMuchGetsNoMoreUntilSomethingIsReleased) {
  Make({.packet_bytes = kChunkBytes}, 256, false, 16 * kChunkBytes);
  const std::vector<uint8_t> sent = Numbered(200'000);
  ASSERT_EQ(Send(sent), sent.size());
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kNoRoom);
  EXPECT_LT(landed_.size(), sent.size());
  // A credit that was given before is used up; more than that is not held.
  EXPECT_LE(landed_.size(), 16 * kChunkBytes + (256u * kChunkBytes / 8));
  while (landed_.size() < sent.size()) {
    ReleaseAll();
    ASSERT_NE(ReceiveAll().outcome, Outcome::kBroken);
  }
  EXPECT_EQ(landed_, sent);
}

TEST_F(ZcrxQueueTest, AFullCompletionRingLosesNothing) {
  Make({.completions = 8, .packet_bytes = 100, .packed = true});
  const std::vector<uint8_t> sent = Numbered(20'000);
  ASSERT_EQ(Send(sent), sent.size());
  while (landed_.size() < sent.size()) ASSERT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_, sent);
  EXPECT_GT(zcrx_stats_.overflows.value(), 10u);
}

TEST_F(ZcrxQueueTest, AFullRefillRingIsFlushed) {
  Make({.refill_entries = 4});
  ASSERT_EQ(Send(Numbered(50'000)), 50'000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  ReleaseAll();
  EXPECT_GT(record_.flushes, 0u);
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
}

TEST_F(ZcrxQueueTest, WithoutAFlushWhatWaitsGoesBackAsTheKernelTakesSome) {
  Make({.refill_entries = 4, .can_flush = false}, 16, false, 16 * kChunkBytes);
  const std::vector<uint8_t> sent = Numbered(200'000);
  size_t done = 0;
  while (landed_.size() < sent.size()) {
    done += Send(std::span(sent).subspan(done));
    ASSERT_NE(ReceiveAll().outcome, Outcome::kBroken);
    ReleaseAll();
  }
  EXPECT_EQ(landed_, sent);
  EXPECT_GT(zcrx_stats_.refill_full.value(), 0u);
  // Nothing flushes at the end: four entries wait in the ring for the NIC.
  record_.user_references = 0;
  queue_->Close(absl::UnavailableError("over"));
}

TEST_F(ZcrxQueueTest, ACopyThatFoundNoChunkIsTriedAgainAfterARelease) {
  Make({});
  ASSERT_EQ(Send(Numbered(1448)), 1448u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  ASSERT_EQ(held_.size(), 1u);
  port_->FailNext(ENOMEM);
  ASSERT_EQ(Send(Numbered(1448)), 1448u);
  const SocketQueue::Received none = ReceiveAll();
  EXPECT_EQ(none.outcome, Outcome::kNoRoom);
  EXPECT_NE(none.why.message().find("bytes that it must copy"), absl::string_view::npos);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kNoRoom);
  ReleaseAll();
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_.size(), 2 * 1448u);
}

TEST_F(ZcrxQueueTest, AnEndInGoodOrderDoesNotHideThatBytesAreMissing) {
  Make({});
  constexpr uint64_t kFirstRequest = uint64_t{1} << 32;
  port_->Post(kFirstRequest, 10, IORING_CQE_F_MORE, 256 * kChunkBytes);
  peer_.Reset();
  const SocketQueue::Received broken = ReceiveAll();
  EXPECT_EQ(broken.outcome, Outcome::kBroken);
  EXPECT_NE(broken.why.message().find("which no chunk of it contains"), absl::string_view::npos)
      << broken.why;
}

TEST_F(ZcrxQueueTest, ASocketErrorBreaksTheConnectionAfterItsBytes) {
  Make({});
  ASSERT_EQ(Send(Numbered(10)), 10u);
  queue_->Drive();
  port_->FailNext(ECONNRESET);
  ASSERT_EQ(Send(Numbered(10)), 10u);
  queue_->Drive();
  const SocketQueue::Received broken = ReceiveAll();
  EXPECT_EQ(landed_.size(), 10u);
  EXPECT_EQ(broken.outcome, Outcome::kBroken);
  EXPECT_EQ(broken.error, ECONNRESET);
}

TEST_F(ZcrxQueueTest, AnotherThreadIsToldWhoseRingItIs) {
  Make({});
  port_->RefuseNextEnter(EEXIST);
  std::array<Frag, 1> frags;
  const SocketQueue::Received refused = queue_->Receive(socket_, frags);
  EXPECT_EQ(refused.outcome, Outcome::kBroken);
  EXPECT_EQ(refused.why.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ZcrxQueueTest, ReadCopiesBackAndReturnsWhatItHasRead) {
  Make({.packed = true});
  const std::vector<uint8_t> sent = Numbered(10'000);
  ASSERT_EQ(Send(sent), sent.size());
  std::vector<uint8_t> bytes(5000);
  ASSERT_EQ(queue_->Read(socket_, bytes).bytes, 5000u);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), sent.begin()));
  EXPECT_EQ(queue_->account().used, 2u);  // Of three chunks, the first is done with.
  ASSERT_EQ(queue_->Read(socket_, bytes).bytes, 5000u);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), sent.begin() + 5000));
  EXPECT_EQ(stats_.bytes_read_back.value(), 10'000u);
  EXPECT_EQ(announcements_, 0u);
}

TEST_F(ZcrxQueueTest, AConnectionThatGoesGivesBackWhatNobodyTook) {
  Make({});
  ASSERT_EQ(Send(Numbered(10'000)), 10'000u);
  queue_->Drive();
  EXPECT_GT(record_.user_references, 0u);
  queue_->TakeSocket(UniqueFd(socket_));
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
  EXPECT_EQ(queue_->account().used, 0u);
}

TEST_F(ZcrxQueueTest, FragsOutliveTheirConnection) {
  Make({});
  ASSERT_EQ(Send(Numbered(5000)), 5000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  queue_->TakeSocket(UniqueFd(socket_));
  EXPECT_GT(queue_->account().used, 0u);
  landed_.clear();
  for (const Frag& frag : held_) Look(frag);
  EXPECT_EQ(landed_, Numbered(5000));
}

TEST_F(ZcrxQueueTest, ACompletionOfAConnectionThatHasGoneIsNobodys) {
  Make({});
  const int gone = socket_;
  ASSERT_EQ(queue_->Drive(), 0u);
  queue_->TakeSocket(UniqueFd(gone));
  port_->Post(uint64_t{1} << 32, 100, IORING_CQE_F_MORE, 0);
  port_->Post(~uint64_t{1}, 100, IORING_CQE_F_MORE, 0);
  queue_->Drive();
  EXPECT_EQ(queue_->account().used, 0u);
  std::tie(peer_, socket_) = Connect();
  ASSERT_EQ(Send(Numbered(100)), 100u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_, Numbered(100));
}

TEST_F(ZcrxQueueTest, EventsAreCountedAndArmedAgainAndCopiesAreBounced) {
  Make({});
  port_->Post(ZcrxPort::kEventUserData, abi::ZCRX_EVENT_ALLOC_FAIL, 0, 0);
  port_->CountCopies(2, 3000);
  queue_->Drive();
  EXPECT_EQ(zcrx_stats_.alloc_fail_events.value(), 1u);
  EXPECT_EQ(port_->events_armed(), std::vector<uint32_t>{abi::ZCRX_EVENT_ALLOC_FAIL});
  EXPECT_EQ(zcrx_stats_.copies.value(), 2u);
  EXPECT_EQ(stats_.bounced_bytes.value(), 3000u);
  port_->CountCopies(3, 4000);
  queue_->Drive();
  EXPECT_EQ(stats_.bounced_bytes.value(), 4000u);
}

TEST_F(ZcrxQueueTest, AQueueThatStopsPostingAsksForNothingMore) {
  Make({});
  queue_->StopPosting();
  EXPECT_FALSE(queue_->posting());
  ASSERT_EQ(Send(Numbered(100)), 100u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kNoRoom);
  EXPECT_TRUE(landed_.empty());
}

TEST_F(ZcrxQueueTest, AClosedQueueHasTakenAllTokensBackAndReceivesNothing) {
  Make({});
  ASSERT_EQ(Send(Numbered(100)), 100u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  queue_->Close(absl::UnavailableError("unbound by the test"));
  const SocketQueue::Received closed = ReceiveAll();
  EXPECT_EQ(closed.outcome, Outcome::kClosed);
  EXPECT_EQ(closed.why.message(), "unbound by the test");
  EXPECT_TRUE(queue_->account().idle());
  EXPECT_FALSE(queue_->Release(held_[0].token));
  EXPECT_FALSE(queue_->AddSocket(socket_));
}

}  // namespace
}  // namespace devmem
