// SPDX-License-Identifier: Apache-2.0
//
// The command line of devmemctl, as a value: `devmemctl [-j] [-p] OBJECT VERB ...` in the manner of
// iproute2, words abbreviated as far as they stay clear. Parsed once by main.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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
  kQueueBind,
  kQueueUnbind,
  kNapiShow,
  kPagePoolShow,
  kStats,
  kMonitor,
  kRuleList,
  kRuleAdd,
  kRuleDelete,
  kSetup,
  kRestore,
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

  // stats, monitor: how often, and how many pictures or events before it ends; 0 is no end.
  bool watch = false;
  uint64_t interval_ms = 1000;
  uint64_t count = 0;

  // rule add: in the words of `ethtool -N`; rule del: where.
  std::string rule;
  uint32_t location = 0;

  // queue bind, setup: which queues.
  std::vector<uint32_t> queues;
  // setup: combined channels; nothing: as many as there are. And only tell what would be done.
  std::optional<uint32_t> channels;
  bool dry_run = false;
  // queue bind: go on in the background; end when this process does, 0 for none.
  bool background = false;
  int32_t while_pid = 0;
  // queue unbind.
  uint32_t binding = 0;

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
