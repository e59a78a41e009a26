// SPDX-License-Identifier: Apache-2.0
//
// Conformance: the process that owns the session is killed, at whatever moment; the queue is as
// before, and the next session binds it and receives.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

// How far the owner has come when it is killed.
enum class Moment : char { kListening = 'l', kHolding = 'h' };

class CrashTest : public ConformanceTest {
 protected:
  void SetUp() override {
    if (!EnterWorld()) GTEST_SKIP() << world_->why_not();
    MakePipe();
  }
  void MakePipe() {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    told_ = UniqueFd(ends[0]);
    tell_ = UniqueFd(ends[1]);
  }

  // A process that opens a session, says when it listens on `port`, holds the first frags of the
  // first connection, says so, and goes on receiving without ever releasing.
  pid_t StartOwner(uint16_t port) {
    const pid_t owner = ::fork();
    if (owner == 0) {
      RunOwner(port);
      ::_exit(1);
    }
    tell_.Reset();
    return owner;
  }
  void WaitFor(Moment moment) {
    char said = 0;
    pollfd polled{told_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&polled, 1, kPatience / kMillisecond), 1);
    ASSERT_EQ(::read(told_.get(), &said, 1), 1) << "the owner ended";
    ASSERT_EQ(said, static_cast<char>(moment));
  }
  static void Kill(pid_t owner) {
    ASSERT_EQ(::kill(owner, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(owner, &status, 0), owner);
    EXPECT_TRUE(WIFSIGNALED(status)) << "it ended before it was killed";
  }

  // A session of our own on the same queue. What the kernel takes down after a process may take a
  // moment longer than the process.
  void OpenAfterwards() {
    OpenSession();
    ASSERT_FALSE(HasFatalFailure());
    region_ = NewRegion();
    ASSERT_TRUE(AwaitThat([&] {
      const auto binding = session_->Bind(*region_, {.queues = {options().queues[0]}});
      if (binding.ok()) binding_ = *binding;
      return binding.ok();
    }));
    Link link = Open();
    Transfer(link, {.seed = 2, .bytes = 1 << 20});
    link.peer.Close();
    ExpectEnd(*link.ours);
  }

 private:
  void Tell(Moment moment) {
    const char letter = static_cast<char>(moment);
    (void)!::write(tell_.get(), &letter, 1);
  }
  // In the owner's process: what fails there ends it, and its parent sees that.
  void RunOwner(uint16_t port) {
    auto session = Session::Open(world_->session_options());
    if (!session.ok()) return;
    const auto region =
        (*session)->Allocate({.provider = options().provider, .bytes = options().region_bytes});
    if (!region.ok()) return;
    const auto binding = (*session)->Bind(**region, {.queues = {options().queues[0]}});
    if (!binding.ok()) return;
    const auto listener = (*session)->Listen({.address = world_->ours(), .port = port}, *binding);
    if (!listener.ok()) return;
    Tell(Moment::kListening);
    const auto connection = (*listener)->Accept(kNever);
    if (!connection.ok()) return;
    std::array<Frag, 16> frags;
    if (!(*connection)->Recv(frags, kNever).ok()) return;
    Tell(Moment::kHolding);
    while ((*connection)->Recv(frags, (*session)->Now() + kSecond).ok()) {
    }
    ::pause();
  }

  UniqueFd told_;
  UniqueFd tell_;
};
DEVMEM_CONFORMANCE_SUITE(CrashTest);

TEST_P(CrashTest, AnOwnerKilledWhileItListensLeavesTheQueueToTheNext) {
  const pid_t owner = StartOwner(NextPort());
  WaitFor(Moment::kListening);
  Kill(owner);
  OpenAfterwards();
}

TEST_P(CrashTest, AnOwnerKilledInMidTransferWithFragsHeldLeavesTheQueueToTheNext) {
  const uint16_t port = NextPort();
  const pid_t owner = StartOwner(port);
  WaitFor(Moment::kListening);
  Peer peer = world_->Connect(port);
  pollfd polled{peer.fd(), POLLOUT, 0};
  ASSERT_EQ(::poll(&polled, 1, kPatience / kMillisecond), 1);
  StreamSender sender(peer, {.seed = 1, .bytes = 4 << 20});
  sender.Push();
  WaitFor(Moment::kHolding);
  sender.Push();
  Kill(owner);
  if (Expects(expectations().peer_hears_of_crash)) {
    polled = {peer.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&polled, 1, kPatience / kMillisecond), 1);
    std::array<uint8_t, 1> room;
    const ssize_t got = peer.Receive(room);
    EXPECT_TRUE(got == 0 || got == -ECONNRESET) << std::strerror(static_cast<int>(-got));
  }
  OpenAfterwards();
}

TEST_P(CrashTest, OwnersKilledOneAfterAnotherLeaveNothing) {
  for (int round = 0; round < 3; ++round) {
    MakePipe();
    const pid_t owner = StartOwner(NextPort());
    WaitFor(Moment::kListening);
    Kill(owner);
    ASSERT_FALSE(HasFatalFailure()) << "round " << round;
  }
  OpenAfterwards();
}

}  // namespace
}  // namespace devmem::testing
