// SPDX-License-Identifier: Apache-2.0
//
// The command line of devmemctl, as a value: `devmemctl [-j] [-p] OBJECT VERB ...` in the manner of
// iproute2, words abbreviated as far as they stay clear. Parsed once by main.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "provider/attachment_rules.h"

namespace devmem {

enum class DevmemctlCommand {
  kProviderList,
  kProviderProbe,
  kTopoShow,
  kRegionTest,
  kDoctor,
  kNetdevShow,
  kQueueShow,
  kNapiShow,
  kPagePoolShow,
};

struct DevmemctlOptions {
  DevmemctlCommand command = DevmemctlCommand::kProviderList;

  // How it is told.
  bool json = false;
  bool pretty = false;  // JSON over several lines; nothing without json.

  // provider probe, region test; empty probes all.
  std::string provider;

  // topo: another machine's description; both empty is this machine.
  std::string xml_path;
  std::string synthetic;

  // region test.
  uint64_t region_bytes = 16u << 20;
  AttachmentKind kind = AttachmentKind::kPinned;

  // region test: one of the provider's. Commands about NICs: a network device; empty is all.
  std::string device;

  // doctor: the backend that decides about the exit status; empty: none does.
  std::string backend;
};

// Either options to run with, or a text to print and the status to exit with.
struct DevmemctlCommandLine {
  std::optional<DevmemctlOptions> options;
  std::string output;  // For stdout: --help, --version, and an error as JSON.
  std::string error;   // For stderr.
  int exit_code = 0;   // Without options.
};

DevmemctlCommandLine ParseDevmemctlCommandLine(int argc, const char* const* argv);

}  // namespace devmem
