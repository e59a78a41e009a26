// SPDX-License-Identifier: Apache-2.0
//
// A driver of a virtual gVNIC, for tests: does to registers, admin queue and doorbells what Linux's
// gve does at probe, open, close and removal, and says what the device answered. It reaches the
// device through a bus, which is the device itself or a vfio-user socket, on the test's thread.

#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "netmem/gvnic/admin_commands.h"
#include "netmem/gvnic/doorbells.h"
#include "netmem/gvnic/gvnic_device.h"
#include "netmem/gvnic/pci_config.h"
#include "netmem/gvnic/ring_config.h"
#include "netmem/wire/byte_order.h"
#include "selftests/testing/gvnic_guest.h"

namespace devmem::testing {

inline constexpr uint32_t kAdminPassed = 1;
inline constexpr uint32_t kRawAddressing = 0xffffffff;  // In place of a page list.

// The body of an admin command, by the offsets of its fields.
class AdminBody {
 public:
  AdminBody& Be16(size_t offset, uint16_t value) {
    return StoreBe16(&bytes_[offset], value), *this;
  }
  AdminBody& Be32(size_t offset, uint32_t value) {
    return StoreBe32(&bytes_[offset], value), *this;
  }
  AdminBody& Be64(size_t offset, uint64_t value) {
    return StoreBe64(&bytes_[offset], value), *this;
  }
  AdminBody& Byte(size_t offset, uint8_t value) { return bytes_[offset] = value, *this; }
  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  std::array<uint8_t, kAdminBodyBytes> bytes_{};
};

class GvnicDriver {
 public:
  struct Bus {
    std::function<void(uint32_t region, uint64_t offset, std::span<uint8_t> out)> read;
    std::function<void(uint32_t region, uint64_t offset, std::span<const uint8_t> in)> write;
  };
  static Bus BusOf(VfioUserDevice& device) {
    return {[&device](uint32_t region, uint64_t offset, std::span<uint8_t> out) {
              device.ReadRegion(region, offset, out);
            },
            [&device](uint32_t region, uint64_t offset, std::span<const uint8_t> in) {
              device.WriteRegion(region, offset, in);
            }};
  }

  GvnicDriver(Bus bus, GvnicGuest& guest) : bus_(std::move(bus)), guest_(guest) {}

  uint32_t ReadRegister(uint64_t offset) {
    uint8_t bytes[4];
    bus_.read(kRegisterBar, offset, bytes);
    return LoadBe32(bytes);
  }
  void WriteRegister(uint64_t offset, uint32_t value) {
    uint8_t bytes[4];
    StoreBe32(bytes, value);
    bus_.write(kRegisterBar, offset, bytes);
  }
  void WriteDoorbell(uint32_t number, uint32_t value) {
    uint8_t bytes[4];
    std::memcpy(bytes, &value, sizeof(value));
    bus_.write(kDoorbellBar, uint64_t{number} * kDoorbellBytes, bytes);
  }

  uint32_t device_status() { return ReadRegister(0x00); }
  uint32_t event_counter() { return ReadRegister(0x18); }
  uint64_t admin_page() const { return admin_page_; }

  // Tells where the admin queue is, and runs it.
  void Start() {
    if (admin_page_ == 0) admin_page_ = guest_.Alloc(4096);
    WriteRegister(0x20, static_cast<uint32_t>(admin_page_ >> 32));
    WriteRegister(0x24, static_cast<uint32_t>(admin_page_));
    WriteRegister(0x04, 1);
    produced_ = 0;
  }
  void Reset() { WriteRegister(0x04, 2); }

  // Puts a command into its slot without a doorbell.
  void Put(uint32_t opcode, const AdminBody& body = {}) {
    uint8_t* const slot = guest_.At(SlotOf(produced_++), kAdminSlotBytes);
    StoreBe32(slot, opcode);
    StoreBe32(slot + 4, 0);
    std::memcpy(slot + 8, body.bytes().data(), body.bytes().size());
  }
  void Ring() { WriteRegister(0x14, produced_); }
  // The status of one of the last 64 commands, by its number from 0 on.
  uint32_t StatusOf(uint32_t number) { return LoadBe32(guest_.At(SlotOf(number), 8) + 4); }
  uint32_t produced() const { return produced_; }

  // One command, and its status.
  uint32_t Command(AdminOpcode opcode, const AdminBody& body = {}) {
    Put(static_cast<uint32_t>(opcode), body);
    Ring();
    return StatusOf(produced_ - 1);
  }
  // One extended command whose own body is `bytes`.
  uint32_t Extended(AdminOpcode inner, std::span<const uint8_t> bytes) {
    const uint64_t address = guest_.Put(bytes);
    return Command(AdminOpcode::kExtended, AdminBody()
                                               .Be32(0, static_cast<uint32_t>(inner))
                                               .Be32(4, static_cast<uint32_t>(bytes.size()))
                                               .Be64(8, address));
  }

  // The device's description of itself.
  std::vector<uint8_t> Describe() {
    const uint64_t page = guest_.Alloc(4096);
    const AdminBody body = AdminBody().Be64(0, page).Be32(8, 1).Be32(12, 4096);
    if (Command(AdminOpcode::kDescribeDevice, body) != kAdminPassed) return {};
    return guest_.Bytes(page, LoadBe16(guest_.At(page + 32, 2)));
  }

  // Tells the device where to write the doorbells' numbers; doorbells() reads them.
  uint32_t ConfigureResources(uint32_t blocks) {
    irq_doorbells_ = guest_.Alloc(64ull * blocks);
    return Command(AdminOpcode::kConfigureDeviceResources, AdminBody()
                                                               .Be64(0, guest_.Alloc(4096))
                                                               .Be64(8, irq_doorbells_)
                                                               .Be32(16, 8)
                                                               .Be32(20, blocks)
                                                               .Be32(24, 64)
                                                               .Byte(32, 3));
  }
  uint32_t IrqDoorbell(uint32_t block) {
    return LoadBe32(guest_.At(irq_doorbells_ + 64ull * block, 4));
  }

  // The commands that make the queues of TxDriver and RxDriver (gvnic_ring_driver.h). `resources`
  // has 64 bytes; the device writes the number of the queue's doorbell there.
  static AdminBody TxBody(const TxRingConfig& ring, uint64_t resources) {
    return AdminBody()
        .Be32(0, ring.queue)
        .Be64(8, resources)
        .Be64(16, ring.descriptor_ring)
        .Be32(24, kRawAddressing)
        .Be32(28, ring.notify_block)
        .Be64(32, ring.completion_ring)
        .Be16(40, ring.descriptor_entries)
        .Be16(42, ring.completion_entries);
  }
  static AdminBody RxBody(const RxRingConfig& ring, uint64_t resources) {
    return AdminBody()
        .Be32(0, ring.queue)
        .Be32(12, ring.notify_block)
        .Be64(16, resources)
        .Be64(24, ring.completion_ring)
        .Be64(32, ring.buffer_ring)
        .Be32(40, kRawAddressing)
        .Be16(44, ring.completion_entries)
        .Be16(46, ring.buffer_bytes)
        .Be16(48, ring.buffer_entries)
        .Byte(50, ring.gro_hw ? 1 : 0)
        .Be16(52, ring.header_bytes);
  }
  uint32_t CreateTx(const TxRingConfig& ring, uint32_t* doorbell = nullptr) {
    const uint64_t resources = guest_.Alloc(64, 64);
    const uint32_t status = Command(AdminOpcode::kCreateTxQueue, TxBody(ring, resources));
    if (doorbell != nullptr) *doorbell = LoadBe32(guest_.At(resources, 4));
    return status;
  }
  uint32_t CreateRx(const RxRingConfig& ring, uint32_t* doorbell = nullptr) {
    const uint64_t resources = guest_.Alloc(64, 64);
    const uint32_t status = Command(AdminOpcode::kCreateRxQueue, RxBody(ring, resources));
    if (doorbell != nullptr) *doorbell = LoadBe32(guest_.At(resources, 4));
    return status;
  }
  uint32_t Destroy(AdminOpcode opcode, uint32_t queue) {
    return Command(opcode, AdminBody().Be32(0, queue));
  }

 private:
  uint64_t SlotOf(uint32_t number) const {
    return admin_page_ + number % kAdminQueueSlots * kAdminSlotBytes;
  }

  const Bus bus_;
  GvnicGuest& guest_;
  uint64_t admin_page_ = 0;
  uint64_t irq_doorbells_ = 0;
  uint32_t produced_ = 0;
};

}  // namespace devmem::testing
