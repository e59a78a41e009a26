// SPDX-License-Identifier: Apache-2.0
//
// One round: two children that share a region, the moments at which a seed kills them, and the
// count of what is granted. Runs in the test's process; one thread.

#pragma once

#include <cstdint>
#include <string>

#include "provider/quota.h"
#include "selftests/two_process/messages.h"

namespace devmem::testing {

// Who dies when, all of it from the seed.
struct RoundPlan {
  explicit RoundPlan(uint64_t seed);
  std::string Describe() const;

  uint64_t seed;
  uint32_t exporter_steps;  // 0: it is not killed.
  uint32_t importer_steps;
  bool by_referee;  // By another process at any instruction from then on, or at the very step.
};

struct RoundResult {
  bool exporter_killed = false;
  bool importer_killed = false;
  std::string complaint;  // Empty when everything was as it must be.
};

// The exporter is a user of `quota`, as a daemon would keep it for many processes: charged on
// request, and the charge given back when the line of the region hangs up, which the kernel sees to
// when its last holder dies.
inline constexpr char kQuotaUser[] = "exporter";
RoundResult RunRound(const RoundPlan& plan, Quota* quota, QuotaCharge* charge);

}  // namespace devmem::testing
