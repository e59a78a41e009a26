// SPDX-License-Identifier: Apache-2.0
//
// Conformance: what we send arrives, while we receive as well.

#include <algorithm>

#include "selftests/conformance/fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

class SendTest : public ConformanceTest {};
DEVMEM_CONFORMANCE_SUITE(SendTest);

TEST_P(SendTest, RepliesOfOneByteTo64KibibytesArriveByteForByte) {
  Link link = Open();
  for (const uint32_t bytes : {1u, 100u, 1448u, 4097u, 65'536u}) {
    SendAll(*link.ours, bytes, 0, bytes);
    ExpectPeerReads(link.peer, bytes, 0, bytes);
  }
  const absl::Status flushed = link.ours->Flush(Soon());
  EXPECT_TRUE(flushed.ok()) << flushed;
}

TEST_P(SendTest, AFlushedReplyIsAtThePeersWhole) {
  Link link = Open();
  SendAll(*link.ours, 1, 0, 20'000);
  const absl::Status flushed = link.ours->Flush(Soon());
  ASSERT_TRUE(flushed.ok()) << flushed;
  // Acknowledged: it is in the peer's socket, so that nothing needs to be waited for.
  std::vector<uint8_t> room(20'000);
  EXPECT_EQ(link.peer.Receive(room), 20'000);
  EXPECT_EQ(FindMismatch(1, 0, room), std::nullopt);
}

TEST_P(SendTest, RequestsAndRepliesTakeTurns) {
  Link link = Open();
  const uint64_t rounds = options().Scaled(200);
  for (uint64_t round = 1; round <= rounds; ++round) {
    const std::vector<Frag> request = SendAndTake(link, {.seed = round, .bytes = 64 + round});
    SendAll(*link.ours, 1000 + round, 0, 128);
    ExpectPeerReads(link.peer, 1000 + round, 0, 128);
    Release(*link.ours, request);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST_P(SendTest, BothDirectionsAtOnce) {
  Link link = Open();
  const uint64_t bytes = options().Scaled(2 << 20);
  StreamSender sender(link.peer, {.seed = 1, .bytes = bytes});
  std::vector<uint8_t> ours(bytes);
  FillPattern(2, 0, ours);
  std::vector<uint8_t> room(64 << 10);
  std::array<Frag, 64> frags;
  uint64_t received = 0, sent = 0, echoed = 0;
  const Nanos deadline = Soon();
  while (received < bytes || echoed < bytes) {
    ASSERT_LT(session_->Now(), deadline) << received << " " << sent << " " << echoed;
    const uint64_t before = received + sent + echoed;
    sender.Push();
    if (sent < bytes) sent += link.ours->Send(std::span(ours).subspan(sent), 0).value_or(0);
    const size_t count = received < bytes ? link.ours->Recv(frags, 0).value_or(0) : 0;
    received += Check(std::span(frags).first(count), 1, received);
    Release(*link.ours, std::span(frags).first(count));
    const ssize_t got = link.peer.Receive(room);
    if (got > 0) {
      const auto part = std::span(room).first(static_cast<size_t>(got));
      ASSERT_EQ(FindMismatch(2, echoed, part), std::nullopt) << echoed;
      echoed += part.size();
    }
    ASSERT_FALSE(HasFailure());
    session_->Drive();
    if (received + sent + echoed == before) session_->Wait(session_->Now() + kMillisecond);
  }
}

}  // namespace
}  // namespace devmem::testing
