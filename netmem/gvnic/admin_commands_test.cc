// SPDX-License-Identifier: Apache-2.0
//
// Every command of the admin queue, as a driver sends it and as a broken one does.

#include "netmem/gvnic/admin_commands.h"

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "netmem/gvnic/flow_rule_commands.h"
#include "selftests/testing/gvnic_driver.h"
#include "selftests/testing/gvnic_ring_driver.h"

namespace devmem {
namespace {

using testing::AdminBody;
using testing::GvnicDriver;
using testing::GvnicGuest;
using testing::kAdminPassed;
using testing::RxDriver;
using testing::TxDriver;

constexpr uint32_t kFailedPrecondition = 0xfffffff5;
constexpr uint32_t kInvalidArgument = 0xfffffff7;
constexpr uint32_t kNotFound = 0xfffffff8;
constexpr uint32_t kOutOfRange = 0xfffffff9;
constexpr uint32_t kUnimplemented = 0xfffffffe;

GvnicOptions Options() {
  GvnicOptions options;
  options.mac = MacAddress({2, 0, 0, 0, 0, 7});
  return options;
}

class AdminCommandsTest : public ::testing::Test {
 protected:
  explicit AdminCommandsTest(const GvnicOptions& options = Options()) {
    auto device = GvnicDevice::Create(options, [] { return Nanos{0}; });
    device_ = *std::move(device);
    EXPECT_TRUE(device_->memory().Map(GvnicGuest::kBase, 8u << 20, guest_.fd(), 0, true).ok());
    driver_ = std::make_unique<GvnicDriver>(GvnicDriver::BusOf(*device_), guest_);
    driver_->Start();
  }

  GvnicGuest guest_;
  std::unique_ptr<GvnicDevice> device_;
  std::unique_ptr<GvnicDriver> driver_;
};

// An rx queue of a device with 8 blocks, whose second half is for receiving.
RxRingConfig RxRing(GvnicGuest& guest, uint32_t queue) {
  RxRingConfig ring = RxDriver(guest, queue).config();
  ring.notify_block = 4 + queue;
  return ring;
}

// Addresses that are not wholly in the guest's memory, for something of `bytes` bytes.
std::vector<uint64_t> WrongAddresses(const GvnicGuest& guest, uint64_t bytes) {
  return {0, guest.kBase - 1, guest.end() - bytes + 1, guest.end(), UINT64_MAX - 1, 1ull << 63};
}

TEST_F(AdminCommandsTest, TheDescriptionTellsSizesAndEveryFeature) {
  const std::vector<uint8_t> bytes = driver_->Describe();
  ASSERT_GE(bytes.size(), 40u);
  EXPECT_EQ(LoadBe16(&bytes[10]), 1024);
  EXPECT_EQ(LoadBe16(&bytes[14]), 4);
  EXPECT_EQ(LoadBe16(&bytes[16]), 1500);
  EXPECT_GT(LoadBe16(&bytes[18]), 0);
  EXPECT_EQ(bytes[29], 7);
  const uint16_t options = LoadBe16(&bytes[30]);
  EXPECT_EQ(options, 5);
  size_t at = 40;
  std::vector<uint16_t> ids;
  for (uint16_t i = 0; i < options; ++i) {
    ids.push_back(LoadBe16(&bytes[at]));
    EXPECT_EQ(LoadBe32(&bytes[at + 4]), 0u);
    EXPECT_EQ(LoadBe32(&bytes[at + 8]), 0x35u);
    at += size_t{8} + LoadBe16(&bytes[at + 2]);
  }
  EXPECT_EQ(at, bytes.size());
  EXPECT_EQ(ids, (std::vector<uint16_t>{0x4, 0x6, 0x8, 0xa, 0xb}));
}

TEST_F(AdminCommandsTest, TheDescriptionNeedsItsVersionItsRoomAndMemory) {
  const uint64_t page = guest_.Alloc(4096);
  const auto describe = [&](uint64_t address, uint32_t version, uint32_t room) {
    return driver_->Command(AdminOpcode::kDescribeDevice,
                            AdminBody().Be64(0, address).Be32(8, version).Be32(12, room));
  };
  EXPECT_EQ(describe(page, 1, 4096), kAdminPassed);
  EXPECT_EQ(describe(page, 2, 4096), kInvalidArgument);
  EXPECT_EQ(describe(page, 1, 40), kInvalidArgument);
  for (const uint64_t address : WrongAddresses(guest_, 64)) {
    EXPECT_EQ(describe(address, 1, 4096), kInvalidArgument) << address;
  }
}

TEST_F(AdminCommandsTest, ResourcesTellTheNumberOfEachInterruptDoorbell) {
  ASSERT_EQ(driver_->ConfigureResources(8), kAdminPassed);
  for (uint32_t block = 0; block < 8; ++block) EXPECT_EQ(driver_->IrqDoorbell(block), block);
  const auto configure = [&](uint64_t array, uint32_t count, uint32_t stride, uint8_t format) {
    return driver_->Command(
        AdminOpcode::kConfigureDeviceResources,
        AdminBody().Be64(8, array).Be32(20, count).Be32(24, stride).Byte(32, format));
  };
  const uint64_t array = guest_.Alloc(4096);
  EXPECT_EQ(configure(array, 9, 64, 3), kOutOfRange);
  EXPECT_EQ(configure(array, UINT32_MAX, 64, 3), kOutOfRange);
  EXPECT_EQ(configure(array, 8, 0, 3), kOutOfRange);
  EXPECT_EQ(configure(array, 8, 64, 1), kUnimplemented);
  EXPECT_EQ(configure(array, 8, UINT32_MAX, 3), kInvalidArgument);
  EXPECT_EQ(configure(guest_.end() - 64, 8, 64, 3), kInvalidArgument);
}

TEST_F(AdminCommandsTest, QueuesNeedResourcesFirst) {
  EXPECT_EQ(driver_->CreateTx(TxDriver(guest_, 0).config()), kFailedPrecondition);
  ASSERT_EQ(driver_->ConfigureResources(8), kAdminPassed);
  uint32_t doorbell = 0;
  EXPECT_EQ(driver_->CreateTx(TxDriver(guest_, 1).config(), &doorbell), kAdminPassed);
  EXPECT_EQ(doorbell, TxDoorbellOf(1));
  EXPECT_EQ(driver_->CreateRx(RxRing(guest_, 2), &doorbell), kAdminPassed);
  EXPECT_EQ(doorbell, RxDoorbellOf(2));
}

TEST_F(AdminCommandsTest, FieldsOfATxQueueThatCannotBeAreRefused) {
  ASSERT_EQ(driver_->ConfigureResources(8), kAdminPassed);
  const TxRingConfig good = TxDriver(guest_, 0).config();
  const uint64_t resources = guest_.Alloc(64, 64);
  const auto create = [&](const AdminBody& body) {
    return driver_->Command(AdminOpcode::kCreateTxQueue, body);
  };
  const auto body = [&] { return GvnicDriver::TxBody(good, resources); };
  EXPECT_EQ(create(body().Be32(0, 4)), kOutOfRange);
  EXPECT_EQ(create(body().Be32(0, UINT32_MAX)), kOutOfRange);
  EXPECT_EQ(create(body().Be32(28, 8)), kOutOfRange);
  EXPECT_EQ(create(body().Be32(24, 0)), kUnimplemented);
  EXPECT_NE(create(body().Be16(40, 63)), kAdminPassed);
  EXPECT_NE(create(body().Be16(40, 0)), kAdminPassed);
  EXPECT_NE(create(body().Be16(42, 0)), kAdminPassed);
  for (const size_t field : {8u, 16u, 32u}) {
    for (const uint64_t address : WrongAddresses(guest_, 64)) {
      EXPECT_NE(create(body().Be64(field, address)), kAdminPassed) << field << " " << address;
    }
  }
  EXPECT_EQ(create(body()), kAdminPassed);
  EXPECT_NE(create(body()), kAdminPassed);
}

TEST_F(AdminCommandsTest, FieldsOfAnRxQueueThatCannotBeAreRefused) {
  ASSERT_EQ(driver_->ConfigureResources(8), kAdminPassed);
  const RxRingConfig good = RxRing(guest_, 0);
  const uint64_t resources = guest_.Alloc(64, 64);
  const auto create = [&](const AdminBody& body) {
    return driver_->Command(AdminOpcode::kCreateRxQueue, body);
  };
  const auto body = [&] { return GvnicDriver::RxBody(good, resources); };
  EXPECT_EQ(create(body().Be32(0, 4)), kOutOfRange);
  EXPECT_EQ(create(body().Be32(12, 8)), kOutOfRange);
  EXPECT_EQ(create(body().Be16(46, 8192)), kOutOfRange);
  EXPECT_EQ(create(body().Be16(52, 257)), kOutOfRange);
  EXPECT_NE(create(body().Be16(46, 0)), kAdminPassed);
  EXPECT_NE(create(body().Be16(48, 0)), kAdminPassed);
  EXPECT_NE(create(body().Be16(44, 100)), kAdminPassed);
  for (const size_t field : {16u, 24u, 32u}) {
    for (const uint64_t address : WrongAddresses(guest_, 64)) {
      EXPECT_NE(create(body().Be64(field, address)), kAdminPassed) << field << " " << address;
    }
  }
  EXPECT_EQ(create(body()), kAdminPassed);
  EXPECT_NE(create(body()), kAdminPassed);
}

TEST_F(AdminCommandsTest, OnlyQueuesThatExistAreDestroyed) {
  ASSERT_EQ(driver_->ConfigureResources(8), kAdminPassed);
  ASSERT_EQ(driver_->CreateRx(RxRing(guest_, 1)), kAdminPassed);
  EXPECT_EQ(driver_->Destroy(AdminOpcode::kDestroyRxQueue, 0), kNotFound);
  EXPECT_EQ(driver_->Destroy(AdminOpcode::kDestroyTxQueue, 1), kNotFound);
  EXPECT_EQ(driver_->Destroy(AdminOpcode::kDestroyRxQueue, 1), kAdminPassed);
  EXPECT_EQ(driver_->Destroy(AdminOpcode::kDestroyRxQueue, 1), kNotFound);
  EXPECT_EQ(driver_->Destroy(AdminOpcode::kDestroyRxQueue, UINT32_MAX), kNotFound);
}

TEST_F(AdminCommandsTest, TheEndOfTheResourcesEndsTheQueuesThatAreLeft) {
  ASSERT_EQ(driver_->ConfigureResources(8), kAdminPassed);
  ASSERT_EQ(driver_->CreateRx(RxRing(guest_, 1)), kAdminPassed);
  ASSERT_EQ(driver_->CreateTx(TxDriver(guest_, 1).config()), kAdminPassed);
  EXPECT_EQ(driver_->Command(AdminOpcode::kDeconfigureDeviceResources), kAdminPassed);
  EXPECT_EQ(driver_->Destroy(AdminOpcode::kDestroyRxQueue, 1), kNotFound);
  EXPECT_EQ(driver_->Destroy(AdminOpcode::kDestroyTxQueue, 1), kNotFound);
}

TEST_F(AdminCommandsTest, ThePacketTypeMapNamesTcpOverBothIpVersions) {
  const uint64_t map = guest_.Alloc(4096);
  const AdminBody body = AdminBody().Be64(0, 2048).Be64(8, map);
  ASSERT_EQ(driver_->Command(AdminOpcode::kGetPacketTypeMap, body), kAdminPassed);
  const uint8_t* const v4 = guest_.At(map + 2 * PacketType(L3Kind::kIpv4, L4Kind::kTcp), 2);
  EXPECT_EQ(v4[0], 2);
  EXPECT_EQ(v4[1], 2);
  const uint8_t* const v6 = guest_.At(map + 2 * PacketType(L3Kind::kIpv6, L4Kind::kUdp), 2);
  EXPECT_EQ(v6[0], 3);
  EXPECT_EQ(v6[1], 3);
  EXPECT_EQ(driver_->Command(AdminOpcode::kGetPacketTypeMap, AdminBody().Be64(0, 16).Be64(8, map)),
            kInvalidArgument);
  EXPECT_EQ(driver_->Command(AdminOpcode::kGetPacketTypeMap,
                             AdminBody().Be64(0, 2048).Be64(8, guest_.end() - 2047)),
            kInvalidArgument);
}

TEST_F(AdminCommandsTest, RssTakesAKeyAndATableAndLeavesOutWhatHasNoSize) {
  const uint64_t key = guest_.Alloc(64);
  const uint64_t table = guest_.Alloc(512);
  const auto configure = [&](uint8_t hash, uint16_t key_bytes, uint16_t entries) {
    return driver_->Command(
        AdminOpcode::kConfigureRss,
        AdminBody().Byte(2, hash).Be16(4, key_bytes).Be16(6, entries).Be64(8, key).Be64(16, table));
  };
  EXPECT_EQ(configure(1, 40, 128), kAdminPassed);
  EXPECT_EQ(configure(1, 0, 128), kAdminPassed);
  EXPECT_EQ(configure(1, 40, 0), kAdminPassed);
  EXPECT_EQ(configure(0, 0, 0), kAdminPassed);
  EXPECT_EQ(configure(2, 40, 128), kUnimplemented);
  EXPECT_NE(configure(1, 39, 128), kAdminPassed);
  EXPECT_NE(configure(1, 40, 127), kAdminPassed);
  EXPECT_EQ(configure(1, UINT16_MAX, UINT16_MAX), kInvalidArgument);
  StoreBe32(guest_.At(table + 4 * 127, 4), 4);
  EXPECT_EQ(configure(1, 40, 128), kOutOfRange);
}

TEST_F(AdminCommandsTest, TheLinksSpeedAndTheDriversIntroductionAreAnswered) {
  const uint64_t at = guest_.Alloc(512);
  EXPECT_EQ(driver_->Command(AdminOpcode::kReportLinkSpeed, AdminBody().Be64(0, at)), kAdminPassed);
  EXPECT_EQ(LoadBe64(guest_.At(at, 8)), 100'000u);
  EXPECT_EQ(driver_->Command(AdminOpcode::kReportLinkSpeed, AdminBody().Be64(0, guest_.end() - 7)),
            kInvalidArgument);
  EXPECT_EQ(driver_->Command(AdminOpcode::kReportStats), kAdminPassed);
  const auto introduce = [&](uint64_t bytes, uint64_t address) {
    return driver_->Command(AdminOpcode::kVerifyDriverCompatibility,
                            AdminBody().Be64(0, bytes).Be64(8, address));
  };
  EXPECT_EQ(introduce(304, at), kAdminPassed);
  EXPECT_EQ(introduce(8, at), kInvalidArgument);
  EXPECT_EQ(introduce(UINT64_MAX, guest_.end() - 303), kInvalidArgument);
}

TEST_F(AdminCommandsTest, OpcodesThatAreNotOfTheFormatAreUnimplemented) {
  for (uint32_t opcode = 0; opcode <= 0x200; ++opcode) {
    if (AdminOpcodeName(opcode) != std::string("unknown")) continue;
    EXPECT_EQ(driver_->Command(static_cast<AdminOpcode>(opcode)), kUnimplemented) << opcode;
  }
  EXPECT_EQ(driver_->Command(AdminOpcode::kConfigureFlowRule), kUnimplemented);
  const std::vector<uint8_t> rule(kFlowRuleCommandBytes);
  EXPECT_EQ(driver_->Extended(static_cast<AdminOpcode>(1), rule), kUnimplemented);
  EXPECT_EQ(driver_->Extended(AdminOpcode::kConfigureFlowRule, rule), kAdminPassed);
  EXPECT_EQ(driver_->Extended(AdminOpcode::kConfigureFlowRule, std::span(rule).first(91)),
            kInvalidArgument);
}

class FeaturelessTest : public AdminCommandsTest {
 protected:
  static GvnicOptions Bare() {
    GvnicOptions options = Options();
    options.header_buffer_bytes = 0;
    options.flow_rules_max = 0;
    options.jumbo_frames = false;
    options.ring_sizes_change = false;
    return options;
  }
  FeaturelessTest() : AdminCommandsTest(Bare()) {}
};

TEST_F(FeaturelessTest, FeaturesThatAreTakenAwayAreNeitherOfferedNorDone) {
  const std::vector<uint8_t> bytes = driver_->Describe();
  EXPECT_EQ(LoadBe16(&bytes[30]), 2);
  EXPECT_EQ(LoadBe32(&bytes[48]), 0x10u);
  EXPECT_EQ(LoadBe16(&bytes[bytes.size() - 2]), 0);
  ASSERT_EQ(driver_->ConfigureResources(8), kAdminPassed);
  RxRingConfig ring = RxRing(guest_, 0);
  ring.header_bytes = 256;
  EXPECT_EQ(driver_->CreateRx(ring), kOutOfRange);
  const std::vector<uint8_t> reset(92, 0);
  EXPECT_EQ(driver_->Extended(AdminOpcode::kConfigureFlowRule, reset), kUnimplemented);
  EXPECT_EQ(driver_->Command(AdminOpcode::kQueryFlowRules), kUnimplemented);
}

}  // namespace
}  // namespace devmem
