// SPDX-License-Identifier: Apache-2.0
//
// Configuration space, BAR0 and the numbers of the doorbells: what a driver reads, and what of its
// writes stays.

#include "netmem/gvnic/registers.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/gvnic/doorbells.h"
#include "netmem/gvnic/pci_config.h"
#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

uint32_t Read32(const Registers& registers, uint64_t offset) {
  std::array<uint8_t, 4> bytes;
  registers.Read(offset, bytes);
  return LoadBe32(bytes.data());
}

Registers::Event Write32(Registers& registers, uint64_t offset, uint32_t value) {
  std::array<uint8_t, 4> bytes;
  StoreBe32(bytes.data(), value);
  return registers.Write(offset, bytes);
}

TEST(RegistersTest, StatusAndQueueCountsAreReadBigEndian) {
  Registers registers(4, 6);
  EXPECT_EQ(Read32(registers, 0x00), 1u << 2);
  EXPECT_EQ(Read32(registers, 0x08), 4u);
  EXPECT_EQ(Read32(registers, 0x0c), 6u);
  registers.set_is_reset(true);
  registers.set_link_up(false);
  registers.set_reset_requested(true);
  EXPECT_EQ(Read32(registers, 0x00), 1u << 4 | 1u << 1);
}

TEST(RegistersTest, RunAndResetAndTheDoorbellAreEvents) {
  Registers registers(1, 1);
  EXPECT_EQ(Write32(registers, 0x04, 1), Registers::Event::kRun);
  EXPECT_EQ(Write32(registers, 0x04, 2), Registers::Event::kReset);
  EXPECT_EQ(Write32(registers, 0x04, 3), Registers::Event::kReset);
  EXPECT_EQ(Write32(registers, 0x04, 0), Registers::Event::kNone);
  EXPECT_EQ(Write32(registers, 0x14, 9), Registers::Event::kAdminDoorbell);
  EXPECT_EQ(registers.admin_commands_announced(), 9u);
}

TEST(RegistersTest, TheAdminQueuesAddressComesInTwoHalves) {
  Registers registers(1, 1);
  Write32(registers, 0x20, 0x12);
  Write32(registers, 0x24, 0x3456f000);
  EXPECT_EQ(registers.admin_queue_address(), 0x123456f000u);
  registers.ForgetAdminQueue();
  EXPECT_EQ(registers.admin_queue_address(), 0u);
}

TEST(RegistersTest, RevisionZeroStartsByAPageNumberAndStopsByZero) {
  Registers registers(1, 1);
  EXPECT_EQ(Write32(registers, 0x10, 0x345), Registers::Event::kRun);
  EXPECT_EQ(registers.admin_queue_address(), 0x345000u);
  EXPECT_EQ(Read32(registers, 0x10), 0x345u);
  EXPECT_EQ(Write32(registers, 0x10, 0), Registers::Event::kReset);
  EXPECT_EQ(Read32(registers, 0x10), 0u);
}

TEST(RegistersTest, TheDriversVersionIsCollectedByteByByteWithinBounds) {
  Registers registers(1, 1);
  for (int round = 0; round < 2; ++round) {
    for (const char c : std::string("GVE-1.0.0\n")) {
      const std::array<uint8_t, 1> byte = {static_cast<uint8_t>(c)};
      registers.Write(0x1f, byte);
    }
    EXPECT_EQ(registers.driver_version(), "GVE-1.0.0");
  }
  for (int i = 0; i < 1000; ++i) registers.Write(0x1f, std::array<uint8_t, 1>{7});
  EXPECT_EQ(registers.driver_version(), std::string(128, '?'));
}

TEST(RegistersTest, AccessesOfOddSizeOrPlaceChangeNothing) {
  Registers registers(1, 1);
  EXPECT_EQ(registers.Write(0x04, std::array<uint8_t, 2>{0, 1}), Registers::Event::kNone);
  EXPECT_EQ(registers.Write(0x05, std::array<uint8_t, 4>{1, 1, 1, 1}), Registers::Event::kNone);
  EXPECT_EQ(registers.Write(0x00, std::array<uint8_t, 4>{255, 255, 255, 255}),
            Registers::Event::kNone);
  EXPECT_EQ(Read32(registers, 0x00), 1u << 2);
  std::vector<uint8_t> all(kBarBytes, 0xee);
  registers.Read(0, all);
  EXPECT_EQ(all.back(), 0);
}

TEST(PciConfigTest, TellsGooglesNicWithItsThreeBarsAndMsix) {
  PciConfig config(1, 9);
  std::array<uint8_t, kPciConfigBytes> bytes;
  config.Read(0, bytes);
  EXPECT_EQ(bytes[0] | bytes[1] << 8, 0x1ae0);
  EXPECT_EQ(bytes[2] | bytes[3] << 8, 0x0042);
  EXPECT_EQ(bytes[6] & 0x10, 0x10);
  EXPECT_EQ(bytes[8], 1);
  EXPECT_EQ(bytes[0xb], 2);
  ASSERT_EQ(bytes[0x34], 0x40);
  EXPECT_EQ(bytes[0x40], 0x11);
  EXPECT_EQ(bytes[0x41], 0);
  EXPECT_EQ(bytes[0x42] | bytes[0x43] << 8, 8);
  EXPECT_EQ(bytes[0x44] & 7, 1);
}

TEST(PciConfigTest, BarsTellTheirSizeAndAbsentOnesStayZero) {
  PciConfig config(1, 9);
  const std::array<uint8_t, 4> ones = {0xff, 0xff, 0xff, 0xff};
  for (uint32_t bar = 0; bar < 6; ++bar) {
    config.Write(0x10 + 4 * bar, ones);
    std::array<uint8_t, 4> bytes;
    config.Read(0x10 + 4 * bar, bytes);
    uint32_t value;
    std::memcpy(&value, bytes.data(), sizeof(value));
    EXPECT_EQ(value, bar < 3 ? ~(kBarBytes - 1) : 0) << bar;
  }
  config.Reset();
  std::array<uint8_t, 4> bytes;
  config.Read(0x10, bytes);
  EXPECT_EQ(bytes, (std::array<uint8_t, 4>{}));
}

TEST(PciConfigTest, WritesToEverythingChangeOnlyWhatSoftwareMayChange) {
  PciConfig config(1, 33);
  std::array<uint8_t, kPciConfigBytes> before;
  config.Read(0, before);
  config.Write(0, std::array<uint8_t, kPciConfigBytes>{});
  std::array<uint8_t, kPciConfigBytes> after;
  config.Read(0, after);
  EXPECT_EQ(before, after);
  std::array<uint8_t, kPciConfigBytes> ones;
  ones.fill(0xff);
  config.Write(0, ones);
  config.Read(0, after);
  EXPECT_EQ(after[4] | after[5] << 8, 0x546);
  EXPECT_EQ(after[0x42] | after[0x43] << 8, 0xc000 | 32);
  EXPECT_EQ(after[0], before[0]);
  EXPECT_EQ(after[0x40], before[0x40]);
}

TEST(DoorbellsTest, EveryOffsetIsOneDoorbellOrNone) {
  uint32_t interrupts = 0;
  uint32_t queues = 0;
  for (uint64_t offset = 0; offset < kBarBytes + 8; ++offset) {
    const std::optional<DoorbellTarget> target = DoorbellAt(offset);
    if (!target) continue;
    ASSERT_EQ(offset % 4, 0u);
    ++(target->kind == DoorbellKind::kInterrupt ? interrupts : queues);
  }
  EXPECT_EQ(interrupts, kGvnicNotifyBlocksMax);
  EXPECT_EQ(queues, 2 * kGvnicQueuesMax);
  EXPECT_EQ(DoorbellAt(4 * TxDoorbellOf(3))->kind, DoorbellKind::kTx);
  EXPECT_EQ(DoorbellAt(4 * RxDoorbellOf(5))->index, 5u);
}

}  // namespace
}  // namespace devmem
