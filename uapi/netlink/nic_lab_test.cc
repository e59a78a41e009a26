// SPDX-License-Identifier: Apache-2.0
//
// NicSetup and the clients on a real driver: the first gve interface, as `tools/lab run --program
// devmem_netlink_system_test -- devmem_netlink_system_test` has one (eth0). Needs root; skips
// without such a NIC.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/udmabuf.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/netlink/netdev_client.h"
#include "uapi/netlink/nic_control.h"
#include "uapi/netlink/nic_journal_reader.h"
#include "uapi/netlink/nic_restore.h"
#include "uapi/netlink/nic_setup.h"
#include "uapi/netlink/nic_steps.h"

namespace devmem {
namespace {

constexpr size_t kRegionBytes = 16 << 20;
constexpr std::array<uint32_t, 1> kQueue1 = {1};

// A dma-buf over memory of this process; -1 when the kernel has no udmabuf.
int MakeDmabuf() {
  const int memfd = memfd_create("nic lab test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memfd < 0 || ftruncate(memfd, kRegionBytes) != 0) return -1;
  fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK);
  const int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
  udmabuf_create create = {};
  create.memfd = static_cast<uint32_t>(memfd);
  create.flags = UDMABUF_FLAGS_CLOEXEC;
  create.size = kRegionBytes;
  const int dmabuf = device < 0 ? -1 : ioctl(device, UDMABUF_CREATE, &create);
  close(device);
  close(memfd);
  return dmabuf;
}

std::string FirstGve() {
  for (uint32_t ifindex = 1; ifindex < 16; ++ifindex) {
    char name[IF_NAMESIZE] = {};
    if (if_indextoname(ifindex, name) == nullptr) continue;
    const auto control = OpenNicControl(name, "");
    if (!control.ok()) continue;
    const auto driver = (*control)->Driver();
    if (driver.ok() && driver->driver == "gve") return name;
  }
  return {};
}

void SetUp(const std::string& device, bool up) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::memcpy(request.ifr_name, device.data(), device.size());
  ioctl(fd, SIOCGIFFLAGS, &request);
  const int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
  request.ifr_flags = static_cast<short>(flags);
  ioctl(fd, SIOCSIFFLAGS, &request);
  close(fd);
}

class NicLabTest : public testing::Test {
 protected:
  void SetUp() override {
    device_ = FirstGve();
    if (device_.empty()) GTEST_SKIP() << "no gve interface; see tools/lab";
    dmabuf_ = MakeDmabuf();
    if (dmabuf_ < 0) GTEST_SKIP() << "no /dev/udmabuf, or no right to use it";
    std::string pattern = testing::TempDir() + "nic_lab_XXXXXX";
    folder_ = mkdtemp(pattern.data());
    control_ = *OpenNicControl(device_, "");
    before_ = Settings();
  }
  void TearDown() override {
    if (control_ == nullptr) return;
    EXPECT_EQ(Settings(), before_) << "the NIC is not as it was";
    EXPECT_TRUE(ListJournals(folder_).empty());
    close(dmabuf_);
    std::filesystem::remove_all(folder_);
  }

  NicSetupOptions Options(std::vector<uint32_t> queues) {
    NicSetupOptions options;
    options.device = device_;
    options.queues = std::move(queues);
    options.journal_path = absl::StrCat(folder_, "/", ++journals_, ".journal");
    return options;
  }
  std::unique_ptr<NicSetup> Applied(std::vector<uint32_t> queues) {
    auto setup = NicSetup::Open(Options(std::move(queues)));
    EXPECT_TRUE(setup.ok()) << setup.status().message();
    if (!setup.ok()) return nullptr;
    const absl::Status applied = (*setup)->Apply();
    EXPECT_TRUE(applied.ok()) << applied.message();
    return *std::move(setup);
  }
  // Without the split: gve cannot be told to forget that it was set.
  std::string Settings() {
    const auto channels = control_->Channels();
    const auto tables = control_->RssTables();
    std::string text = absl::StrCat("channels ", channels->rx_queue_count(), " rss ",
                                    absl::StrJoin(tables->front().queues, ","));
    const auto features = control_->Features();
    for (const FeatureState& feature : *features) {
      if (feature.name == "rx-ntuple-filter") absl::StrAppend(&text, " ntuple ", feature.active);
    }
    const auto rules = control_->Rules();
    for (const NtupleRule& rule : *rules) {
      absl::StrAppend(&text, " [", rule.ToString(), "]");
    }
    return text;
  }
  std::optional<uint32_t> BoundTo(uint32_t queue) {
    const auto queues = control_->Queues();
    for (const NetdevQueue& each : *queues) {
      if (each.type == QueueType::kRx && each.id == queue) return each.dmabuf;
    }
    return std::nullopt;
  }

  std::string device_;
  std::string folder_;
  std::string before_;
  int journals_ = 0;
  int dmabuf_ = -1;
  std::unique_ptr<NicControl> control_;
  const FlowMatch listener_ = {.local = ParseIpAddress("192.0.2.2"), .local_port = 5201};
};

TEST_F(NicLabTest, AQueueIsSetApartBoundSteeredAndGivenBack) {
  const auto setup = Applied({1});
  ASSERT_NE(setup, nullptr);
  for (const NicStep& step : setup->plan().steps) std::printf("%s\n", step.ethtool.c_str());
  auto binding = setup->BindRx(dmabuf_, kQueue1);
  ASSERT_TRUE(binding.ok()) << binding.status().message();
  EXPECT_EQ(BoundTo(1), (*binding)->id());
  EXPECT_EQ(BoundTo(0), std::nullopt);

  const auto location = setup->AddRule(listener_, 1);
  ASSERT_TRUE(location.ok()) << location.status().message();
  const auto rule = control_->Rule(*location);
  ASSERT_TRUE(rule.ok()) << rule.status().message();
  EXPECT_EQ(rule->match, listener_);
  EXPECT_EQ(rule->queue, 1u);
  const auto v6 = setup->AddRule({.local = ParseIpAddress("2001:db8::2"), .local_port = 5201}, 1);
  ASSERT_TRUE(v6.ok()) << v6.status().message();
  EXPECT_TRUE(setup->RemoveRule(*v6).ok());
  EXPECT_TRUE(absl::IsNotFound(control_->Rule(*v6).status()));

  binding->reset();
  EXPECT_EQ(BoundTo(1), std::nullopt);
  const absl::Status undone = setup->Undo();
  EXPECT_TRUE(undone.ok()) << undone.message();
}

TEST_F(NicLabTest, PagePoolsTellOfTheBinding) {
  const auto setup = Applied({1});
  ASSERT_NE(setup, nullptr);
  const auto binding = setup->BindRx(dmabuf_, kQueue1);
  ASSERT_TRUE(binding.ok()) << binding.status().message();
  const auto client = NetdevClient::Open();
  ASSERT_TRUE(client.ok());
  const auto pools = (*client)->PagePools(setup->plan().ifindex);
  ASSERT_TRUE(pools.ok()) << pools.status().message();
  uint32_t found = 0;
  for (const PagePool& pool : *pools) {
    if (pool.dmabuf == (*binding)->id() && !pool.detached_at_seconds) ++found;
  }
  EXPECT_EQ(found, 1u);
}

TEST_F(NicLabTest, TwoBindingsOfOneNicEndAlone) {
  const auto setup = Applied({1, 2});
  ASSERT_NE(setup, nullptr);
  auto first = setup->BindRx(dmabuf_, kQueue1);
  ASSERT_TRUE(first.ok()) << first.status().message();
  auto second = setup->BindRx(dmabuf_, std::array{2u});
  ASSERT_TRUE(second.ok()) << second.status().message();
  first->reset();
  EXPECT_EQ(BoundTo(1), std::nullopt);
  EXPECT_EQ(BoundTo(2), (*second)->id());
}

TEST_F(NicLabTest, EachRefusalSaysCauseAndFix) {
  const auto expect = [](const absl::Status& status, absl::StatusCode code, const char* text) {
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_TRUE(absl::StrContains(status.message(), text)) << status.message();
  };
  const auto setup = Applied({1});
  ASSERT_NE(setup, nullptr);
  using absl::StatusCode;
  expect(control_->BindRx(dmabuf_, std::array{0u}).status(), StatusCode::kInvalidArgument,
         "cannot restart queue 0");
  expect(control_->BindRx(dmabuf_, std::array{99u}).status(), StatusCode::kOutOfRange,
         "has no rx queue 99");
  expect(control_->BindRx(-1, kQueue1).status(), StatusCode::kInvalidArgument, "is not open");
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  expect(control_->BindRx(file, kQueue1).status(), StatusCode::kInvalidArgument, "no dma-buf");
  close(file);
  expect(control_->SetHdsThresh(0), StatusCode::kUnimplemented, "has no split threshold");
  {
    const auto binding = control_->BindRx(dmabuf_, kQueue1);
    ASSERT_TRUE(binding.ok()) << binding.status().message();
    expect(control_->BindRx(dmabuf_, kQueue1).status(), StatusCode::kAlreadyExists,
           "somebody else's memory");
    expect(control_->SetDataSplit(DataSplit::kDisabled), StatusCode::kFailedPrecondition,
           "still bound to device memory");
    expect(control_->SetRxChannels(1), StatusCode::kFailedPrecondition, "would go");
    expect(NicSetup::Open(Options({1})).status(), StatusCode::kAlreadyExists, "fills binding");
  }
  ASSERT_TRUE(control_->SetDataSplit(DataSplit::kDisabled).ok());
  expect(control_->BindRx(dmabuf_, kQueue1).status(), StatusCode::kFailedPrecondition,
         "tcp-data-split on");
  ASSERT_TRUE(control_->SetDataSplit(DataSplit::kEnabled).ok());
}

TEST_F(NicLabTest, AnInterfaceThatIsDownIsRefusedAndKeepsItsBindings) {
  const auto setup = Applied({1});
  ASSERT_NE(setup, nullptr);
  {
    const auto binding = setup->BindRx(dmabuf_, kQueue1);
    ASSERT_TRUE(binding.ok()) << binding.status().message();
    devmem::SetUp(device_, false);
    devmem::SetUp(device_, true);
    EXPECT_EQ(BoundTo(1), (*binding)->id());
  }
  devmem::SetUp(device_, false);
  const auto refused = control_->BindRx(dmabuf_, kQueue1);
  EXPECT_TRUE(absl::StrContains(refused.status().message(), "is down")) << refused.status();
  EXPECT_TRUE(absl::StrContains(NicSetup::Open(Options({2})).status().message(), "is down"));
  devmem::SetUp(device_, true);
}

TEST_F(NicLabTest, WhatAKilledOwnerLeavesIsRestored) {
  const pid_t child = fork();
  if (child == 0) {
    const auto setup = Applied({1});
    const bool good = setup != nullptr && setup->BindRx(dmabuf_, kQueue1).ok() &&
                      setup->AddRule(listener_, 1).ok();
    _exit(good ? 0 : 1);  // Nothing is destroyed: as if it were killed.
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(BoundTo(1), std::nullopt);
  EXPECT_NE(Settings(), before_);
  const auto report = RestoreNics({.folder = folder_});
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_TRUE(report->failed.empty()) << absl::StrJoin(report->failed, "\n");
  EXPECT_GE(report->undone.size(), 3u);
}

TEST_F(NicLabTest, ChannelsAreMadeForAQueueThatIsNotThere) {
  const auto channels = control_->Channels();
  ASSERT_TRUE(channels.ok());
  const uint32_t count = channels->rx_queue_count();
  const absl::Status fewer = control_->SetRxChannels(count - 1);
  ASSERT_TRUE(fewer.ok()) << fewer.message();
  {
    const auto setup = Applied({count - 1});
    ASSERT_NE(setup, nullptr);
    EXPECT_EQ(control_->Channels()->rx_queue_count(), count);
    const auto binding = setup->BindRx(dmabuf_, std::array{count - 1});
    EXPECT_TRUE(binding.ok()) << binding.status().message();
  }
  EXPECT_EQ(control_->Channels()->rx_queue_count(), count - 1);
  EXPECT_TRUE(control_->SetRxChannels(count).ok());
}

TEST_F(NicLabTest, ATableThatALowerQueueNeedsIsSpreadOverTheOthers) {
  const auto setup = Applied({1});
  ASSERT_NE(setup, nullptr);
  const auto tables = control_->RssTables();
  ASSERT_TRUE(tables.ok());
  for (const uint32_t queue : tables->front().queues) EXPECT_NE(queue, 1u);
}

}  // namespace
}  // namespace devmem
