// SPDX-License-Identifier: Apache-2.0
// PciSysfs: what Linux tells about PCI devices in /sys that decides about peer-to-peer transfers:
// which ports redirect them (ACS), whether an IOMMU translates them, who publishes memory for them;
// and which network devices have no hardware at all. Reads files only; any thread. PCI Express Base
// Specification, "Access Control Services"; Documentation/ABI/testing/sysfs-bus-pci of Linux.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace devmem {

enum class AcsState {
  kDirect,      // The port lets peers talk to each other, or has no such control.
  kRedirected,  // It sends peers' requests or completions up to the host bridge.
  kUnknown,     // Its registers cannot be read; without CAP_SYS_ADMIN, Linux shows none of them.
};

class PciSysfs {
 public:
  // `root` is where /sys is; tests make one of their own.
  explicit PciSysfs(std::string root = "/sys") : root_(std::move(root)) {}

  // What the port at `address` does with transfers between peers.
  AcsState Acs(absl::string_view address) const;

  // How the IOMMU treats the device: Linux's word for its group, "DMA", "DMA-FQ" or "identity".
  // Unset where no IOMMU stands before it.
  std::optional<std::string> IommuType(absl::string_view address) const;

  // Whether the device publishes memory of its own for peers (CONFIG_PCI_P2PDMA).
  bool HasP2pMemory(absl::string_view address) const;

  // Network devices that are software alone, in the order of their names.
  std::vector<std::string> VirtualNics() const;

 private:
  std::string DevicePath(absl::string_view address) const;

  const std::string root_;
};

}  // namespace devmem
