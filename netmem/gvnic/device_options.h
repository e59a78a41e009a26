// SPDX-License-Identifier: Apache-2.0
//
// What a virtual gVNIC is like: its size and what it can do. Chosen once by whoever makes the
// device, told to the driver by the registers and by DESCRIBE_DEVICE.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "netmem/gvnic/limits.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/masked_rules.h"
#include "netmem/wire/mac_address.h"

namespace devmem {

struct GvnicOptions {
  std::string name = "gvnic0";  // In messages and statistics.
  MacAddress mac = {};
  uint32_t queues = 4;  // In each direction.
  uint32_t mtu_bytes = kMtuDefault;
  uint64_t link_mbit_per_s = 100'000;
  uint8_t revision = 1;

  // What the driver starts with, in entries; with `ring_sizes_change` it may choose others.
  uint32_t tx_ring_entries = 1024;
  uint32_t rx_ring_entries = 1024;
  uint32_t buffer_bytes = 4096;  // Of an rx buffer: 2048 or 4096.

  // Features; a test of a driver takes some away.
  uint32_t header_buffer_bytes = 256;         // 0: no header split.
  uint32_t flow_rules_max = kMaskedRulesMax;  // 0: no flow steering.
  bool jumbo_frames = true;
  bool ring_sizes_change = true;

  // Errors: kOutOfRange       a number outside its bounds.
  //         kInvalidArgument  a MAC address that no interface can have, a ring that is no power of
  //                           two, a buffer size that the format does not know.
  absl::Status Check() const;
};

}  // namespace devmem
