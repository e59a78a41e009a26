// SPDX-License-Identifier: Apache-2.0
//
// The command line of ncdevmem, as a value. Parsed once by main.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/pattern.h"
#include "uapi/devmem.h"

namespace devmem {

struct NcdevmemOptions {
  // Who talks to whom.
  bool listen = false;
  std::string server_address;  // To listen on, with or without a prefix length, or to connect to.
  std::string own_address;     // When connecting; empty: the kernel's choice (copy backend only).
  uint16_t port = 5201;
  std::optional<uint16_t> unsteered_port;
  uint64_t connection_count = 1;
  uint32_t connect_timeout_s = 10;

  // The device.
  std::string device = "dm0";
  std::string kernel_address;
  std::string gateway;
  uint32_t mtu_bytes = 1500;
  Backend backend = Backend::kAuto;
  Steering steering = Steering::kBest;
  Threading threading = Threading::kInline;
  uint32_t first_queue = 1;
  uint32_t queue_count = 1;
  uint64_t window_bytes = 4u << 20;
  std::string record_path;

  // The memory.
  std::string provider = "memfd";
  std::string memory_device;  // Which of the provider's; empty: the first usable.
  uint64_t region_bytes = 64u << 20;
  bool region_per_queue = false;
  bool huge_pages = false;
  uint32_t net_iov_bytes = kNetIovBytesDefault;
  uint32_t slab_bytes = kSlabBytesDefault;
  bool unbound = false;

  // What happens with the bytes.
  uint64_t bytes_max = 0;  // 0: no bound.
  uint64_t hold_bytes = 0;
  std::string send_path;
  std::string reply_path;
  uint64_t reply_after_bytes = 1;
  std::optional<PatternSpec> pattern;
  bool sha256 = false;
  std::string output_path;

  // What is told.
  bool stats = false;
  bool json = false;
  bool quiet = false;
  int ready_fd = -1;

  // Whether somebody looks at what landed: the CPU, or for a hash the region's device.
  bool looks_at_payload() const { return pattern.has_value() || sha256 || !output_path.empty(); }
  SessionOptions ToSessionOptions() const;
};

// Either options to run with, or a text to print and the status to exit with.
struct NcdevmemCommandLine {
  std::optional<NcdevmemOptions> options;
  std::string output;  // For stdout: --help.
  std::string error;   // For stderr.
  int exit_code = 0;   // Without options.
};

// The parts of "192.0.2.2/24,2001:db8::2", prefix lengths included.
std::vector<std::string> SplitAddresses(absl::string_view text);
// One of them without its prefix length.
std::string WithoutPrefixLength(absl::string_view address);

NcdevmemCommandLine ParseNcdevmemCommandLine(int argc, const char* const* argv);

}  // namespace devmem
