// SPDX-License-Identifier: Apache-2.0
// The plug-in as packetdrill sees it, from its shared object: connections, data and their ends, and
// packets that no honest peer would send.
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>

#include "tools/packetdrill/plugin_driver.h"

namespace devmem::packetdrill {
namespace {

using Texts = std::vector<std::string>;

class PlugInTest : public ::testing::Test {
 protected:
  packetdrill_interface& calls() { return driver_.calls(); }
  void* self() { return driver_.self(); }
  ssize_t Read(int fd, size_t bytes = 100000) {
    buffer_.resize(bytes);
    return calls().read(self(), fd, buffer_.data(), bytes);
  }
  ssize_t Write(int fd, size_t bytes) {
    buffer_.assign(bytes, 0);
    return calls().write(self(), fd, buffer_.data(), bytes);
  }
  // Expects -1 and this errno.
  static void Fails(int64_t result, int error) {
    EXPECT_EQ(result, -1);
    EXPECT_EQ(errno, error);
  }

  PlugInDriver driver_;
  std::vector<char> buffer_;
};

TEST_F(PlugInTest, PassiveConnectionCarriesDataBothWaysAndCloses) {
  const int fd = driver_.Accepted();
  driver_.Put({.flags = kTcpPsh | kTcpAck, .seq = 1, .ack = 1, .bytes = 1000});
  EXPECT_EQ(driver_.Take().Text(), ". 1:1(0) ack 1001");
  EXPECT_EQ(Read(fd), 1000);
  EXPECT_EQ(Write(fd, 500), 500);
  EXPECT_EQ(driver_.Take().Text(), "P. 1:501(500) ack 1001");
  driver_.Put({.flags = kTcpFin | kTcpAck, .seq = 1001, .ack = 501});
  EXPECT_EQ(Read(fd), 0);
  // As Linux: the ACK of a FIN waits for our own.
  const FromHost ack = driver_.Take();
  EXPECT_EQ(ack.Text(), ". 501:501(0) ack 1002");
  EXPECT_NEAR(ack.at, 0.040, 0.002);
  EXPECT_EQ(calls().close(self(), fd), 0);
  EXPECT_EQ(driver_.Take().Text(), "F. 501:501(0) ack 1002");
  driver_.Put({.seq = 1002, .ack = 502});
  driver_.ExpectNothing();
}

TEST_F(PlugInTest, ConnectAnswersAsLinuxDoes) {
  const int fd = driver_.Socket();
  EXPECT_EQ(calls().fcntl(self(), fd, F_GETFL), O_RDWR);
  EXPECT_EQ(calls().fcntl(self(), fd, F_SETFL, O_RDWR | O_NONBLOCK), 0);
  const sockaddr_storage peer = driver_.PeerAddress(driver_.peer_port);
  const auto connect = [&] {
    return calls().connect(self(), fd, reinterpret_cast<const sockaddr*>(&peer),
                           driver_.AddressBytes());
  };
  Fails(connect(), EINPROGRESS);
  Fails(connect(), EALREADY);
  Fails(Write(fd, 10), EAGAIN);
  Fails(Read(fd), EAGAIN);
  EXPECT_EQ(driver_.Take().Text(), "S 0:0(0)");
  driver_.Put({.flags = kTcpSyn | kTcpAck, .ack = 1, .options = {.mss = 1000}});
  EXPECT_EQ(driver_.Take().Text(), ". 1:1(0) ack 1");
  EXPECT_EQ(connect(), 0);
  Fails(connect(), EISCONN);
}

TEST_F(PlugInTest, ARefusedConnectMayBeTriedAgain) {
  const int fd = driver_.Socket();
  calls().fcntl(self(), fd, F_SETFL, O_RDWR | O_NONBLOCK);
  const sockaddr_storage peer = driver_.PeerAddress(driver_.peer_port);
  const auto connect = [&] {
    return calls().connect(self(), fd, reinterpret_cast<const sockaddr*>(&peer),
                           driver_.AddressBytes());
  };
  Fails(connect(), EINPROGRESS);
  EXPECT_EQ(driver_.Take().Text(), "S 0:0(0)");
  driver_.Put({.flags = kTcpRst | kTcpAck, .ack = 1});
  Fails(connect(), ECONNREFUSED);
  Fails(connect(), EINPROGRESS);
  EXPECT_EQ(driver_.Take().Text(), "S 0:0(0)");
}

TEST_F(PlugInTest, SynsHaveLinuxsOptionsAndWindows) {
  const int fd = driver_.Socket();
  calls().fcntl(self(), fd, F_SETFL, O_RDWR | O_NONBLOCK);
  const sockaddr_storage peer = driver_.PeerAddress(driver_.peer_port);
  calls().connect(self(), fd, reinterpret_cast<const sockaddr*>(&peer), driver_.AddressBytes());
  const FromHost syn = driver_.Take();
  EXPECT_EQ(syn.window, 64240);
  ASSERT_EQ(syn.option_bytes.size(), 20u);  // MSS, SACK-permitted, timestamps, NOP, scale.
  EXPECT_EQ(syn.option_bytes[0], 2);
  EXPECT_EQ(syn.option_bytes[4], 4);
  EXPECT_EQ(syn.option_bytes[6], 8);
  EXPECT_EQ(syn.option_bytes[16], 1);
  EXPECT_EQ(syn.option_bytes[17], 3);
  EXPECT_EQ(syn.options.mss, 1460);
  EXPECT_EQ(syn.options.window_scale, 7);
}

TEST_F(PlugInTest, ACloseWithUnreadDataIsAReset) {
  const int fd = driver_.Accepted();
  driver_.Put({.seq = 1, .ack = 1, .bytes = 10});
  EXPECT_EQ(driver_.Take().Text(), ". 1:1(0) ack 11");
  EXPECT_EQ(calls().close(self(), fd), 0);
  EXPECT_EQ(driver_.Take().Text(), "R. 1:1(0) ack 11");
  driver_.ExpectNothing();
}

TEST_F(PlugInTest, LingeringForNoTimeIsAReset) {
  const int fd = driver_.Accepted();
  const linger none = {1, 0};
  EXPECT_EQ(calls().setsockopt(self(), fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
  EXPECT_EQ(calls().close(self(), fd), 0);
  EXPECT_EQ(driver_.Take().Text(), "R. 1:1(0) ack 1");
}

TEST_F(PlugInTest, AResetIsToldOnceAndThenTheStreamIsOver) {
  const int fd = driver_.Accepted();
  driver_.Put({.flags = kTcpRst, .seq = 1});
  Fails(Read(fd), ECONNRESET);
  EXPECT_EQ(Read(fd), 0);
  Fails(Write(fd, 10), EPIPE);
  driver_.ExpectNothing();
}

TEST_F(PlugInTest, DataThatCameBeforeAResetIsStillRead) {
  const int fd = driver_.Accepted();
  driver_.Put({.seq = 1, .ack = 1, .bytes = 10});
  driver_.Put({.flags = kTcpRst, .seq = 11});
  EXPECT_EQ(Read(fd), 10);
  Fails(Read(fd), ECONNRESET);
}

TEST_F(PlugInTest, PeekingLeavesTheDataAndTruncatingDropsIt) {
  const int fd = driver_.Accepted();
  driver_.Put({.seq = 1, .ack = 1, .bytes = 100});
  std::array<char, 200> buffer;
  EXPECT_EQ(calls().recv(self(), fd, buffer.data(), 40, MSG_PEEK), 40);
  int unread = 0;
  EXPECT_EQ(calls().ioctl(self(), fd, SIOCINQ, &unread), 0);
  EXPECT_EQ(unread, 100);
  EXPECT_EQ(calls().recv(self(), fd, nullptr, 60, MSG_TRUNC), 60);
  EXPECT_EQ(calls().recv(self(), fd, buffer.data(), 200, MSG_DONTWAIT), 40);
  Fails(calls().recv(self(), fd, buffer.data(), 200, MSG_DONTWAIT), EAGAIN);
  Fails(calls().recv(self(), fd, buffer.data(), 1, MSG_OOB), EINVAL);
}

TEST_F(PlugInTest, VectorsAreFilledAndSentInTheirOrder) {
  const int fd = driver_.Accepted();
  std::array<char, 60> bytes = {};
  bytes[0] = 'a';
  bytes[40] = 'b';
  const std::array<iovec, 3> out = {iovec{nullptr, 0}, iovec{bytes.data(), 40},
                                    iovec{bytes.data() + 40, 20}};
  EXPECT_EQ(calls().writev(self(), fd, out.data(), 3), 60);
  const FromHost packet = driver_.Take();
  ASSERT_EQ(packet.payload.size(), 60u);
  EXPECT_EQ(packet.payload[0], 'a');
  EXPECT_EQ(packet.payload[40], 'b');
}

TEST_F(PlugInTest, ShutdownSendsAFinAndRefusesMoreData) {
  const int fd = driver_.Accepted();
  EXPECT_EQ(calls().shutdown(self(), fd, SHUT_WR), 0);
  EXPECT_EQ(driver_.Take().Text(), "F. 1:1(0) ack 1");
  Fails(Write(fd, 10), EPIPE);
  driver_.Put({.seq = 1, .ack = 2, .bytes = 100});
  EXPECT_EQ(Read(fd), 100);
  Fails(calls().shutdown(self(), fd, 7), EINVAL);
}

TEST_F(PlugInTest, CallsOnWhatIsNoConnectionFail) {
  Fails(Read(999), EBADF);
  Fails(calls().close(self(), 999), EBADF);
  Fails(calls().socket(self(), AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
  Fails(calls().socket(self(), AF_INET, SOCK_DGRAM, 0), ESOCKTNOSUPPORT);
  const int fd = driver_.Socket();
  Fails(Read(fd), ENOTCONN);
  Fails(Write(fd, 1), EPIPE);
  Fails(calls().shutdown(self(), fd, SHUT_WR), ENOTCONN);
  Fails(calls().accept(self(), fd, nullptr, nullptr), EINVAL);
  const int listener = driver_.Listener();
  Fails(Read(listener), ENOTCONN);
  const int second = driver_.Socket();
  const sockaddr_storage address = driver_.HostAddress();
  Fails(calls().bind(self(), second, reinterpret_cast<const sockaddr*>(&address),
                     driver_.AddressBytes()),
        EADDRINUSE);
}

TEST_F(PlugInTest, ABlockedCallOfTheDriverMovesTheTimeItself) {
  const int fd = driver_.Socket();
  const sockaddr_storage peer = driver_.PeerAddress(driver_.peer_port);
  Fails(
      calls().connect(self(), fd, reinterpret_cast<const sockaddr*>(&peer), driver_.AddressBytes()),
      ETIMEDOUT);
  EXPECT_NEAR(driver_.Now(), 123, 1);  // 1 + 2 + ... + 32 + 60 seconds.
}

TEST_F(PlugInTest, ACallOfTheDriverThatNothingCanAnswerFails) {
  Fails(Read(driver_.Accepted()), EDEADLK);
}

TEST_F(PlugInTest, NothingToComeIsSaidWithoutAPacket) {
  driver_.Accepted();
  std::array<char, 100> buffer;
  size_t bytes = buffer.size();
  long long at = -1;
  EXPECT_EQ(calls().netdev_receive(self(), buffer.data(), &bytes, &at), 0);
  EXPECT_EQ(bytes, 0u);
}

TEST_F(PlugInTest, DamagedPacketsAreDroppedWithoutAWord) {
  const int fd = driver_.Accepted();
  calls().fcntl(self(), fd, F_SETFL, O_NONBLOCK);
  driver_.Put({.seq = 1, .ack = 1, .bytes = 10, .bad_checksum = true});
  driver_.PutRaw({});
  driver_.PutRaw({0x45});
  driver_.PutRaw(std::vector<uint8_t>(20, 0));
  driver_.PutRaw(std::vector<uint8_t>(2000, 0x45));
  driver_.PutRaw(std::vector<uint8_t>(60, 0x60));
  driver_.ExpectNothing();
  Fails(Read(fd), EAGAIN);
}

TEST_F(PlugInTest, EveryPrefixOfAPacketIsHarmless) {
  PlugInDriver other;
  other.Listener();
  other.Put({.flags = kTcpSyn, .options = {.mss = 1000}});
  const std::vector<uint8_t> whole = other.Take().bytes;
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    driver_.PutRaw({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes)});
  }
  driver_.ExpectNothing();
}

TEST(PlugInV6Test, ConnectionsWorkOverIpv6AndV4MappedAddresses) {
  PlugInDriver driver(nullptr, true);
  const int fd = driver.Accepted();
  driver.Put({.seq = 1, .ack = 1, .bytes = 100});
  EXPECT_EQ(driver.Take().Text(), ". 1:1(0) ack 101");
  char buffer[200];
  EXPECT_EQ(driver.calls().read(driver.self(), fd, buffer, sizeof(buffer)), 100);

  PlugInDriver v4;
  const int mapped = v4.calls().socket(v4.self(), AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(kHostPort);
  ParseIpAddress("::ffff:192.168.0.1")->StoreTo(address.sin6_addr.s6_addr);
  EXPECT_EQ(
      v4.calls().bind(v4.self(), mapped, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
      0);
  EXPECT_EQ(v4.calls().listen(v4.self(), mapped, 1), 0);
  v4.Put({.flags = kTcpSyn, .options = {.mss = 1000}});
  EXPECT_EQ(v4.Take().Text(), "S. 0:0(0) ack 1");
  v4.Put({.seq = 1, .ack = 1});
  socklen_t bytes = sizeof(address);
  EXPECT_GE(v4.calls().accept(v4.self(), mapped, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  EXPECT_EQ(bytes, sizeof(address));
  EXPECT_EQ(IpAddress::FromV6(address.sin6_addr.s6_addr), ParseIpAddress("192.0.2.1"));
}

TEST_F(PlugInTest, FreeLeavesAloneWhatIsNoLongerItsOwn) {
  const int fd = driver_.Socket();
  ASSERT_EQ(close(fd), 0);  // As packetdrill does with what a script leaves open.
  const int others = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(others, fd);
  driver_.Free();
  EXPECT_EQ(close(others), 0);
}

}  // namespace
}  // namespace devmem::packetdrill
