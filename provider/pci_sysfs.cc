// SPDX-License-Identifier: Apache-2.0
// See pci_sysfs.h. Nothing here fails: what cannot be read is unknown.
#include "provider/pci_sysfs.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

// Configuration space: the extended capabilities begin behind the 256 bytes of conventional PCI,
// and all of it is 4 KiB.
constexpr size_t kExtendedOffset = 256;
constexpr size_t kConfigBytes = 4096;
constexpr uint32_t kAcsCapabilityId = 0x000d;
// Of the capability: the control register, and its bits that turn peers' transfers upwards: request
// redirect, completion redirect, egress control.
constexpr size_t kAcsControlOffset = 6;
constexpr uint32_t kAcsRedirectBits = (1u << 2) | (1u << 3) | (1u << 5);

uint32_t LoadLe(const std::string& bytes, size_t offset, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i > 0; --i) {
    value = value << 8 | static_cast<uint8_t>(bytes[offset + i - 1]);
  }
  return value;
}

// Walks the list of extended capabilities; returns where the one of ACS is, or 0. The list cannot
// be longer than the space has room for, even when it is a ring.
size_t FindAcs(const std::string& config) {
  size_t offset = kExtendedOffset;
  for (size_t steps = 0; steps < kConfigBytes / 4; ++steps) {
    if (offset < kExtendedOffset || offset + 8 > config.size()) return 0;
    const uint32_t header = LoadLe(config, offset, 4);
    if ((header & 0xffff) == kAcsCapabilityId) return offset;
    offset = header >> 20;
  }
  return 0;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace

std::string PciSysfs::DevicePath(absl::string_view address) const {
  return absl::StrCat(root_, "/bus/pci/devices/", address);
}

AcsState PciSysfs::Acs(absl::string_view address) const {
  std::ifstream file(DevicePath(address) + "/config", std::ios::binary);
  const std::string config((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
  // 64 bytes are what everybody may read; 256 what a conventional device has, which has no ACS.
  if (config.size() < kExtendedOffset) return AcsState::kUnknown;
  const size_t acs = FindAcs(config);
  if (acs == 0) return AcsState::kDirect;
  const uint32_t control = LoadLe(config, acs + kAcsControlOffset, 2);
  return (control & kAcsRedirectBits) != 0 ? AcsState::kRedirected : AcsState::kDirect;
}

std::optional<std::string> PciSysfs::IommuType(absl::string_view address) const {
  const std::string group = DevicePath(address) + "/iommu_group";
  if (!Exists(group)) return std::nullopt;
  std::ifstream file(group + "/type");
  std::string type;
  std::getline(file, type);
  return type.empty() ? "unknown" : type;
}

bool PciSysfs::HasP2pMemory(absl::string_view address) const {
  return Exists(DevicePath(address) + "/p2pmem");
}

std::vector<std::string> PciSysfs::VirtualNics() const {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/class/net", error)) {
    // A file there, like bonding's list, is no device.
    if (!entry.is_directory(error) || Exists(entry.path().string() + "/device")) continue;
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace devmem
