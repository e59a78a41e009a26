// SPDX-License-Identifier: Apache-2.0
//
// The commands of devmemctl, one file for each object. Each does its work and returns what to print
// and how to exit; main prints.

#pragma once

#include "tools/devmemctl_options.h"
#include "tools/devmemctl_output.h"

namespace devmem {

// Does what the command line says.
CommandOutcome RunDevmemctl(const DevmemctlOptions& options);

CommandOutcome ListProviders(const DevmemctlOptions& options);
// Exit 4 where the named provider, or without a name every one, is not usable here.
CommandOutcome ProbeProviders(const DevmemctlOptions& options);

CommandOutcome ShowTopology(const DevmemctlOptions& options);

// Exit 0 when the memory did all that its kind promises, 4 where there is none of it here.
CommandOutcome TestRegion(const DevmemctlOptions& options);

// Exit 4 where the backend that was named cannot run.
CommandOutcome ExamineThisMachine(const DevmemctlOptions& options);

// Exit 4 where this kernel cannot tell.
CommandOutcome ShowDevices(const DevmemctlOptions& options);
CommandOutcome ShowQueues(const DevmemctlOptions& options);
CommandOutcome ShowNapis(const DevmemctlOptions& options);
CommandOutcome ShowPagePools(const DevmemctlOptions& options);

// Returns when the binding has ended; with options.background once it stands.
CommandOutcome BindQueues(const DevmemctlOptions& options);
// Ends the process that holds a binding of BindQueues(), and so the binding.
CommandOutcome UnbindQueues(const DevmemctlOptions& options);

// With options.watch until a signal; prints as it goes.
CommandOutcome ShowStatistics(const DevmemctlOptions& options);

// Until a signal, or options.count events; prints as they come.
CommandOutcome MonitorEvents(const DevmemctlOptions& options);

// The rules of one NIC, or of all that have any.
CommandOutcome ListRules(const DevmemctlOptions& options);
CommandOutcome AddRule(const DevmemctlOptions& options);
CommandOutcome DeleteRule(const DevmemctlOptions& options);

// Leaves the NIC set up, with the journal that RestoreNic() reads; with options.dry_run changes
// nothing.
CommandOutcome SetUpNic(const DevmemctlOptions& options);
// Exit 3 where a part could not be put back.
CommandOutcome RestoreNic(const DevmemctlOptions& options);

}  // namespace devmem
