// SPDX-License-Identifier: Apache-2.0
//
// BAR0 of the virtual gVNIC: status in both directions, and where the admin queue lies. Every
// register is big endian. It keeps values and tells the device what a write asks for; the device
// acts. One thread. Linux, drivers/net/ethernet/google/gve/gve_register.h.

#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace devmem {

class Registers {
 public:
  // What a write by the guest asks the device to do.
  enum class Event {
    kNone,
    kRun,            // The admin queue may be used, at admin_queue_address().
    kReset,          // Drop everything.
    kAdminDoorbell,  // admin_commands_announced() has moved.
  };

  Registers(uint32_t tx_queues_max, uint32_t rx_queues_max)
      : tx_queues_max_(tx_queues_max), rx_queues_max_(rx_queues_max) {}

  // Any range of the BAR; bytes without a register read as 0 and ignore what is written.
  void Read(uint64_t offset, std::span<uint8_t> out) const;
  Event Write(uint64_t offset, std::span<const uint8_t> in);

  uint64_t admin_queue_address() const { return admin_queue_address_; }
  uint32_t admin_commands_announced() const { return admin_commands_announced_; }
  // The text that the driver writes byte by byte, "GVE-1.0.0"; empty before.
  const std::string& driver_version() const { return driver_version_; }

  void set_admin_commands_completed(uint32_t count) { admin_commands_completed_ = count; }
  void set_link_up(bool up) { SetStatus(kLinkUp, up); }
  void set_reset_requested(bool requested) { SetStatus(kResetRequested, requested); }
  void set_is_reset(bool is_reset) { SetStatus(kIsReset, is_reset); }
  bool link_up() const { return (device_status_ & kLinkUp) != 0; }
  bool reset_requested() const { return (device_status_ & kResetRequested) != 0; }

  // Forgets the admin queue. The status bits stay: who resets says what they become.
  void ForgetAdminQueue();

 private:
  // Bits of the device's status.
  static constexpr uint32_t kResetRequested = 1u << 1;
  static constexpr uint32_t kLinkUp = 1u << 2;
  static constexpr uint32_t kIsReset = 1u << 4;

  void SetStatus(uint32_t bit, bool on) {
    device_status_ = on ? device_status_ | bit : device_status_ & ~bit;
  }
  uint8_t ByteAt(uint64_t offset) const;
  Event Write32(uint64_t offset, uint32_t value);
  void WriteVersionByte(uint8_t byte);

  const uint32_t tx_queues_max_;
  const uint32_t rx_queues_max_;
  uint32_t device_status_ = kLinkUp;
  uint32_t driver_status_ = 0;
  uint32_t admin_page_ = 0;  // Of revision 0, in pages; 0: no admin queue.
  uint64_t admin_queue_address_ = 0;
  uint32_t admin_commands_announced_ = 0;
  uint32_t admin_commands_completed_ = 0;
  std::string driver_version_;
  bool version_is_complete_ = false;
};

}  // namespace devmem
