// SPDX-License-Identifier: Apache-2.0
//
// The configuration space of the virtual gVNIC: its identity, its three BARs and its one
// capability, MSI-X. Read and written by the client through the vfio-user session, on the thread of
// the device. PCI Local Bus Specification 3.0, sections 6.1, 6.2.5 and 6.8.2.

#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace devmem {

inline constexpr uint32_t kPciConfigBytes = 256;
inline constexpr uint32_t kBarBytes = 4096;  // Of each BAR.
inline constexpr uint32_t kRegisterBar = 0;
inline constexpr uint32_t kMsixBar = 1;
inline constexpr uint32_t kDoorbellBar = 2;

class PciConfig {
 public:
  // `revision` from 1 on starts the admin queue by registers, 0 by a page number. At most
  // kGvnicVectorsMax vectors.
  PciConfig(uint8_t revision, uint32_t vector_count);

  // The range lies in kPciConfigBytes.
  void Read(uint64_t offset, std::span<uint8_t> out) const;
  // Changes what software may change, and nothing else.
  void Write(uint64_t offset, std::span<const uint8_t> in);
  // Puts everything that Write() can change back.
  void Reset() { bytes_ = initial_; }

 private:
  using Space = std::array<uint8_t, kPciConfigBytes>;

  void Set16(uint32_t offset, uint16_t value, uint16_t writable = 0);
  void Set32(uint32_t offset, uint32_t value, uint32_t writable = 0);

  Space bytes_{};
  Space writable_{};  // A bit is 1 where software may write.
  Space initial_{};
};

}  // namespace devmem
