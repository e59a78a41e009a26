// SPDX-License-Identifier: Apache-2.0
// Calls that block on packetdrill's second thread while the first one moves packets and time.
#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tools/packetdrill/plugin_driver.h"

namespace devmem::packetdrill {
namespace {

struct Outcome {
  int64_t result = 0;
  int error = 0;
  double at = 0;  // When the call's thread sees it end.
};

// The third field of the thread's stat file, behind the name in brackets.
bool IsAsleep(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  return name_end != std::string::npos && line.substr(name_end + 2, 1) == "S";
}

class PlugInThreadsTest : public ::testing::Test {
 protected:
  packetdrill_interface& calls() { return driver_.calls(); }
  void* self() { return driver_.self(); }

  // Makes a call on a second thread and comes back when that thread sleeps in it, or is done: what
  // packetdrill does.
  std::future<Outcome> Block(std::function<int64_t()> call, bool ask_time = true) {
    std::promise<pid_t> started;
    std::future<pid_t> thread = started.get_future();
    std::future<Outcome> outcome = std::async(std::launch::async, [=, this, &started] {
      started.set_value(gettid());
      Outcome seen;
      seen.result = call();
      seen.error = errno;
      if (ask_time) seen.at = driver_.Now();
      return seen;
    });
    const pid_t id = thread.get();
    while (outcome.wait_for(std::chrono::seconds(0)) != std::future_status::ready &&
           !IsAsleep(id)) {
      std::this_thread::yield();
    }
    return outcome;
  }

  PlugInDriver driver_;
};

TEST_F(PlugInThreadsTest, AcceptReturnsWhenTheHandshakeIsComplete) {
  const int listener = driver_.Listener();
  std::future<Outcome> accepted =
      Block([&] { return calls().accept(self(), listener, nullptr, nullptr); });
  driver_.Put({.flags = kTcpSyn, .options = {.mss = 1000}});
  EXPECT_EQ(driver_.Take().Text(), "S. 0:0(0) ack 1");
  driver_.At(0.1);
  driver_.Put({.seq = 1, .ack = 1});
  const Outcome outcome = accepted.get();
  EXPECT_GE(outcome.result, 0);
}

TEST_F(PlugInThreadsTest, ThatTheSecondThreadSleptBeforeItsCallMakesItNoDriver) {
  const int listener = driver_.Listener();
  std::future<Outcome> accepted = Block([&] {
    const auto pass_virtual_time = calls().usleep;
    pass_virtual_time(self(), 100000);
    return calls().accept(self(), listener, nullptr, nullptr);
  });
  driver_.Put({.flags = kTcpSyn, .options = {.mss = 1000}});
  EXPECT_EQ(driver_.Take().Text(), "S. 0:0(0) ack 1");
  driver_.At(0.3);
  driver_.Put({.seq = 1, .ack = 1});
  const Outcome outcome = accepted.get();
  EXPECT_GE(outcome.result, 0);
  EXPECT_NEAR(outcome.at, 0.3, 0.001);
}

TEST_F(PlugInThreadsTest, ABlockedReadEndsAtTheMomentOfItsData) {
  const int fd = driver_.Accepted();
  char buffer[100];
  std::future<Outcome> read =
      Block([&] { return calls().read(self(), fd, buffer, sizeof(buffer)); });
  driver_.At(0.25);
  driver_.Put({.seq = 1, .ack = 1, .bytes = 40});
  driver_.At(5);  // However late the thread wakes.
  const Outcome outcome = read.get();
  EXPECT_EQ(outcome.result, 40);
  EXPECT_NEAR(outcome.at, 0.25, 0.001);
}

TEST_F(PlugInThreadsTest, AWriteGoesOnAsRoomIsMade) {
  const int fd = driver_.Accepted();
  const int small = 21000;
  calls().setsockopt(self(), fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  const std::vector<char> data(100000);
  std::future<Outcome> written =
      Block([&] { return calls().write(self(), fd, data.data(), data.size()); });
  uint32_t acked = 1;
  while (acked < 100001) {
    const FromHost packet = driver_.Take();
    ASSERT_FALSE(packet.bytes.empty());
    acked = packet.seq + static_cast<uint32_t>(packet.payload.size());
    driver_.Put({.seq = 1, .ack = acked, .window = 60000});
  }
  EXPECT_EQ(written.get().result, 100000);
}

TEST_F(PlugInThreadsTest, ABlockedConnectSeesTheHandshake) {
  const int fd = driver_.Socket();
  const sockaddr_storage peer = driver_.PeerAddress(driver_.peer_port);
  std::future<Outcome> connected = Block([&] {
    return calls().connect(self(), fd, reinterpret_cast<const sockaddr*>(&peer),
                           driver_.AddressBytes());
  });
  EXPECT_EQ(driver_.Take().Text(), "S 0:0(0)");
  driver_.Put({.flags = kTcpSyn | kTcpAck, .ack = 1, .options = {.mss = 1000}});
  EXPECT_EQ(connected.get().result, 0);
  EXPECT_EQ(driver_.Take().Text(), ". 1:1(0) ack 1");
}

TEST_F(PlugInThreadsTest, APollTimesOutInVirtualTime) {
  const int fd = driver_.Accepted();
  std::future<Outcome> polled = Block([&] {
    pollfd entry = {fd, POLLIN, 0};
    return calls().poll(self(), &entry, 1, 60000);
  });
  driver_.At(59);
  driver_.At(61);
  const Outcome outcome = polled.get();
  EXPECT_EQ(outcome.result, 0);
  EXPECT_NEAR(outcome.at, 60, 0.001);
}

TEST_F(PlugInThreadsTest, ACloseThatLingersReturnsWhenAllIsAcknowledged) {
  const int fd = driver_.Accepted();
  const linger patient = {1, 1000};
  calls().setsockopt(self(), fd, SOL_SOCKET, SO_LINGER, &patient, sizeof(patient));
  std::future<Outcome> closed = Block([&] { return calls().close(self(), fd); });
  EXPECT_EQ(driver_.Take().Text(), "F. 1:1(0) ack 1");
  driver_.Put({.seq = 1, .ack = 2});
  EXPECT_EQ(closed.get().result, 0);
}

TEST_F(PlugInThreadsTest, FreeEndsACallThatNothingElseWould) {
  const int fd = driver_.Accepted();
  char buffer[10];
  // Its thread asks for no time then: there is no plug-in any more.
  std::future<Outcome> read =
      Block([&] { return calls().read(self(), fd, buffer, sizeof(buffer)); }, false);
  driver_.Free();
  const Outcome outcome = read.get();
  EXPECT_EQ(outcome.result, -1);
  EXPECT_EQ(outcome.error, ECANCELED);
}

}  // namespace
}  // namespace devmem::packetdrill
