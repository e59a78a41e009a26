// SPDX-License-Identifier: Apache-2.0
//
// What `devmemctl setup` and `restore` print. Pure functions, any thread.

#pragma once

#include <string>

#include "tools/json_object.h"
#include "uapi/netlink/nic_plan.h"
#include "uapi/netlink/nic_restore.h"

namespace devmem {

// Lines for a shell: each step is a command of ethtool(8) below a comment with the netlink
// operation that devmemctl makes in its place.
std::string PlanText(const NicPlan& plan, bool applied);
JsonObject PlanToJson(const NicPlan& plan, bool applied);

std::string RestoreText(const RestoreReport& report);
// kCtlOk only where every journal that was asked for is done with.
int RestoreExitCode(const RestoreReport& report);
// With `error` where something could not be put back; `exit_code` is the program's.
JsonObject RestoreToJson(const RestoreReport& report, int exit_code);

}  // namespace devmem
