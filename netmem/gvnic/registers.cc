// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes of BAR0. Runs on the thread of the device.

#include "netmem/gvnic/registers.h"

#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

constexpr uint64_t kDeviceStatus = 0x00;
constexpr uint64_t kDriverStatus = 0x04;
constexpr uint64_t kTxQueuesMax = 0x08;
constexpr uint64_t kRxQueuesMax = 0x0c;
constexpr uint64_t kAdminPage = 0x10;
constexpr uint64_t kAdminDoorbell = 0x14;
constexpr uint64_t kAdminEventCounter = 0x18;
constexpr uint64_t kDriverVersion = 0x1f;
constexpr uint64_t kAdminBaseHigh = 0x20;
constexpr uint64_t kAdminBaseLow = 0x24;

constexpr uint32_t kDriverRun = 1u << 0;
constexpr uint32_t kDriverReset = 1u << 1;

constexpr uint32_t kGuestPageShift = 12;
constexpr size_t kVersionBytesMax = 128;

}  // namespace

void Registers::Read(uint64_t offset, std::span<uint8_t> out) const {
  for (size_t i = 0; i < out.size(); ++i) out[i] = ByteAt(offset + i);
}

uint8_t Registers::ByteAt(uint64_t offset) const {
  uint32_t value = 0;
  switch (offset & ~uint64_t{3}) {
    case kDeviceStatus: value = device_status_; break;
    case kDriverStatus: value = driver_status_; break;
    case kTxQueuesMax: value = tx_queues_max_; break;
    case kRxQueuesMax: value = rx_queues_max_; break;
    case kAdminPage: value = admin_page_; break;
    case kAdminDoorbell: value = admin_commands_announced_; break;
    case kAdminEventCounter: value = admin_commands_completed_; break;
    case kAdminBaseHigh: value = static_cast<uint32_t>(admin_queue_address_ >> 32); break;
    case kAdminBaseLow: value = static_cast<uint32_t>(admin_queue_address_); break;
    default: break;
  }
  return static_cast<uint8_t>(value >> (24 - 8 * (offset & 3)));
}

// The length of the admin queue (a 16-bit write at 0x28) is always a page, and is not kept.
Registers::Event Registers::Write(uint64_t offset, std::span<const uint8_t> in) {
  if (offset == kDriverVersion && in.size() == 1) {
    WriteVersionByte(in[0]);
    return Event::kNone;
  }
  if (in.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return Event::kNone;
  return Write32(offset, LoadBe32(in.data()));
}

Registers::Event Registers::Write32(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kDriverStatus:
      driver_status_ = value;
      if ((value & kDriverReset) != 0) return Event::kReset;
      return (value & kDriverRun) != 0 ? Event::kRun : Event::kNone;
    case kAdminPage:
      admin_page_ = value;
      admin_queue_address_ = uint64_t{value} << kGuestPageShift;
      return value == 0 ? Event::kReset : Event::kRun;
    case kAdminDoorbell: admin_commands_announced_ = value; return Event::kAdminDoorbell;
    case kAdminBaseHigh:
      admin_queue_address_ = uint64_t{value} << 32 | (admin_queue_address_ & UINT32_MAX);
      return Event::kNone;
    case kAdminBaseLow:
      admin_queue_address_ = (admin_queue_address_ & ~uint64_t{UINT32_MAX}) | value;
      return Event::kNone;
    default: return Event::kNone;
  }
}

// A driver that loads again starts its version anew behind the end of the one before.
void Registers::WriteVersionByte(uint8_t byte) {
  if (version_is_complete_) driver_version_.clear();
  version_is_complete_ = byte == '\n';
  if (version_is_complete_ || driver_version_.size() >= kVersionBytesMax) return;
  driver_version_.push_back(byte >= ' ' && byte <= '~' ? static_cast<char>(byte) : '?');
}

void Registers::ForgetAdminQueue() {
  driver_status_ = 0;
  admin_page_ = 0;
  admin_queue_address_ = 0;
  admin_commands_announced_ = 0;
  admin_commands_completed_ = 0;
}

}  // namespace devmem
