// SPDX-License-Identifier: Apache-2.0
//
// The messages of vfio-user, the protocol by which QEMU's device `vfio-user-pci` drives a PCI
// device in another process. Plain data in the byte order of the wire, which is little endian, as
// every machine that devmem runs on. QEMU, docs/interop/vfio-user.rst.

#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace devmem {

enum class VfioUserCommand : uint16_t {
  kVersion = 1,
  kDmaMap = 2,
  kDmaUnmap = 3,
  kDeviceGetInfo = 4,
  kGetRegionInfo = 5,
  kGetIrqInfo = 7,
  kSetIrqs = 8,
  kRegionRead = 9,
  kRegionWrite = 10,
  kDeviceReset = 13,
};

struct VfioUserHeader {
  static constexpr uint32_t kTypeMask = 0xf;  // 0 a command, 1 a reply.
  static constexpr uint32_t kReply = 1;
  static constexpr uint32_t kNoReply = 1u << 4;
  static constexpr uint32_t kError = 1u << 5;

  uint16_t id = 0;
  uint16_t command = 0;
  uint32_t bytes = 0;  // With this header.
  uint32_t flags = 0;
  uint32_t error = 0;  // An errno, with kError.
};

// In front of the JSON text of VERSION.
struct VfioUserVersion {
  uint16_t major = 0;
  uint16_t minor = 0;
};

struct VfioUserDmaMap {
  static constexpr uint32_t kRead = 1;
  static constexpr uint32_t kWrite = 2;

  uint32_t argument_bytes = 0;
  uint32_t flags = 0;
  uint64_t file_offset = 0;
  uint64_t address = 0;
  uint64_t bytes = 0;
};

struct VfioUserDmaUnmap {
  static constexpr uint32_t kAll = 2;

  uint32_t argument_bytes = 0;
  uint32_t flags = 0;
  uint64_t address = 0;
  uint64_t bytes = 0;
};

struct VfioUserDeviceInfo {
  static constexpr uint32_t kReset = 1;
  static constexpr uint32_t kPci = 2;

  uint32_t argument_bytes = 0;
  uint32_t flags = 0;
  uint32_t region_count = 0;
  uint32_t irq_count = 0;
};

struct VfioUserRegionInfo {
  static constexpr uint32_t kRead = 1;
  static constexpr uint32_t kWrite = 2;

  uint32_t argument_bytes = 0;
  uint32_t flags = 0;
  uint32_t region = 0;
  uint32_t capability_offset = 0;
  uint64_t bytes = 0;
  uint64_t file_offset = 0;
};

struct VfioUserIrqInfo {
  static constexpr uint32_t kEventFd = 1;
  static constexpr uint32_t kNoResize = 8;

  uint32_t argument_bytes = 0;
  uint32_t flags = 0;
  uint32_t irq = 0;
  uint32_t count = 0;
};

// What to do in bits 3 to 5 of the flags, with which data in bits 0 to 2.
struct VfioUserSetIrqs {
  static constexpr uint32_t kDataNone = 1;
  static constexpr uint32_t kDataBool = 2;
  static constexpr uint32_t kDataEventFd = 4;
  static constexpr uint32_t kActionTrigger = 0x20;

  uint32_t argument_bytes = 0;
  uint32_t flags = 0;
  uint32_t irq = 0;
  uint32_t start = 0;
  uint32_t count = 0;
};

// In front of the bytes of REGION_WRITE and of the reply to REGION_READ.
struct VfioUserRegionAccess {
  uint64_t offset = 0;
  uint32_t region = 0;
  uint32_t bytes = 0;
};

static_assert(sizeof(VfioUserHeader) == 16 && sizeof(VfioUserVersion) == 4);
static_assert(sizeof(VfioUserDmaMap) == 32 && sizeof(VfioUserDmaUnmap) == 24);
static_assert(sizeof(VfioUserDeviceInfo) == 16 && sizeof(VfioUserRegionInfo) == 32);
static_assert(sizeof(VfioUserIrqInfo) == 16 && sizeof(VfioUserSetIrqs) == 20);
static_assert(sizeof(VfioUserRegionAccess) == 16);

// Regions and interrupts of a PCI device, by linux/vfio.h.
inline constexpr uint32_t kVfioConfigRegion = 7;
inline constexpr uint32_t kVfioPciRegions = 9;
inline constexpr uint32_t kVfioMsixIrq = 2;
inline constexpr uint32_t kVfioPciIrqs = 5;

// The beginning of a message's body as one of the types above, or nothing if it is shorter.
template <typename Body>
std::optional<Body> LoadVfioUser(std::span<const uint8_t> bytes) {
  static_assert(std::is_trivially_copyable_v<Body>);
  if (bytes.size() < sizeof(Body)) return std::nullopt;
  Body body;
  std::memcpy(&body, bytes.data(), sizeof(body));
  return body;
}

}  // namespace devmem
