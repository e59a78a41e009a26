// SPDX-License-Identifier: Apache-2.0
// Socket options as Linux has them, and what they do to packets.
#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <array>
#include <fstream>

#include "tools/packetdrill/option_names.h"
#include "tools/packetdrill/plugin_driver.h"

namespace devmem::packetdrill {
namespace {

class PlugInOptionsTest : public ::testing::Test {
 protected:
  packetdrill_interface& calls() { return driver_.calls(); }
  void* self() { return driver_.self(); }
  // 0, or the errno.
  int Set(int fd, int level, int option, int value) {
    errno = 0;
    const int result = calls().setsockopt(self(), fd, level, option, &value, sizeof(value));
    return result == 0 ? 0 : errno;
  }
  int Get(int fd, int level, int option) {
    int value = -4711;
    socklen_t bytes = sizeof(value);
    EXPECT_EQ(calls().getsockopt(self(), fd, level, option, &value, &bytes), 0) << option;
    EXPECT_EQ(bytes, sizeof(value));
    return value;
  }
  TcpInfo Info(int fd) {
    TcpInfo info = {};
    socklen_t bytes = sizeof(info);
    EXPECT_EQ(calls().getsockopt(self(), fd, SOL_TCP, TCP_INFO, &info, &bytes), 0);
    return info;
  }
  void Write(int fd, size_t bytes) {
    const std::vector<char> data(bytes);
    EXPECT_EQ(calls().write(self(), fd, data.data(), bytes), static_cast<ssize_t>(bytes));
  }

  PlugInDriver driver_;
};

TEST_F(PlugInOptionsTest, WhatIsSetIsTold) {
  const int fd = driver_.Socket();
  struct Case {
    int level, option, set, told;
  };
  for (const Case& c : {Case{SOL_SOCKET, SO_REUSEADDR, 1, 1},
                        {SOL_SOCKET, SO_KEEPALIVE, 1, 1},
                        {SOL_SOCKET, SO_RCVBUF, 20000, 40000},
                        {SOL_SOCKET, SO_SNDBUF, 21000, 42000},
                        {SOL_SOCKET, SO_RCVBUF, 1, 2304},
                        {SOL_SOCKET, SO_RCVLOWAT, 0, 1},
                        {SOL_TCP, TCP_NODELAY, 1, 1},
                        {SOL_TCP, TCP_CORK, 1, 1},
                        {SOL_TCP, TCP_MAXSEG, 1000, 1000},
                        {SOL_TCP, TCP_KEEPIDLE, 7, 7},
                        {SOL_TCP, TCP_KEEPINTVL, 8, 8},
                        {SOL_TCP, TCP_KEEPCNT, 9, 9},
                        {SOL_TCP, TCP_USER_TIMEOUT, 3000, 3000},
                        {SOL_TCP, TCP_DEFER_ACCEPT, 5, 7},
                        {SOL_TCP, TCP_SYNCNT, 2, 2},
                        {SOL_IP, IP_TOS, 0x10, 0x10},
                        {SOL_IP, IP_RECVERR, 1, 1}}) {
    EXPECT_EQ(Set(fd, c.level, c.option, c.set), 0) << c.option;
    EXPECT_EQ(Get(fd, c.level, c.option), c.told) << c.option;
  }
  EXPECT_EQ(Get(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(Get(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
  EXPECT_EQ(Get(driver_.Listener(), SOL_SOCKET, SO_ACCEPTCONN), 1);
}

TEST_F(PlugInOptionsTest, WhatMayNotBeIsRefused) {
  const int fd = driver_.Socket();
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_MAXSEG, 10), EINVAL);
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_KEEPCNT, 0), EINVAL);
  EXPECT_EQ(Set(fd, SOL_TCP, 4711, 1), ENOPROTOOPT);
  EXPECT_EQ(Set(fd, SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT);
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_FASTOPEN, 5), EOPNOTSUPP);
  EXPECT_EQ(Set(999, SOL_TCP, TCP_NODELAY, 1), EBADF);
  EXPECT_EQ(calls().setsockopt(self(), fd, SOL_TCP, TCP_CONGESTION, "vegas", 5), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(calls().setsockopt(self(), fd, SOL_TCP, TCP_CONGESTION, "reno", 4), 0);
  short tiny = 0;
  EXPECT_EQ(calls().setsockopt(self(), fd, SOL_TCP, TCP_NODELAY, &tiny, sizeof(tiny)), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(PlugInOptionsTest, AListenersBufferAndSegmentSizeAreInItsSynAck) {
  const int fd = driver_.Socket();
  EXPECT_EQ(Set(fd, SOL_SOCKET, SO_RCVBUF, 20000), 0);
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_MAXSEG, 1000), 0);
  const sockaddr_storage address = driver_.HostAddress();
  calls().bind(self(), fd, reinterpret_cast<const sockaddr*>(&address), driver_.AddressBytes());
  EXPECT_EQ(calls().listen(self(), fd, 1), 0);
  driver_.Put({.flags = kTcpSyn, .options = {.mss = 1460, .window_scale = 7}});
  const FromHost answer = driver_.Take();
  EXPECT_EQ(answer.window, 20000);
  EXPECT_EQ(answer.options.mss, 1000);
  EXPECT_EQ(answer.options.window_scale, 0);
}

TEST_F(PlugInOptionsTest, ACorkHoldsDataUntilItIsPulled) {
  const int fd = driver_.Accepted();
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_CORK, 1), 0);
  Write(fd, 40);
  driver_.At(0.05);
  Write(fd, 40);
  driver_.ExpectNothing();
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_CORK, 0), 0);
  EXPECT_EQ(driver_.Take().Text(), "P. 1:81(80) ack 1");
}

TEST_F(PlugInOptionsTest, QuickAcksMayBeSwitchedOffAndOn) {
  const int fd = driver_.Accepted();
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_QUICKACK, 0), 0);
  EXPECT_EQ(Get(fd, SOL_TCP, TCP_QUICKACK), 0);
  driver_.Put({.seq = 1, .ack = 1, .bytes = 10});
  const FromHost late = driver_.Take();
  EXPECT_EQ(late.Text(), ". 1:1(0) ack 11");
  EXPECT_NEAR(late.at, 0.040, 0.002);
}

TEST_F(PlugInOptionsTest, KeepaliveProbesAndGivesUp) {
  const int fd = driver_.Accepted();
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_KEEPIDLE, 5), 0);
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_KEEPINTVL, 1), 0);
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_KEEPCNT, 2), 0);
  EXPECT_EQ(Set(fd, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
  const FromHost probe = driver_.Take();
  EXPECT_EQ(probe.Text(), ". 0:0(0) ack 1");
  EXPECT_NEAR(probe.at, 5, 0.01);
  EXPECT_EQ(driver_.Take().Text(), ". 0:0(0) ack 1");
  EXPECT_EQ(driver_.Take().Text(), "R. 1:1(0) ack 1");
  EXPECT_EQ(Get(fd, SOL_SOCKET, SO_ERROR), ETIMEDOUT);
  EXPECT_EQ(Get(fd, SOL_SOCKET, SO_ERROR), 0);
}

TEST_F(PlugInOptionsTest, TcpInfoTellsTheConnection) {
  const int fd = driver_.Accepted({.mss = 1000, .window_scale = 5, .sack_permitted = true});
  TcpInfo info = {};
  socklen_t bytes = sizeof(info);
  EXPECT_EQ(calls().getsockopt(self(), fd, SOL_TCP, TCP_INFO, &info, &bytes), 0);
  EXPECT_EQ(bytes, sizeof(info));
  EXPECT_EQ(info.state, TCP_ESTABLISHED);
  EXPECT_EQ(info.options, kInfoSack | kInfoWindowScale);
  EXPECT_EQ(info.wscales, 5 | 7 << 4);
  EXPECT_EQ(info.snd_mss, 1000u);
  EXPECT_EQ(info.snd_cwnd, 10u);
  bytes = 1;
  EXPECT_EQ(calls().getsockopt(self(), fd, SOL_TCP, TCP_INFO, &info, &bytes), 0);
  EXPECT_EQ(bytes, 1u);
}

TEST_F(PlugInOptionsTest, TcpInfoTellsWhatTheSenderWaitedFor) {
  const int fd = driver_.Accepted({.mss = 1000});
  driver_.At(1);
  EXPECT_NEAR(Info(fd).last_data_recv_ms, 1000, 10) << "no data yet: since the beginning";
  driver_.Put({.seq = 1, .ack = 1, .window = 0});
  Write(fd, 100);
  driver_.At(1.1);
  EXPECT_NEAR(static_cast<double>(Info(fd).rwnd_limited), 100'000, 1000);
  driver_.Put({.seq = 1, .ack = 1, .window = 1000});
  driver_.At(1.15);
  EXPECT_NEAR(static_cast<double>(Info(fd).rwnd_limited), 100'000, 1000);
  EXPECT_NEAR(static_cast<double>(Info(fd).busy_time), 150'000, 1000);
  driver_.Put({.seq = 1, .ack = 101, .window = 1000});
  driver_.At(2);
  EXPECT_NEAR(static_cast<double>(Info(fd).busy_time), 150'000, 1000);
}

TEST_F(PlugInOptionsTest, WhatPacketdrillAsksForBesideTcpInfoIsThere) {
  const int fd = driver_.Accepted();
  driver_.Put({.seq = 1, .ack = 1, .bytes = 10});
  std::array<uint32_t, 9> memory = {};
  socklen_t bytes = sizeof(memory);
  EXPECT_EQ(calls().getsockopt(self(), fd, SOL_SOCKET, SO_MEMINFO, memory.data(), &bytes), 0);
  EXPECT_EQ(bytes, sizeof(memory));
  EXPECT_EQ(memory[0], 10u);
  EXPECT_EQ(memory[1], 131072u);
  bytes = sizeof(memory);
  EXPECT_EQ(calls().getsockopt(self(), fd, SOL_TCP, TCP_CC_INFO, memory.data(), &bytes), 0);
  EXPECT_EQ(bytes, 0u);
}

TEST_F(PlugInOptionsTest, ABufferThatGrewBehindAHoleIsTold) {
  const int fd = driver_.Accepted({.mss = 1000, .window_scale = 7, .sack_permitted = true});
  EXPECT_EQ(Get(fd, SOL_SOCKET, SO_RCVBUF), 131072);
  driver_.Put({.seq = 3001, .ack = 1, .bytes = 40000});
  driver_.Put({.seq = 43001, .ack = 1, .bytes = 60000});
  driver_.TakeAll();
  EXPECT_GT(Get(fd, SOL_SOCKET, SO_RCVBUF), 131072);
}

TEST_F(PlugInOptionsTest, NoLowWaterMarkOfWhatIsUnsentMeansThatThereIsNoLimit) {
  const int fd = driver_.Accepted();
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_NOTSENT_LOWAT, 0), 0);
  pollfd entry = {fd, POLLOUT, 0};
  EXPECT_EQ(calls().poll(self(), &entry, 1, 0), 1);
  Write(fd, 20000);
}

TEST_F(PlugInOptionsTest, ADeferredAcceptWaitsForData) {
  const int fd = driver_.Socket();
  EXPECT_EQ(Set(fd, SOL_TCP, TCP_DEFER_ACCEPT, 5), 0);
  const sockaddr_storage address = driver_.HostAddress();
  calls().bind(self(), fd, reinterpret_cast<const sockaddr*>(&address), driver_.AddressBytes());
  EXPECT_EQ(calls().listen(self(), fd, 1), 0);
  driver_.Put({.flags = kTcpSyn, .options = {.mss = 1000}});
  EXPECT_EQ(driver_.Take().Text(), "S. 0:0(0) ack 1");
  driver_.Put({.seq = 1, .ack = 1});
  pollfd entry = {fd, POLLIN, 0};
  EXPECT_EQ(calls().poll(self(), &entry, 1, 2000), 0);
  driver_.ExpectNothing();
  driver_.Put({.seq = 1, .ack = 1, .bytes = 4});
  EXPECT_EQ(calls().poll(self(), &entry, 1, 0), 1);
}

TEST(PlugInMachineTest, ItsSettingsCountFromTheFirstSocketOnWhereNoneIsGiven) {
  std::ifstream file("/proc/sys/net/ipv4/tcp_rmem");
  int least = 0, usual = 0;
  if (!(file >> least >> usual)) GTEST_SKIP() << "/proc/sys/net/ipv4/tcp_rmem is not there";
  PlugInDriver driver("machine_sysctls=1 tcp_wmem=4096:50000:60000");
  driver.At(1);
  const int fd = driver.Socket();
  EXPECT_NEAR(driver.Now(), 1, 0.001) << "time goes on";
  int bytes = 0;
  socklen_t size = sizeof(bytes);
  EXPECT_EQ(driver.calls().getsockopt(driver.self(), fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size), 0);
  EXPECT_EQ(bytes, usual);
  EXPECT_EQ(driver.calls().getsockopt(driver.self(), fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size), 0);
  EXPECT_EQ(bytes, 50000);
}

TEST_F(PlugInOptionsTest, SendBufferBoundsAWrite) {
  const int fd = driver_.Accepted();
  EXPECT_EQ(Set(fd, SOL_SOCKET, SO_SNDBUF, 21000), 0);
  const std::vector<char> data(1 << 20);
  const ssize_t taken = calls().send(self(), fd, data.data(), data.size(), MSG_DONTWAIT);
  EXPECT_GT(taken, 10000);
  EXPECT_LT(taken, 80000);
  EXPECT_EQ(calls().send(self(), fd, data.data(), 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

}  // namespace
}  // namespace devmem::packetdrill
