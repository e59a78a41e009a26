// SPDX-License-Identifier: Apache-2.0
//
// The life of a device under a driver: probe, open, traffic to a second device, queue restart,
// reset, removal; and guests that write anywhere.

#include "netmem/gvnic/gvnic_device.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "netmem/gvnic/device_port.h"
#include "netmem/gvnic/pair_link.h"
#include "netmem/nic/impairment.h"
#include "selftests/testing/gvnic_driver.h"
#include "selftests/testing/gvnic_ring_driver.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using testing::AdminBody;
using testing::GvnicDriver;
using testing::GvnicGuest;
using testing::kAdminPassed;
using testing::RxDriver;
using testing::TxDriver;

constexpr uint32_t kStatusReset = 1u << 4;
constexpr uint32_t kStatusResetRequested = 1u << 1;
constexpr uint32_t kQueues = 2;
constexpr uint32_t kArm = 1;

// A machine with one device, its driver, a tx and an rx queue.
struct Machine {
  explicit Machine(uint8_t number) {
    GvnicOptions options;
    options.mac = MacAddress({2, 0, 0, 0, 0, number});
    options.queues = kQueues;
    device = *GvnicDevice::Create(options, [] { return Nanos{0}; });
    EXPECT_TRUE(device->memory().Map(GvnicGuest::kBase, 8u << 20, guest.fd(), 0, true).ok());
    driver = std::make_unique<GvnicDriver>(GvnicDriver::BusOf(*device), guest);
    for (uint32_t vector = 0; vector < device->vector_count(); ++vector) {
      vectors.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
      device->SetVector(vector, UniqueFd(::dup(vectors.back().get())));
    }
  }
  void Probe() {
    driver->Start();
    EXPECT_FALSE(driver->Describe().empty());
    EXPECT_EQ(driver->ConfigureResources(2 * kQueues), kAdminPassed);
  }
  void Open() {
    tx = std::make_unique<TxDriver>(guest, 0);
    EXPECT_EQ(driver->CreateTx(tx->config(), &tx_doorbell), kAdminPassed);
    OpenRx();
  }
  void OpenRx() {
    rx = std::make_unique<RxDriver>(guest, 0);
    RxRingConfig ring = rx->config();
    ring.notify_block = kQueues;
    EXPECT_EQ(driver->CreateRx(ring, &rx_doorbell), kAdminPassed);
    rx->Post(32);
    driver->WriteDoorbell(rx_doorbell, rx->tail());
    driver->WriteDoorbell(kQueues, kArm);
  }
  uint64_t Interrupts(uint32_t vector) {
    uint64_t count = 0;
    return ::read(vectors[vector].get(), &count, sizeof(count)) == 8 ? count : 0;
  }
  void Send(std::span<const uint8_t> frame) {
    tx->Send(frame, 1);
    driver->WriteDoorbell(tx_doorbell, tx->tail());
  }

  GvnicGuest guest;
  std::unique_ptr<GvnicDevice> device;
  std::unique_ptr<GvnicDriver> driver;
  std::vector<UniqueFd> vectors;
  std::unique_ptr<TxDriver> tx;
  std::unique_ptr<RxDriver> rx;
  uint32_t tx_doorbell = 0;
  uint32_t rx_doorbell = 0;
};

class GvnicDeviceTest : public ::testing::Test {
 protected:
  GvnicDeviceTest() {
    Machine* const machines[] = {&a_, &b_};
    DevicePort* const ports[] = {&to_a_, &to_b_};
    for (uint32_t end = 0; end < 2; ++end) {
      machines[end]->device->data_path().SetPort(&link_.end(end));
      link_.SetReceiver(end, ports[end]);
    }
  }
  void Deliver() {
    while (link_.Deliver()) {
    }
  }
  // How many packets the other machine got.
  size_t Exchange(Machine& from, Machine& to) {
    const std::vector<uint8_t> frame(100, 0x11);
    from.Send(frame);
    Deliver();
    return to.rx->TakePackets().size();
  }

  Machine a_{1};
  Machine b_{2};
  DevicePort to_a_{a_.device->data_path()};
  DevicePort to_b_{b_.device->data_path()};
  PairLink link_;
};

TEST_F(GvnicDeviceTest, PacketsGoFromDriverToDriverAndInterruptTheReceiver) {
  for (Machine* machine : {&a_, &b_}) {
    machine->Probe();
    machine->Open();
  }
  EXPECT_EQ(Exchange(a_, b_), 1u);
  EXPECT_EQ(b_.Interrupts(kQueues), 1u);
  EXPECT_FALSE(a_.tx->TakeCompletions().empty());
  EXPECT_EQ(Exchange(b_, a_), 1u);
  EXPECT_EQ(a_.Interrupts(kQueues), 1u);
}

TEST_F(GvnicDeviceTest, AQueueIsRestartedAloneWhileTheOthersGoOn) {
  for (Machine* machine : {&a_, &b_}) {
    machine->Probe();
    machine->Open();
  }
  ASSERT_EQ(b_.driver->Destroy(AdminOpcode::kDestroyRxQueue, 0), kAdminPassed);
  const std::vector<uint8_t> old_ring = b_.guest.Bytes(b_.rx->config().completion_ring, 64);
  const std::vector<uint8_t> frame(100, 0x11);
  a_.Send(frame);
  Deliver();
  // Nothing of a destroyed queue is written: its memory is the guest's again.
  EXPECT_EQ(b_.guest.Bytes(b_.rx->config().completion_ring, 64), old_ring);
  b_.OpenRx();
  EXPECT_EQ(Exchange(a_, b_), 1u);
  EXPECT_EQ(Exchange(b_, a_), 1u);
}

TEST_F(GvnicDeviceTest, AResetDropsEverythingAndTheDriverMayBeginAnew) {
  a_.Probe();
  a_.Open();
  EXPECT_EQ(a_.driver->device_status() & kStatusReset, 0u);
  a_.driver->Reset();
  EXPECT_EQ(a_.driver->device_status() & kStatusReset, kStatusReset);
  EXPECT_EQ(a_.driver->event_counter(), 0u);
  a_.driver->WriteDoorbell(a_.rx_doorbell, 0);
  a_.driver->Put(static_cast<uint32_t>(AdminOpcode::kReportStats));
  a_.driver->Ring();
  EXPECT_EQ(a_.driver->event_counter(), 0u);
  a_.Probe();
  EXPECT_EQ(a_.driver->device_status() & kStatusReset, 0u);
  a_.Open();
  b_.Probe();
  b_.Open();
  EXPECT_EQ(Exchange(a_, b_), 1u);
}

TEST_F(GvnicDeviceTest, ARequestedResetIsSeenUntilTheDriverResets) {
  a_.Probe();
  a_.device->RequestReset();
  EXPECT_EQ(a_.Interrupts(2 * kQueues), 1u);
  EXPECT_NE(a_.driver->device_status() & kStatusResetRequested, 0u);
  a_.driver->Reset();
  EXPECT_EQ(a_.driver->device_status() & kStatusResetRequested, 0u);
}

TEST_F(GvnicDeviceTest, ALinkThatIsDownPassesNothingInEitherDirection) {
  for (Machine* machine : {&a_, &b_}) {
    machine->Probe();
    machine->Open();
  }
  b_.device->SetLink(false);
  EXPECT_EQ(b_.Interrupts(2 * kQueues), 1u);
  EXPECT_EQ(Exchange(a_, b_), 0u);
  EXPECT_EQ(Exchange(b_, a_), 0u);
  b_.device->SetLink(true);
  EXPECT_EQ(Exchange(a_, b_), 1u);
  EXPECT_EQ(Exchange(b_, a_), 1u);
}

TEST_F(GvnicDeviceTest, AGuestThatWritesEverywhereHarmsNobody) {
  for (Machine* machine : {&a_, &b_}) {
    machine->Probe();
    machine->Open();
  }
  SeededRandom random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint32_t region = static_cast<uint32_t>(random.Below(3));
    uint8_t bytes[8];
    const uint64_t word = random.Next();
    std::memcpy(bytes, &word, sizeof(bytes));
    const size_t size = size_t{1} << random.Below(4);
    const uint64_t offset = random.Below(kBarBytes - size + 1);
    a_.device->WriteRegion(region, offset, std::span(bytes).first(size));
    a_.device->ReadRegion(region, offset, std::span(bytes).first(size));
    if (i % 64 == 0) Deliver();
  }
  a_.driver->Reset();
  a_.Probe();
  a_.Open();
  b_.rx->TakePackets();
  EXPECT_GE(Exchange(a_, b_), 1u);
}

TEST_F(GvnicDeviceTest, MemoryThatGoesAwayUnderTheQueuesIsNoLongerTouched) {
  for (Machine* machine : {&a_, &b_}) {
    machine->Probe();
    machine->Open();
  }
  b_.device->memory().UnmapAll();
  EXPECT_EQ(Exchange(a_, b_), 0u);
  b_.driver->WriteDoorbell(b_.tx_doorbell, 5);
  b_.driver->WriteDoorbell(b_.rx_doorbell, 5);
  b_.driver->Ring();
}

TEST_F(GvnicDeviceTest, EveryCounterHasANameOfItsOwn) {
  a_.Probe();
  a_.Open();
  std::map<std::string, uint64_t> names;
  for (const NamedCount& count : a_.device->statistics()) {
    EXPECT_TRUE(names.emplace(count.name, count.value).second) << count.name;
  }
  EXPECT_EQ(names.at("admin_commands"), 4u);
  EXPECT_EQ(names.at("memory_bytes"), 8u << 20);
}

TEST(GvnicOptionsTest, DevicesThatCannotBeAreRefused) {
  GvnicOptions good;
  good.mac = MacAddress({2, 0, 0, 0, 0, 1});
  EXPECT_TRUE(good.Check().ok());
  const auto refused = [&](auto change) {
    GvnicOptions options = good;
    change(options);
    return !options.Check().ok();
  };
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.mac = MacAddress(); }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.mac = MacAddress::Broadcast(); }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.queues = 0; }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.queues = kGvnicQueuesMax + 1; }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.mtu_bytes = kGvnicMtuMax + 1; }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.tx_ring_entries = 100; }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.rx_ring_entries = 1u << 16; }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.buffer_bytes = 1024; }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.header_buffer_bytes = kRxHeaderBytesMax + 1; }));
  EXPECT_TRUE(refused([](GvnicOptions& o) { o.flow_rules_max = kMaskedRulesMax + 1; }));
}

}  // namespace
}  // namespace devmem
