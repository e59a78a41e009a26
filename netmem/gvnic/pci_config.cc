// SPDX-License-Identifier: Apache-2.0
//
// Fills the configuration space in and keeps what software writes within its bits.

#include "netmem/gvnic/pci_config.h"

#include <cstring>

#include "netmem/gvnic/limits.h"

namespace devmem {
namespace {

constexpr uint16_t kVendorGoogle = 0x1ae0;
constexpr uint16_t kDeviceGvnic = 0x0042;
constexpr uint16_t kSubsystemGvnic = 0x0058;
constexpr uint8_t kClassNetwork = 0x02;  // With subclass 0: an Ethernet controller.

// Of the header.
constexpr uint32_t kVendor = 0x00;
constexpr uint32_t kDevice = 0x02;
constexpr uint32_t kCommand = 0x04;
constexpr uint32_t kStatus = 0x06;
constexpr uint32_t kRevision = 0x08;
constexpr uint32_t kClass = 0x0b;
constexpr uint32_t kCacheLine = 0x0c;
constexpr uint32_t kLatency = 0x0d;
constexpr uint32_t kFirstBar = 0x10;
constexpr uint32_t kSubsystemVendor = 0x2c;
constexpr uint32_t kSubsystem = 0x2e;
constexpr uint32_t kCapabilities = 0x34;
constexpr uint32_t kInterruptLine = 0x3c;

// Memory space, bus master, parity and SERR responses, INTx off.
constexpr uint16_t kCommandWritable = 0x0002 | 0x0004 | 0x0040 | 0x0100 | 0x0400;
constexpr uint16_t kStatusCapabilities = 0x0010;

constexpr uint32_t kMsixCapability = 0x40;
constexpr uint8_t kMsixId = 0x11;
constexpr uint16_t kMsixControlWritable = 0xc000;  // Enable, and mask all.
constexpr uint32_t kMsixTableOffset = 0;
constexpr uint32_t kMsixPendingOffset = 0xc00;
constexpr uint32_t kMsixEntryBytes = 16;
static_assert(kGvnicVectorsMax * kMsixEntryBytes <= kMsixPendingOffset);
static_assert(kMsixPendingOffset + (kGvnicVectorsMax + 7) / 8 <= kBarBytes);

}  // namespace

PciConfig::PciConfig(uint8_t revision, uint32_t vector_count) {
  Set16(kVendor, kVendorGoogle);
  Set16(kDevice, kDeviceGvnic);
  Set16(kCommand, 0, kCommandWritable);
  Set16(kStatus, kStatusCapabilities);
  bytes_[kRevision] = revision;
  bytes_[kClass] = kClassNetwork;
  writable_[kCacheLine] = writable_[kLatency] = writable_[kInterruptLine] = 0xff;
  // 32-bit memory. The low bits of a BAR cannot be written: that is how its size is found.
  for (const uint32_t bar : {kRegisterBar, kMsixBar, kDoorbellBar}) {
    Set32(kFirstBar + 4 * bar, 0, ~(kBarBytes - 1));
  }
  Set16(kSubsystemVendor, kVendorGoogle);
  Set16(kSubsystem, kSubsystemGvnic);
  bytes_[kCapabilities] = kMsixCapability;
  bytes_[kMsixCapability] = kMsixId;
  Set16(kMsixCapability + 2, static_cast<uint16_t>(vector_count - 1), kMsixControlWritable);
  Set32(kMsixCapability + 4, kMsixTableOffset | kMsixBar);
  Set32(kMsixCapability + 8, kMsixPendingOffset | kMsixBar);
  initial_ = bytes_;
}

void PciConfig::Read(uint64_t offset, std::span<uint8_t> out) const {
  if (out.empty()) return;
  std::memcpy(out.data(), bytes_.data() + offset, out.size());
}

void PciConfig::Write(uint64_t offset, std::span<const uint8_t> in) {
  for (size_t i = 0; i < in.size(); ++i) {
    uint8_t& byte = bytes_[offset + i];
    const uint8_t mask = writable_[offset + i];
    byte = static_cast<uint8_t>((byte & ~mask) | (in[i] & mask));
  }
}

void PciConfig::Set16(uint32_t offset, uint16_t value, uint16_t writable) {
  std::memcpy(&bytes_[offset], &value, sizeof(value));
  std::memcpy(&writable_[offset], &writable, sizeof(writable));
}

void PciConfig::Set32(uint32_t offset, uint32_t value, uint32_t writable) {
  std::memcpy(&bytes_[offset], &value, sizeof(value));
  std::memcpy(&writable_[offset], &writable, sizeof(writable));
}

}  // namespace devmem
