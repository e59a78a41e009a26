// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl doctor`: what this machine can do, and what is missing for the rest.

#include <algorithm>
#include <string>
#include <vector>

#include "tools/devmemctl_commands.h"
#include "tools/doctor/doctor_report.h"
#include "tools/doctor/examine_machine.h"
#include "tools/doctor/verdict.h"

namespace devmem {

CommandOutcome ExamineThisMachine(const DevmemctlOptions& options) {
  const Machine machine = ExamineMachine(MachineFiles());
  const std::vector<Verdict> verdicts = Judge(machine);
  CommandOutcome outcome;
  outcome.output = options.json ? FormatJson(options, DoctorToJson(machine, verdicts))
                                : FormatDoctor(machine, verdicts);
  const auto asked = std::find_if(verdicts.begin(), verdicts.end(), [&](const Verdict& verdict) {
    return verdict.backend == options.backend;
  });
  if (asked != verdicts.end() && !asked->usable) outcome.exit_code = kCtlUnsupported;
  return outcome;
}

}  // namespace devmem
