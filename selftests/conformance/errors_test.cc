// SPDX-License-Identifier: Apache-2.0
//
// Conformance: wrong calls and passed deadlines are refused the same way everywhere, and change
// nothing.

#include <poll.h>

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class ErrorsTest : public ConformanceTest {
 protected:
  absl::Status ListenRefusal(const ListenOptions& listen, std::optional<BindingId> binding) {
    return session_->Listen(listen, binding).status();
  }
};
DEVMEM_CONFORMANCE_SUITE(ErrorsTest);

TEST_P(ErrorsTest, ADeadlineOfZeroAsksWithoutWaiting) {
  const std::unique_ptr<Listener> listener = Listen();
  EXPECT_TRUE(absl::IsDeadlineExceeded(listener->Accept(0).status()));
  Link link = Open(*listener);
  std::array<Frag, 4> frags;
  std::array<uint8_t, 4> room;
  EXPECT_TRUE(absl::IsDeadlineExceeded(link.ours->Recv(frags, 0).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(link.ours->Read(room, 0).status()));
  EXPECT_TRUE(link.ours->Flush(0).ok());
  Transfer(link, {.seed = 1, .bytes = 1000});
}

TEST_P(ErrorsTest, ADeadlineThatPassesHasBeenWaitedFor) {
  Link link = Open();
  std::array<Frag, 4> frags;
  const Nanos deadline = session_->Now() + 5 * kMillisecond;
  EXPECT_TRUE(absl::IsDeadlineExceeded(link.ours->Recv(frags, deadline).status()));
  EXPECT_GE(session_->Now(), deadline);
}

TEST_P(ErrorsTest, RoomForNothingIsRefused) {
  Link link = Open();
  EXPECT_TRUE(absl::IsInvalidArgument(link.ours->Recv({}, 0).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(link.ours->Read({}, 0).status()));
}

TEST_P(ErrorsTest, ReleasingNothingIsFine) {
  Link link = Open();
  EXPECT_TRUE(link.ours->Release({}).ok());
}

TEST_P(ErrorsTest, ASendThatFindsNoRoomSaysSoAndGoesOnLater) {
  Link link = Open();
  std::vector<uint8_t> bytes(256 << 10);
  absl::StatusOr<size_t> sent = link.ours->Send(bytes, 0);
  uint64_t queued = 0;
  // The peer does not read: its buffer and ours fill up.
  while (sent.ok()) {
    queued += *sent;
    sent = link.ours->Send(bytes, session_->Now() + kQuiet);
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(sent.status())) << sent.status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(link.ours->Flush(0)));
  std::vector<uint8_t> room(64 << 10);
  for (uint64_t got_bytes = 0; got_bytes < queued;) {
    ASSERT_TRUE(Await(link.peer, POLLIN));
    const ssize_t got = link.peer.Receive(room);
    ASSERT_GT(got, 0);
    got_bytes += static_cast<uint64_t>(got);
  }
  const absl::Status flushed = link.ours->Flush(Soon());
  EXPECT_TRUE(flushed.ok()) << flushed;
}

TEST_P(ErrorsTest, ListeningWhereNobodyCanIsRefused) {
  const uint16_t port = NextPort();
  const std::string foreign = GetParam() == Family::kIpv6 ? "2001:db8:77::77" : "198.51.100.77";
  EXPECT_TRUE(
      absl::IsInvalidArgument(ListenRefusal({.address = "nowhere", .port = port}, *binding_)));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(ListenRefusal({.address = foreign, .port = port}, *binding_)));
  EXPECT_TRUE(
      absl::IsNotFound(ListenRefusal({.address = world_->ours(), .port = port}, *binding_ + 1000)));
  EXPECT_TRUE(absl::IsOutOfRange(
      ListenRefusal({.address = world_->ours(), .port = port, .queue = 63}, *binding_)));
}

TEST_P(ErrorsTest, APortInUseIsRefusedAndFreeAfterwards) {
  std::unique_ptr<Listener> listener = Listen();
  const ListenOptions same = {.address = world_->ours(), .port = listener->port()};
  EXPECT_TRUE(absl::IsAlreadyExists(ListenRefusal(same, *binding_)));
  listener.reset();
  EXPECT_TRUE(ListenRefusal(same, *binding_).ok());
}

TEST_P(ErrorsTest, ConnectingWhereNobodyCanIsRefused) {
  const auto refusal = [&](const ConnectOptions& connect, BindingId binding) {
    return session_->Connect(connect, binding, Soon()).status();
  };
  const uint16_t port = NextPort();
  EXPECT_TRUE(absl::IsInvalidArgument(refusal({.address = "nowhere", .port = port}, *binding_)));
  EXPECT_TRUE(
      absl::IsNotFound(refusal({.address = world_->peers(), .port = port}, *binding_ + 1000)));
  EXPECT_TRUE(absl::IsOutOfRange(
      refusal({.address = world_->peers(), .port = port, .queue = 63}, *binding_)));
}

TEST_P(ErrorsTest, BindingWhatCannotBeIsRefusedAndTheQueueStaysFree) {
  ASSERT_TRUE(session_->Unbind(*binding_).ok());
  const uint32_t queue = options().queues[0];
  const auto refusal = [&](const BindOptions& bind) {
    return session_->Bind(*region_, bind).status();
  };
  EXPECT_TRUE(absl::IsInvalidArgument(refusal({.queues = {}})));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal({.queues = {queue, queue}})));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal({.queues = {queue}, .offset = 100})));
  EXPECT_TRUE(absl::IsOutOfRange(refusal({.queues = {9999}})));
  EXPECT_TRUE(
      absl::IsOutOfRange(refusal({.queues = {queue}, .bytes = 2 * options().region_bytes})));
  binding_ = Bind(*region_, queue);
  Link link = Open();
  Transfer(link, {.seed = 1, .bytes = 1000});
}

TEST_P(ErrorsTest, ABindingThatNeverWasIsNotFound) {
  const BindingId never = *binding_ + 1000;
  EXPECT_TRUE(absl::IsNotFound(session_->Unbind(never)));
  EXPECT_TRUE(absl::IsNotFound(session_->BindingStatus(never)));
  EXPECT_TRUE(absl::IsNotFound(session_->account(never).status()));
}

TEST_P(ErrorsTest, AProviderThatIsNoneIsRefusedWithTheListOfThem) {
  const auto region = session_->Allocate({.provider = "no such memory", .bytes = 1 << 20});
  EXPECT_TRUE(absl::IsNotFound(region.status())) << region.status();
  EXPECT_NE(region.status().message().find("memfd"), absl::string_view::npos);
}

}  // namespace
}  // namespace devmem::testing
