// SPDX-License-Identifier: Apache-2.0
//
// One round: two children that share a region, the moments at which a seed kills them, and the
// count of what is granted. Runs in the test's process; one thread.

#pragma once

#include <cstdint>
#include <string>

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

// The bytes that are granted and still in somebody's hands, as a daemon would count them for many
// processes: charged on request, given back when the line of the region hangs up, which the kernel
// sees to when its last holder dies.
class GrantCounter {
 public:
  bool Charge(uint64_t bytes) {
    if (bytes > kSharedBytes - charged_) return false;
    charged_ += bytes;
    return true;
  }
  void GiveBack() { charged_ = 0; }
  uint64_t charged() const { return charged_; }

 private:
  uint64_t charged_ = 0;
};

RoundResult RunRound(const RoundPlan& plan, GrantCounter* counter);

}  // namespace devmem::testing
