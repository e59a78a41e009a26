// SPDX-License-Identifier: Apache-2.0
// PciSysfs over a /sys of our own.
#include "provider/pci_sysfs.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace devmem {
namespace {

constexpr char kPort[] = "0000:02:00.0";

class PciSysfsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "devmem_sysfs_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::filesystem::path Device() { return root_ / "bus/pci/devices" / kPort; }
  void WriteFile(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  // An entry of the list of extended capabilities, version 1.
  static void PutCapability(std::string* config, size_t offset, uint32_t id, size_t next) {
    const uint32_t header = id | 1u << 16 | static_cast<uint32_t>(next) << 20;
    for (size_t i = 0; i < 4; ++i) (*config)[offset + i] = static_cast<char>(header >> (8 * i));
  }
  AcsState AcsWithControl(uint8_t control) {
    std::string config(4096, '\0');
    PutCapability(&config, 0x100, 0x0001, 0x140);  // Advanced error reporting comes first.
    PutCapability(&config, 0x140, 0x000d, 0);
    config[0x146] = static_cast<char>(control);
    WriteFile(Device() / "config", config);
    return Sysfs().Acs(kPort);
  }
  PciSysfs Sysfs() { return PciSysfs(root_.string()); }

  std::filesystem::path root_;
};

TEST_F(PciSysfsTest, EachBitThatTurnsTransfersUpwardsIsARedirect) {
  EXPECT_EQ(AcsWithControl(0), AcsState::kDirect);
  // Source validation and translation blocking let peers talk, as do upstream forwarding and direct
  // translated requests.
  EXPECT_EQ(AcsWithControl(1u << 0 | 1u << 1 | 1u << 4 | 1u << 6), AcsState::kDirect);
  EXPECT_EQ(AcsWithControl(1u << 2), AcsState::kRedirected);
  EXPECT_EQ(AcsWithControl(1u << 3), AcsState::kRedirected);
  EXPECT_EQ(AcsWithControl(1u << 5), AcsState::kRedirected);
}

TEST_F(PciSysfsTest, APortWithoutAcsRedirectsNothing) {
  std::string config(4096, '\0');
  PutCapability(&config, 0x100, 0x0001, 0);
  WriteFile(Device() / "config", config);
  EXPECT_EQ(Sysfs().Acs(kPort), AcsState::kDirect);
  WriteFile(Device() / "config", std::string(256, '\0'));  // Conventional PCI.
  EXPECT_EQ(Sysfs().Acs(kPort), AcsState::kDirect);
}

TEST_F(PciSysfsTest, WhatLinuxHidesIsUnknown) {
  EXPECT_EQ(Sysfs().Acs(kPort), AcsState::kUnknown);
  WriteFile(Device() / "config", std::string(64, '\0'));
  EXPECT_EQ(Sysfs().Acs(kPort), AcsState::kUnknown);
}

TEST_F(PciSysfsTest, ARingOfCapabilitiesEnds) {
  std::string config(4096, '\0');
  PutCapability(&config, 0x100, 0x0001, 0x140);
  PutCapability(&config, 0x140, 0x0002, 0x100);
  WriteFile(Device() / "config", config);
  EXPECT_EQ(Sysfs().Acs(kPort), AcsState::kDirect);
  PutCapability(&config, 0x140, 0x0002, 0xffc);  // The end of the space cuts an entry.
  WriteFile(Device() / "config", config);
  EXPECT_EQ(Sysfs().Acs(kPort), AcsState::kDirect);
}

TEST_F(PciSysfsTest, TheIommuGroupSaysHowADeviceIsTranslated) {
  EXPECT_EQ(Sysfs().IommuType(kPort), std::nullopt);
  WriteFile(Device() / "iommu_group" / "type", "DMA-FQ\n");
  EXPECT_EQ(Sysfs().IommuType(kPort), "DMA-FQ");
  std::filesystem::remove(Device() / "iommu_group" / "type");
  EXPECT_EQ(Sysfs().IommuType(kPort), "unknown");
}

TEST_F(PciSysfsTest, MemoryForPeersIsAFolder) {
  EXPECT_FALSE(Sysfs().HasP2pMemory(kPort));
  WriteFile(Device() / "p2pmem" / "size", "1048576\n");
  EXPECT_TRUE(Sysfs().HasP2pMemory(kPort));
}

TEST_F(PciSysfsTest, ANicWithoutADeviceIsVirtual) {
  EXPECT_TRUE(Sysfs().VirtualNics().empty());
  WriteFile(root_ / "class/net/tap1/mtu", "1500\n");
  WriteFile(root_ / "class/net/lo/mtu", "65536\n");
  WriteFile(root_ / "class/net/eth0/device/vendor", "0x15b3\n");
  WriteFile(root_ / "class/net/bonding_masters", "\n");
  EXPECT_EQ(Sysfs().VirtualNics(), (std::vector<std::string>{"lo", "tap1"}));
}

}  // namespace
}  // namespace devmem
