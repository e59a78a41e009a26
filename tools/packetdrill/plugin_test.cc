// SPDX-License-Identifier: Apache-2.0
// The plug-in as packetdrill sees it, from its shared object: connections, data and their ends.
#include <errno.h>
#include <gtest/gtest.h>

#include "tools/packetdrill/plugin_driver.h"

namespace devmem::packetdrill {
namespace {

using Texts = std::vector<std::string>;

TEST(PlugInTest, PassiveConnectionCarriesDataBothWaysAndCloses) {
  PlugInDriver driver;
  packetdrill_interface& calls = driver.calls();
  const int fd = driver.Accepted();
  driver.Put({.flags = kTcpPsh | kTcpAck, .seq = 1, .ack = 1, .bytes = 1000});
  EXPECT_EQ(driver.Take().Text(), ". 1:1(0) ack 1001");
  char buffer[2000];
  EXPECT_EQ(calls.read(driver.self(), fd, buffer, sizeof(buffer)), 1000);
  EXPECT_EQ(calls.write(driver.self(), fd, buffer, 500), 500);
  EXPECT_EQ(driver.Take().Text(), "P. 1:501(500) ack 1001");
  driver.Put({.flags = kTcpFin | kTcpAck, .seq = 1001, .ack = 501});
  EXPECT_EQ(driver.Take().Text(), ". 501:501(0) ack 1002");
  EXPECT_EQ(calls.read(driver.self(), fd, buffer, sizeof(buffer)), 0);
  EXPECT_EQ(calls.close(driver.self(), fd), 0);
  EXPECT_EQ(driver.Take().Text(), "F. 501:501(0) ack 1002");
  driver.Put({.seq = 1002, .ack = 502});
  driver.ExpectNothing();
}

TEST(PlugInTest, ActiveConnectionAnswersAsLinuxDoes) {
  PlugInDriver driver;
  packetdrill_interface& calls = driver.calls();
  const int fd = driver.Connected();
  const sockaddr_storage peer = driver.PeerAddress();
  const auto* address = reinterpret_cast<const sockaddr*>(&peer);
  EXPECT_EQ(calls.connect(driver.self(), fd, address, driver.AddressBytes()), 0);
  EXPECT_EQ(calls.connect(driver.self(), fd, address, driver.AddressBytes()), -1);
  EXPECT_EQ(errno, EISCONN);
}

}  // namespace
}  // namespace devmem::packetdrill
