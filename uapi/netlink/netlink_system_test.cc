// SPDX-License-Identifier: Apache-2.0
//
// The clients on the running kernel, in a network namespace of the test's own with a pair of veth
// interfaces. Needs root and iproute2; skips where the kernel has no netdev family.

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "uapi/netlink/ethtool_client.h"
#include "uapi/netlink/ethtool_ioctl.h"
#include "uapi/netlink/link_info.h"
#include "uapi/netlink/netdev_client.h"
#include "uapi/netlink/netlink_event.h"
#include "uapi/netlink/nic_setup.h"

namespace devmem {
namespace {

constexpr std::array<uint32_t, 1> kQueue1 = {1};

// A thread that lives in a new namespace with dm0 and dm1, up, two queues each; its namespace file
// is what the clients open.
class NetlinkSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "making a network namespace needs root";
    const auto netdev = NetdevClient::Open();
    if (!netdev.ok()) GTEST_SKIP() << netdev.status().message();
    std::array<int, 2> ready = {};
    std::array<int, 2> end = {};
    ASSERT_EQ(pipe2(ready.data(), O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(end.data(), O_CLOEXEC), 0);
    child_ = fork();
    if (child_ == 0) {
      const bool made =
          unshare(CLONE_NEWNET) == 0 && std::system(
                                            "ip link add dm0 numrxqueues 4 numtxqueues 4 type veth "
                                            "peer name dm1 numrxqueues 4 numtxqueues 4 && "
                                            "ip link set dm0 up && ip link set dm1 up") == 0;
      const char answer = made ? 'y' : 'n';
      close(end[1]);
      char byte = 0;
      if (write(ready[1], &answer, 1) == 1) [[maybe_unused]]
        const ssize_t n = read(end[0], &byte, 1);
      _exit(0);
    }
    close(ready[1]);
    close(end[0]);
    end_fd_ = end[1];
    char answer = 'n';
    ASSERT_EQ(read(ready[0], &answer, 1), 1);
    close(ready[0]);
    if (answer != 'y') GTEST_SKIP() << "no namespace with veth interfaces can be made here";
    netns_ = absl::StrCat("/proc/", child_, "/ns/net");
  }
  void TearDown() override {
    if (end_fd_ >= 0) close(end_fd_);
    if (child_ > 0) waitpid(child_, nullptr, 0);
  }
  int Ip(const std::string& arguments) {
    return std::system(
        absl::StrCat("nsenter --net=", netns_, " ip ", arguments, " 2>/dev/null").c_str());
  }
  uint32_t IfIndex(const char* name) { return (*LinkClient::Open(netns_))->Link(name)->ifindex; }

  pid_t child_ = -1;
  int end_fd_ = -1;
  std::string netns_;
};

TEST_F(NetlinkSystemTest, LinksAreThoseOfTheNamespace) {
  const auto client = LinkClient::Open(netns_);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto links = (*client)->Links();
  ASSERT_TRUE(links.ok()) << links.status();
  const auto link = (*client)->Link("dm0");
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ(link->kind, "veth");
  EXPECT_TRUE(link->up);
  EXPECT_EQ(link->mtu_bytes, 1500u);
  EXPECT_FALSE(link->xdp_attached);
  EXPECT_EQ(link->rx_queues_max, 4u);
  EXPECT_TRUE((*client)->Link("lo")->loopback);
  EXPECT_TRUE(absl::IsNotFound((*client)->Link("eth99").status()));
}

TEST_F(NetlinkSystemTest, DevicesQueuesAndNapisAreTold) {
  const auto client = NetdevClient::Open(netns_);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto devices = (*client)->Devices();
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_GE(devices->size(), 3u);
  const uint32_t ifindex = IfIndex("dm0");
  const auto one = (*client)->Devices(ifindex);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->front().ifindex, ifindex);
  const auto queues = (*client)->Queues(ifindex);
  ASSERT_TRUE(queues.ok()) << queues.status();
  const auto count = [&](QueueType type) {
    return std::count_if(queues->begin(), queues->end(),
                         [&](const NetdevQueue& queue) { return queue.type == type; });
  };
  EXPECT_EQ(count(QueueType::kRx), 4);
  EXPECT_EQ(count(QueueType::kTx), 4);
  const auto queue = (*client)->Queue(ifindex, QueueType::kRx, 2);
  ASSERT_TRUE(queue.ok()) << queue.status();
  EXPECT_EQ(queue->id, 2u);
  EXPECT_FALSE(queue->provider());
  EXPECT_FALSE((*client)->Queue(ifindex, QueueType::kRx, 99).ok());
  EXPECT_TRUE((*client)->Napis(ifindex).ok());
  EXPECT_TRUE((*client)->PagePools(ifindex).ok());
  EXPECT_TRUE(absl::IsNotFound((*client)->Devices(99999).status()));
}

TEST_F(NetlinkSystemTest, ABindingIsRefusedWithTheReason) {
  const auto client = NetdevClient::Open(netns_);
  ASSERT_TRUE(client.ok());
  const auto bound = (*client)->BindRx(IfIndex("dm0"), -1, kQueue1);
  EXPECT_TRUE(absl::IsUnimplemented(bound.status())) << bound.status();
  const std::optional<NetlinkError> error = KernelErrorOf(bound.status());
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->error, EOPNOTSUPP);
  const auto nowhere = (*client)->BindRx(99999, -1, kQueue1);
  EXPECT_TRUE(absl::IsNotFound(nowhere.status()) || absl::IsUnimplemented(nowhere.status()))
      << nowhere.status();
}

TEST_F(NetlinkSystemTest, EthtoolTellsAndSetsChannelsAndFeatures) {
  const auto client = EthtoolClient::Open(netns_);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto channels = (*client)->Channels("dm0");
  ASSERT_TRUE(channels.ok()) << channels.status();
  EXPECT_EQ(channels->rx_queue_count(), 4u);
  EXPECT_EQ(channels->rx_max, 4u);
  const auto features = (*client)->Features("dm0");
  ASSERT_TRUE(features.ok()) << features.status();
  const auto gro = std::find_if(features->begin(), features->end(),
                                [](const FeatureState& each) { return each.name == "rx-gro"; });
  ASSERT_NE(gro, features->end());
  EXPECT_TRUE(gro->changeable);
  EXPECT_TRUE((*client)->SetFeature("dm0", "rx-gro", !gro->active).ok());
  EXPECT_FALSE((*client)->SetFeature("dm0", "no-such-feature", true).ok());
  EXPECT_FALSE((*client)->Channels("nowhere0").ok());
}

TEST_F(NetlinkSystemTest, AVirtualPairCannotSplitHeaders) {
  const auto client = EthtoolClient::Open(netns_);
  ASSERT_TRUE(client.ok());
  const absl::Status split = (*client)->SetDataSplit("dm0", DataSplit::kEnabled);
  EXPECT_TRUE(absl::IsUnimplemented(split)) << split;
  EXPECT_TRUE(absl::StrContains(split.message(), "take a NIC that can")) << split;
}

TEST_F(NetlinkSystemTest, TheDriverIsToldAndRulesAreRefused) {
  const auto client = EthtoolIoctl::Open(netns_);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->Driver("dm0")->driver, "veth");
  const auto rules = (*client)->Rules("dm0");
  EXPECT_TRUE(absl::IsUnimplemented(rules.status())) << rules.status();
}

TEST_F(NetlinkSystemTest, ASetupOfAVirtualPairIsRefusedAndChangesNothing) {
  NicSetupOptions options;
  options.device = "dm0";
  options.queues = {1};
  options.netns_path = netns_;
  const auto setup = NicSetup::Open(options);
  EXPECT_TRUE(absl::IsUnimplemented(setup.status())) << setup.status();
  EXPECT_TRUE(absl::StrContains(setup.status().message(), "cannot split headers"));
  ASSERT_EQ(Ip("link set dm0 down"), 0);
  EXPECT_TRUE(absl::StrContains(NicSetup::Open(options).status().message(), "is down"));
}

TEST_F(NetlinkSystemTest, ANewDeviceIsNotified) {
  const auto socket = GenlSocket::Open("netdev", netns_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  ASSERT_TRUE((*socket)->Subscribe("mgmt").ok());
  ASSERT_EQ(Ip("link add dm8 type veth peer name dm9"), 0);
  pollfd waiting = {.fd = (*socket)->fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&waiting, 1, 10'000), 1);
  const auto messages = (*socket)->Notifications();
  ASSERT_TRUE(messages.ok()) << messages.status();
  ASSERT_FALSE(messages->empty());
  const NetlinkEvent event = DecodeEvent("netdev", messages->front(),
                                         [](uint32_t ifindex) { return absl::StrCat(ifindex); });
  EXPECT_EQ(event.event, "dev-add-ntf");
  EXPECT_GT(event.ifindex, 0u);
  EXPECT_EQ(event.ifname, absl::StrCat(event.ifindex));
}

}  // namespace
}  // namespace devmem
