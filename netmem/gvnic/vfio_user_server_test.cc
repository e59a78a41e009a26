// SPDX-License-Identifier: Apache-2.0
//
// A virtual gVNIC behind its socket: what QEMU asks while it starts, what a broken client asks, and
// clients that go away.

#include "netmem/gvnic/vfio_user_server.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "netmem/gvnic/gvnic_device.h"
#include "selftests/testing/gvnic_driver.h"
#include "selftests/testing/gvnic_guest.h"
#include "selftests/testing/vfio_user_client.h"

namespace devmem {
namespace {

using testing::GvnicDriver;
using testing::GvnicGuest;
using testing::kAdminPassed;
using testing::SendWithFds;
using testing::VfioUserBytes;
using testing::VfioUserClient;

class VfioUserServerTest : public ::testing::Test {
 protected:
  VfioUserServerTest() {
    char folder[] = "/tmp/gvnic-test-XXXXXX";
    folder_ = ::mkdtemp(folder);
    path_ = folder_ + "/socket";
    loop_ = *EventLoop::Create();
    GvnicOptions options;
    options.mac = MacAddress({2, 0, 0, 0, 0, 1});
    device_ = *GvnicDevice::Create(options, [] { return Nanos{0}; });
    server_ = *VfioUserServer::Create(*loop_, path_, *device_);
  }
  ~VfioUserServerTest() override {
    server_.reset();
    EXPECT_FALSE(std::filesystem::exists(path_));
    std::filesystem::remove_all(folder_);
  }

  VfioUserClient Connect() {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_TRUE(loop_->RunOnce(0).ok());
    return VfioUserClient(*loop_, std::move(socket));
  }
  void ShareMemory(VfioUserClient& client) {
    const VfioUserDmaMap map{
        .argument_bytes = 32, .flags = 3, .address = GvnicGuest::kBase, .bytes = 8u << 20};
    const int fds[] = {guest_.fd()};
    ASSERT_EQ(client.Call(VfioUserCommand::kDmaMap, map, fds)->error, 0u);
  }

  std::string folder_;
  std::string path_;
  GvnicGuest guest_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<GvnicDevice> device_;
  std::unique_ptr<VfioUserServer> server_;
};

TEST_F(VfioUserServerTest, QemusQuestionsAreAnswered) {
  VfioUserClient client = Connect();
  client.Greet();
  const auto info = client.Call(VfioUserCommand::kDeviceGetInfo, VfioUserDeviceInfo{});
  EXPECT_EQ(LoadVfioUser<VfioUserDeviceInfo>(info->body)->region_count, 9u);
  for (uint32_t region = 0; region < kVfioPciRegions; ++region) {
    VfioUserRegionInfo asked{.argument_bytes = 32, .region = region};
    const auto answer = client.Call(VfioUserCommand::kGetRegionInfo, asked);
    const uint64_t bytes = LoadVfioUser<VfioUserRegionInfo>(answer->body)->bytes;
    EXPECT_EQ(bytes, region < 3 ? 4096u : region == 7 ? 256u : 0u) << region;
  }
  VfioUserIrqInfo irq{.argument_bytes = 16, .irq = kVfioMsixIrq};
  EXPECT_EQ(
      LoadVfioUser<VfioUserIrqInfo>(client.Call(VfioUserCommand::kGetIrqInfo, irq)->body)->count,
      9u);
  const VfioUserRegionAccess config{.offset = 0, .region = 7, .bytes = 256};
  const auto space = client.Call(VfioUserCommand::kRegionRead, config);
  ASSERT_EQ(space->body.size(), 16u + 256u);
  EXPECT_EQ(space->body[16], 0xe0);
  EXPECT_EQ(client.Call(VfioUserCommand::kDeviceReset, std::span<const uint8_t>())->error, 0u);
}

TEST_F(VfioUserServerTest, ADriverIsServedThroughTheSocketAndItsInterruptsArrive) {
  VfioUserClient client = Connect();
  client.Greet();
  ShareMemory(client);
  const UniqueFd eventfd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const int fds[] = {eventfd.get()};
  const VfioUserSetIrqs set{.argument_bytes = 20, .flags = 0x24, .irq = 2, .start = 8, .count = 1};
  ASSERT_EQ(client.Call(VfioUserCommand::kSetIrqs, set, fds)->error, 0u);
  GvnicDriver driver(
      {[&](uint32_t region, uint64_t offset, std::span<uint8_t> out) {
         const VfioUserRegionAccess access{offset, region, static_cast<uint32_t>(out.size())};
         const auto answer = client.Call(VfioUserCommand::kRegionRead, access);
         std::memcpy(out.data(), answer->body.data() + 16, out.size());
       },
       [&](uint32_t region, uint64_t offset, std::span<const uint8_t> in) {
         client.Post(region, offset, in);
       }},
      guest_);
  driver.Start();
  driver.Put(static_cast<uint32_t>(AdminOpcode::kReportStats));
  driver.Ring();
  EXPECT_EQ(driver.event_counter(), 1u);
  EXPECT_EQ(driver.StatusOf(0), kAdminPassed);
  device_->SetLink(false);
  EXPECT_EQ(driver.device_status() & 4u, 0u);
  uint64_t signals = 0;
  EXPECT_EQ(::read(eventfd.get(), &signals, sizeof(signals)), 8);
}

TEST_F(VfioUserServerTest, ASecondClientFindsAClosedDoor) {
  VfioUserClient first = Connect();
  first.Greet();
  VfioUserClient second = Connect();
  const std::vector<uint8_t> none;
  uint8_t byte;
  EXPECT_EQ(::recv(second.fd(), &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_EQ(first.Call(VfioUserCommand::kDeviceReset, none)->error, 0u);
  EXPECT_EQ(server_->stats().clients_turned_away, 1u);
}

TEST_F(VfioUserServerTest, AClientThatDiesInMidTransferLeavesNothingAndTheNextOneIsServed) {
  VfioUserClient client = Connect();
  client.Greet();
  ShareMemory(client);
  GvnicDriver driver(GvnicDriver::BusOf(*device_), guest_);
  driver.Start();
  ASSERT_EQ(driver.ConfigureResources(8), kAdminPassed);
  ASSERT_EQ(device_->memory().range_count(), 1u);
  const std::vector<uint8_t> half =
      VfioUserBytes(VfioUserCommand::kDmaMap, std::vector<uint8_t>(8));
  SendWithFds(client.fd(), std::span(half).first(18));
  client.Close();
  while (server_->has_client()) ASSERT_TRUE(loop_->RunOnce(0).ok());
  EXPECT_EQ(device_->memory().range_count(), 0u);
  EXPECT_NE(server_->last_end().find("within a message"), std::string::npos);
  VfioUserClient next = Connect();
  next.Greet();
  EXPECT_EQ(next.Call(VfioUserCommand::kDeviceGetInfo, VfioUserDeviceInfo{})->error, 0u);
}

TEST_F(VfioUserServerTest, WhatIsWrongIsRefusedAndTheConnectionGoesOn) {
  VfioUserClient client = Connect();
  const std::vector<uint8_t> none;
  EXPECT_EQ(client.Call(VfioUserCommand::kDeviceReset, none)->error, uint32_t{EINVAL});
  client.Greet();
  const auto error = [&](VfioUserCommand command, const auto& body) {
    return client.Call(command, body)->error;
  };
  EXPECT_EQ(error(static_cast<VfioUserCommand>(99), none), uint32_t{ENOTSUP});
  EXPECT_EQ(error(VfioUserCommand::kDmaMap, none), uint32_t{EINVAL});
  EXPECT_EQ(error(VfioUserCommand::kDmaUnmap, VfioUserDmaUnmap{.address = 5, .bytes = 5}),
            uint32_t{ENOENT});
  EXPECT_EQ(error(VfioUserCommand::kGetRegionInfo, VfioUserRegionInfo{.region = 9}),
            uint32_t{EINVAL});
  EXPECT_EQ(error(VfioUserCommand::kGetIrqInfo, VfioUserIrqInfo{.irq = 5}), uint32_t{EINVAL});
  for (const VfioUserRegionAccess access :
       {VfioUserRegionAccess{4093, 0, 4}, VfioUserRegionAccess{UINT64_MAX, 0, 4},
        VfioUserRegionAccess{0, 3, 1}, VfioUserRegionAccess{0, UINT32_MAX, 1},
        VfioUserRegionAccess{0, 0, UINT32_MAX}, VfioUserRegionAccess{256, 7, 1}}) {
    EXPECT_EQ(error(VfioUserCommand::kRegionRead, access), uint32_t{EINVAL});
    EXPECT_EQ(error(VfioUserCommand::kRegionWrite, access), uint32_t{EINVAL});
  }
  // A write whose bytes are not there.
  EXPECT_EQ(error(VfioUserCommand::kRegionWrite, VfioUserRegionAccess{0, 0, 4}), uint32_t{EINVAL});
  EXPECT_EQ(error(VfioUserCommand::kRegionRead, VfioUserRegionAccess{4096, 0, 0}), 0u);
  EXPECT_GT(server_->stats().refused_messages, 10u);
}

TEST_F(VfioUserServerTest, VectorsOutsideTheDeviceAreRefused) {
  VfioUserClient client = Connect();
  client.Greet();
  const auto set = [&](uint32_t flags, uint32_t irq, uint32_t start, uint32_t count,
                       std::vector<int> fds = {}) {
    const VfioUserSetIrqs body{20, flags, irq, start, count};
    return client.Call(VfioUserCommand::kSetIrqs, body, fds)->error;
  };
  const UniqueFd eventfd(::eventfd(0, EFD_CLOEXEC));
  const int fd = eventfd.get();
  EXPECT_EQ(set(0x24, 2, 0, 1, {fd}), 0u);
  EXPECT_EQ(set(0x24, 2, 7, 2, {fd, fd}), 0u);
  EXPECT_EQ(set(0x24, 2, 8, 2, {fd, fd}), uint32_t{EINVAL});
  EXPECT_EQ(set(0x24, 2, UINT32_MAX, 2, {fd, fd}), uint32_t{EINVAL});
  EXPECT_EQ(set(0x24, 2, 0, UINT32_MAX), uint32_t{EINVAL});
  EXPECT_EQ(set(0x24, 2, 0, 2, {fd}), uint32_t{EINVAL});
  EXPECT_EQ(set(0x24, 0, 0, 1, {fd}), uint32_t{EINVAL});
  EXPECT_EQ(set(0x0c, 2, 0, 1), uint32_t{ENOTSUP});
  EXPECT_EQ(set(0x22, 2, 0, 1), uint32_t{ENOTSUP});
  EXPECT_EQ(set(0x24, 2, 0, 1), 0u);
  EXPECT_EQ(set(0x21, 2, 0, 0), 0u);
  EXPECT_EQ(set(0x21, 3, 0, 0), 0u);
}

TEST_F(VfioUserServerTest, AnswersThatCannotBeUnderstoodEndTheConnection) {
  VfioUserClient client = Connect();
  client.Greet();
  SendWithFds(client.fd(), VfioUserBytes(VfioUserCommand::kDeviceReset, {}, 1));
  SendWithFds(client.fd(), std::vector<uint8_t>(16, 0xff));
  while (server_->has_client()) ASSERT_TRUE(loop_->RunOnce(0).ok());
  EXPECT_EQ(server_->stats().refused_messages, 1u);
}

TEST_F(VfioUserServerTest, APathInUseIsRefusedAndAnAbandonedOneIsTakenOver) {
  EXPECT_EQ(VfioUserServer::Create(*loop_, path_, *device_).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(VfioUserServer::Create(*loop_, std::string(200, 'x'), *device_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(VfioUserServer::Create(*loop_, folder_, *device_).status().code(),
            absl::StatusCode::kAlreadyExists);
  const std::string abandoned = folder_ + "/abandoned";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, abandoned.data(), abandoned.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socket.Reset();
  EXPECT_TRUE(VfioUserServer::Create(*loop_, abandoned, *device_).ok());
}

}  // namespace
}  // namespace devmem
