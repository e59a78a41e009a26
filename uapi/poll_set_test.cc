// SPDX-License-Identifier: Apache-2.0
//
// The session's descriptor: readable when there is something to do, and not otherwise. The last
// test drives a whole inline session from poll(2), with the kernel as its peer.

#include "uapi/poll_set.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "selftests/testing/tap_session.h"

namespace devmem::testing {
namespace {

bool Readable(int fd, int patience_ms = 0) {
  pollfd waiter{fd, POLLIN, 0};
  return ::poll(&waiter, 1, patience_ms) == 1;
}

TEST(PollSetTest, HasNoDescriptorWhenNoQueueHasOne) {
  PollSet set;
  const std::array<int, 2> none = {-1, -1};
  ASSERT_TRUE(set.Create(none).ok());
  EXPECT_EQ(set.fd(), -1);
  set.SetDeadline(0);
}

TEST(PollSetTest, IsReadableWhileOneOfItsDescriptorsIs) {
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  PollSet set;
  const std::array<int, 2> fds = {-1, event.get()};
  ASSERT_TRUE(set.Create(fds).ok());
  EXPECT_FALSE(Readable(set.fd()));
  uint64_t count = 1;
  ASSERT_EQ(::write(event.get(), &count, sizeof(count)), 8);
  EXPECT_TRUE(Readable(set.fd()));
  ASSERT_EQ(::read(event.get(), &count, sizeof(count)), 8);
  EXPECT_FALSE(Readable(set.fd()));
}

TEST(PollSetTest, IsReadableFromItsDeadlineOn) {
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  PollSet set;
  const std::array<int, 1> fds = {event.get()};
  ASSERT_TRUE(set.Create(fds).ok());
  set.SetDeadline(0);  // Always passed.
  EXPECT_TRUE(Readable(set.fd(), kPatienceMilliseconds));
  set.SetDeadline(kNever);
  EXPECT_FALSE(Readable(set.fd()));
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  set.SetDeadline(now.tv_sec * kSecond + now.tv_nsec + 3600 * kSecond);
  EXPECT_FALSE(Readable(set.fd()));
  set.SetDeadline(now.tv_sec * kSecond + now.tv_nsec);
  EXPECT_TRUE(Readable(set.fd(), kPatienceMilliseconds));
}

TEST(NewsFlagTest, IsReadableFromRaiseToLowerHoweverOftenRaised) {
  NewsFlag flag;
  ASSERT_TRUE(flag.Create().ok());
  EXPECT_FALSE(Readable(flag.fd()));
  for (int round = 0; round < 3; ++round) {
    flag.Raise();
    flag.Raise();
    EXPECT_TRUE(Readable(flag.fd()));
    flag.Lower();
    EXPECT_FALSE(Readable(flag.fd()));
  }
}

class PollSetSessionTest : public TapSessionTest {
 protected:
  Threading threading() const override { return Threading::kInline; }
};

TEST_F(PollSetSessionTest, AnInlineSessionRunsFromPollAlone) {
  static constexpr uint64_t kBytes = 4 << 20;
  std::unique_ptr<Listener> listener = Listen(5201, binding_);
  std::thread sender([] {
    KernelPeer peer = KernelPeer::Connect(kOurs, 5201);
    EXPECT_EQ(peer.SendPattern(8, kBytes), kBytes);
    peer.ShutDownSending();
    EXPECT_TRUE(peer.Read(1).empty());
  });
  std::unique_ptr<Connection> connection;
  std::array<Frag, 16> frags;
  uint64_t offset = 0;
  bool over = false;
  const auto wait = [&] {
    session_->Drive();
    return Readable(session_->fd(), kPatienceMilliseconds);
  };
  while (!over && wait()) {
    if (connection == nullptr) {
      absl::StatusOr<std::unique_ptr<Connection>> accepted = listener->Accept(0);
      if (accepted.ok()) connection = *std::move(accepted);
      continue;
    }
    absl::StatusOr<size_t> count = connection->Recv(frags, 0);
    while (count.ok() && *count != 0) {
      for (const Frag& frag : std::span(frags).first(*count)) {
        EXPECT_EQ(FindMismatch(8, offset, Bytes(frag)), std::nullopt);
        offset += frag.length_bytes;
      }
      EXPECT_TRUE(connection->Release(std::span(frags).first(*count)).ok());
      count = connection->Recv(frags, 0);
    }
    over = count.ok();
  }
  EXPECT_TRUE(over) << "stuck at byte " << offset;
  EXPECT_EQ(offset, kBytes);
  // The close, and nothing to do afterwards but wait for a timer.
  EXPECT_TRUE(connection->Shutdown().ok());
  EXPECT_TRUE(connection->Flush(Soon()).ok());
  connection.reset();
  sender.join();
  listener.reset();
  while (session_->Drive() != 0) continue;
  EXPECT_FALSE(Readable(session_->fd()));
}

}  // namespace
}  // namespace devmem::testing
