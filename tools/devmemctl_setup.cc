// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl setup` and `restore`: a NIC made ready for device memory, and put back. What is
// changed, and how it is undone: Documentation/nic-setup.md.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/devmemctl_commands.h"
#include "tools/devmemctl_device.h"
#include "tools/setup_report.h"
#include "uapi/netlink/nic_restore.h"
#include "uapi/netlink/nic_setup.h"

namespace devmem {

CommandOutcome SetUpNic(const DevmemctlOptions& options) {
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  const absl::StatusOr<std::unique_ptr<NicSetup>> setup =
      NicSetup::Open({.device = options.device,
                      .queues = options.queues,
                      .combined_channels = options.channels,
                      .stale_restored = !options.dry_run});
  if (!setup.ok()) return Refuse(options, ExitCodeOf(setup.status()), setup.status());
  // Applying may need a moment, and what was planned is what is told.
  const NicPlan plan = (*setup)->plan();
  if (!options.dry_run) {
    const absl::Status applied = (*setup)->Apply();
    if (!applied.ok()) return Refuse(options, ExitCodeOf(applied), applied);
    (*setup)->Keep();
  }
  CommandOutcome outcome;
  outcome.output = options.json ? FormatJson(options, PlanToJson(plan, !options.dry_run))
                                : PlanText(plan, !options.dry_run);
  return outcome;
}

CommandOutcome RestoreNic(const DevmemctlOptions& options) {
  const absl::StatusOr<RestoreReport> report = RestoreNics({.device = options.device});
  if (!report.ok()) return Refuse(options, ExitCodeOf(report.status()), report.status());
  CommandOutcome outcome;
  outcome.exit_code = RestoreExitCode(*report);
  outcome.output = options.json ? FormatJson(options, RestoreToJson(*report, outcome.exit_code))
                                : RestoreText(*report);
  return outcome;
}

}  // namespace devmem
