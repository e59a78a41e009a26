// SPDX-License-Identifier: Apache-2.0
//
// Machine: everything that the doctor knows before it judges, as a value. A test writes one down;
// for the machine at hand examine_machine.h collects it. What it is for:
// Documentation/devmemctl.md.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/doctor/io_uring_facts.h"
#include "tools/doctor/kernel_facts.h"
#include "tools/doctor/permission_facts.h"

namespace devmem {

// A setting that a NIC may not have at all.
enum class Switch { kAbsent, kOff, kOn };

// One network device, in the kernel's words (netdev and ethtool families).
struct NicFacts {
  std::string name = {};
  uint32_t ifindex = 0;
  std::string driver = {};    // Empty where there is none behind it: lo.
  std::string firmware = {};  // As `ethtool -i` prints it.
  bool hardware = false;  // Has a parent device in /sys: software alone can write no device memory.
  bool up = false;
  // What RINGS_GET tells of tcp-data-split. A driver that tells nothing may still know it.
  Switch split = Switch::kAbsent;
  std::optional<uint32_t> hds_threshold_bytes =
      {};  // Nothing where the driver has no such setting.
  Switch ntuple = Switch::kAbsent;
  uint32_t rx_queues = 0;
  uint32_t rx_queues_max = 0;
  std::vector<uint32_t> rss_queues = {};  // Those in the default indirection table, ascending.
  uint32_t rules = 0;                     // Flow rules of anybody.
  bool xdp = false;                       // A program is attached.
  // Receive queues that somebody's memory is bound to, and whose: "devmem 3", "io_uring", "xsk".
  std::map<uint32_t, std::string> bound = {};
  // What bind-rx with no dma-buf said about the device: 0 not asked, EBADF when only the dma-buf
  // was missing, EOPNOTSUPP when the device cannot restart queues or has no DMA.
  int bind_errno = 0;
};

struct MemoryFacts {
  std::string name = {};  // Of the provider.
  bool usable = false;
  std::string detail = {};      // What was found, or what is missing and the remedy.
  bool exports_dmabuf = false;  // Its regions can be written by NICs of the kernel's.
};

struct Machine {
  KernelFacts kernel = {};
  PermissionFacts permissions = {};
  IoUringFacts io_uring = {};
  // 0 where the socket option SO_DEVMEM_DONTNEED answers, else its errno.
  int devmem_errno = 0;
  // Commands of the netdev family by number, and of the ethtool family; empty: there is none.
  std::vector<uint32_t> netdev_commands = {};
  std::vector<uint32_t> ethtool_commands = {};
  int tun_errno = 0;  // Of opening /dev/net/tun.
  std::vector<MemoryFacts> memory = {};
  std::vector<NicFacts> nics = {};
};

}  // namespace devmem
