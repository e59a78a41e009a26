// SPDX-License-Identifier: Apache-2.0
// What poll() and epoll say in each state of a socket.
#include <errno.h>
#include <gtest/gtest.h>

#include <array>

#include "tools/packetdrill/plugin_driver.h"

namespace devmem::packetdrill {
namespace {

class PlugInPollTest : public ::testing::Test {
 protected:
  static constexpr short kAll = POLLIN | POLLOUT | POLLRDHUP;

  packetdrill_interface& calls() { return driver_.calls(); }
  void* self() { return driver_.self(); }
  int Poll(int fd, int timeout_ms = 0) {
    pollfd entry = {fd, kAll, 0};
    const int count = calls().poll(self(), &entry, 1, timeout_ms);
    EXPECT_EQ(count, entry.revents != 0 ? 1 : 0);
    return entry.revents;
  }
  // The events of the one socket that an epoll watches; 0: none is reported.
  uint32_t Wait(int epoll) {
    epoll_event event = {};
    return calls().epoll_wait(self(), epoll, &event, 1, 0) == 1 ? event.events : 0;
  }
  int Watch(int fd, uint32_t events) {
    const int epoll = calls().epoll_create(self(), 1);
    epoll_event event = {};
    event.events = events;
    event.data.fd = fd;
    EXPECT_EQ(calls().epoll_ctl(self(), epoll, EPOLL_CTL_ADD, fd, &event), 0);
    return epoll;
  }

  PlugInDriver driver_;
};

TEST_F(PlugInPollTest, SaysWhatLinuxSaysInEachState) {
  EXPECT_EQ(Poll(driver_.Socket()), POLLOUT | POLLHUP);
  EXPECT_EQ(Poll(999), POLLNVAL);
  const int fd = driver_.Accepted();
  EXPECT_EQ(Poll(fd), POLLOUT);
  driver_.Put({.seq = 1, .ack = 1, .bytes = 10});
  EXPECT_EQ(Poll(fd), POLLIN | POLLOUT);
  driver_.Put({.flags = kTcpFin | kTcpAck, .seq = 11, .ack = 1});
  EXPECT_EQ(Poll(fd), POLLIN | POLLOUT | POLLRDHUP);
  EXPECT_EQ(calls().shutdown(self(), fd, SHUT_WR), 0);
  EXPECT_EQ(Poll(fd), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

TEST_F(PlugInPollTest, AResetIsAnErrorAndAHangUp) {
  const int fd = driver_.Accepted();
  driver_.Put({.flags = kTcpRst, .seq = 1});
  EXPECT_EQ(Poll(fd), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
}

TEST_F(PlugInPollTest, AListenerIsReadableWhileAConnectionWaits) {
  const int listener = driver_.Listener();
  EXPECT_EQ(Poll(listener), 0);
  driver_.Put({.flags = kTcpSyn, .options = {.mss = 1000}});
  EXPECT_EQ(driver_.Take().Text(), "S. 0:0(0) ack 1");
  EXPECT_EQ(Poll(listener), 0);
  driver_.Put({.seq = 1, .ack = 1});
  EXPECT_EQ(Poll(listener), POLLIN);
  EXPECT_GE(calls().accept(self(), listener, nullptr, nullptr), 0);
  EXPECT_EQ(Poll(listener), 0);
}

TEST_F(PlugInPollTest, ATimeoutTakesItsTime) {
  const int listener = driver_.Listener();
  EXPECT_EQ(Poll(listener, 1500), 0);
  EXPECT_NEAR(driver_.Now(), 1.5, 0.001);
}

TEST_F(PlugInPollTest, LevelTriggeredEventsStayAndEdgeTriggeredOnesDoNot) {
  const int fd = driver_.Accepted();
  const int level = Watch(fd, EPOLLIN);
  const int edge = Watch(fd, EPOLLIN | EPOLLET);
  EXPECT_EQ(Wait(level), 0u);
  driver_.Put({.seq = 1, .ack = 1, .bytes = 10});
  EXPECT_EQ(Wait(level), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(Wait(level), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(Wait(edge), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(Wait(edge), 0u);
  driver_.Put({.seq = 11, .ack = 1, .bytes = 10});
  EXPECT_EQ(Wait(edge), static_cast<uint32_t>(EPOLLIN));
}

TEST_F(PlugInPollTest, AOneShotEntryFiresOnceUntilItIsArmedAgain) {
  const int fd = driver_.Accepted();
  const int epoll = Watch(fd, EPOLLOUT | EPOLLONESHOT);
  EXPECT_EQ(Wait(epoll), static_cast<uint32_t>(EPOLLOUT));
  EXPECT_EQ(Wait(epoll), 0u);
  epoll_event event = {};
  event.events = EPOLLOUT | EPOLLONESHOT;
  EXPECT_EQ(calls().epoll_ctl(self(), epoll, EPOLL_CTL_MOD, fd, &event), 0);
  EXPECT_EQ(Wait(epoll), static_cast<uint32_t>(EPOLLOUT));
}

TEST_F(PlugInPollTest, RoomIsToldToWhoFoundNone) {
  const int fd = driver_.Accepted({.mss = 1000, .window_scale = 7, .sack_permitted = true});
  const int epoll = Watch(fd, EPOLLOUT | EPOLLET);
  EXPECT_EQ(Wait(epoll), static_cast<uint32_t>(EPOLLOUT));
  const std::vector<char> data(4 << 20);
  const ssize_t taken = calls().send(self(), fd, data.data(), data.size(), MSG_DONTWAIT);
  ASSERT_GT(taken, 10000);
  EXPECT_EQ(Wait(epoll), 0u);
  for (uint32_t acked = 1; acked <= static_cast<uint32_t>(taken);) {
    const FromHost packet = driver_.Take();
    ASSERT_FALSE(packet.payload.empty());
    acked = packet.seq + static_cast<uint32_t>(packet.payload.size());
    driver_.Put({.seq = 1, .ack = acked, .window = 257});
  }
  EXPECT_EQ(Wait(epoll), static_cast<uint32_t>(EPOLLOUT));
}

TEST_F(PlugInPollTest, WrongRequestsOfEpollAreRefused) {
  const int fd = driver_.Accepted();
  const int epoll = Watch(fd, EPOLLIN);
  epoll_event event = {};
  const auto fails = [](int result, int error) {
    EXPECT_EQ(result, -1);
    EXPECT_EQ(errno, error);
  };
  fails(calls().epoll_ctl(self(), epoll, EPOLL_CTL_ADD, fd, &event), EEXIST);
  fails(calls().epoll_ctl(self(), epoll, EPOLL_CTL_ADD, 999, &event), EBADF);
  fails(calls().epoll_ctl(self(), fd, EPOLL_CTL_ADD, fd, &event), EINVAL);
  fails(calls().epoll_wait(self(), epoll, &event, 0, 0), EINVAL);
  EXPECT_EQ(calls().epoll_ctl(self(), epoll, EPOLL_CTL_DEL, fd, &event), 0);
  fails(calls().epoll_ctl(self(), epoll, EPOLL_CTL_DEL, fd, &event), ENOENT);
}

TEST_F(PlugInPollTest, ReceivedBytesMaySpliceIntoAPipe) {
  const int fd = driver_.Accepted();
  std::array<int, 2> ends = {};
  EXPECT_EQ(calls().pipe(self(), ends.data()), 0);
  driver_.Put({.seq = 1, .ack = 1, .bytes = 100});
  loff_t none = 0;
  EXPECT_EQ(calls().splice(self(), fd, &none, ends[1], &none, 60, 0), 60);
  std::array<char, 100> buffer;
  EXPECT_EQ(calls().read(self(), ends[0], buffer.data(), buffer.size()), 60);
  EXPECT_EQ(calls().splice(self(), fd, &none, fd, &none, 60, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(calls().close(self(), ends[0]), 0);
}

}  // namespace
}  // namespace devmem::packetdrill
