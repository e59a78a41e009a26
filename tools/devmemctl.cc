// SPDX-License-Identifier: Apache-2.0
//
// devmemctl: what an operator asks about device memory, in the manner of iproute2. This file is the
// program's edge: what is printed where, and the exit status.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tools/devmemctl_commands.h"
#include "tools/devmemctl_options.h"
#include "tools/exit_codes.h"

namespace devmem {

CommandOutcome RunDevmemctl(const DevmemctlOptions& options) {
  switch (options.command) {
    case DevmemctlCommand::kProviderList: return ListProviders(options);
    case DevmemctlCommand::kProviderProbe: return ProbeProviders(options);
    case DevmemctlCommand::kTopoShow: return ShowTopology(options);
    case DevmemctlCommand::kRegionTest: return TestRegion(options);
    case DevmemctlCommand::kDoctor: return ExamineThisMachine(options);
    case DevmemctlCommand::kNetdevShow: return ShowDevices(options);
    case DevmemctlCommand::kQueueShow: return ShowQueues(options);
    case DevmemctlCommand::kQueueBind: return BindQueues(options);
    case DevmemctlCommand::kQueueUnbind: return UnbindQueues(options);
    case DevmemctlCommand::kNapiShow: return ShowNapis(options);
    case DevmemctlCommand::kPagePoolShow: return ShowPagePools(options);
    case DevmemctlCommand::kStats: return ShowStatistics(options);
    case DevmemctlCommand::kMonitor: return MonitorEvents(options);
    case DevmemctlCommand::kRuleList: return ListRules(options);
    case DevmemctlCommand::kRuleAdd: return AddRule(options);
    case DevmemctlCommand::kRuleDelete: return DeleteRule(options);
    case DevmemctlCommand::kSetup: return SetUpNic(options);
    case DevmemctlCommand::kRestore: return RestoreNic(options);
  }
  std::abort();
}

namespace {

// An answer that did not arrive is none, whatever the command found.
int Print(const std::string& output, const std::string& error, int exit_code) {
  std::fputs(error.c_str(), stderr);
  const bool printed = std::fputs(output.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (printed) return exit_code;
  std::fputs("devmemctl: the answer cannot be written to stdout\n", stderr);
  return kCtlRefused;
}

int Main(int argc, const char* const* argv) {
  const DevmemctlCommandLine line = ParseDevmemctlCommandLine(argc, argv);
  if (!line.options.has_value()) return Print(line.output, line.error, line.exit_code);
  const CommandOutcome outcome = RunDevmemctl(*line.options);
  return Print(outcome.output, outcome.error, outcome.exit_code);
}

}  // namespace
}  // namespace devmem

int main(int argc, char** argv) { return devmem::Main(argc, argv); }
