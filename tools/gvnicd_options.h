// SPDX-License-Identifier: Apache-2.0
//
// The command line of gvnicd, as a value. Parsed once by main.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netmem/gvnic/device_options.h"
#include "netmem/nic/impairment.h"

namespace devmem {

struct GvnicdDevice {
  std::string socket_path;
  GvnicOptions options;
};

// One network: a pair joins two devices, with or without faults between them; a TAP has one.
struct GvnicdLink {
  enum class Kind { kPair, kWire, kTap };

  Kind kind = Kind::kPair;
  std::string tap_name = {};     // Of a TAP.
  std::string tap_address = {};  // Of the host's side: "192.0.2.1/24", or empty.

  uint32_t device_count() const { return kind == Kind::kTap ? 1 : 2; }
};

struct GvnicdOptions {
  std::vector<GvnicdDevice> devices;
  std::vector<GvnicdLink> links;  // In turn for the next devices; the rest has no network.
  ImpairmentConfig wire_faults;   // Of every wire, in both directions.
  uint64_t seed = 1;
  std::string record_path;
  std::string control_path;
  std::string stats_path;
};

// Either options to run with, or a text to print and the status to exit with.
struct GvnicdCommandLine {
  std::optional<GvnicdOptions> options;
  std::string output;  // For stdout: --help.
  std::string error;   // For stderr.
  int exit_code = 0;   // Without options.
};

GvnicdCommandLine ParseGvnicdCommandLine(int argc, const char* const* argv);

}  // namespace devmem
