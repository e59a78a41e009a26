// SPDX-License-Identifier: Apache-2.0
//
// Looks at a NIC and says what has to change so that some of its queues can fill device memory, or
// why they cannot. Reads only. Called by NicSetup; one thread at a time.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "uapi/netlink/nic_control.h"
#include "uapi/netlink/nic_plan.h"

namespace devmem {

struct PlanRequest {
  std::string device;
  std::vector<uint32_t> queues;  // May be empty: then only what does not depend on queues.
  std::optional<uint32_t> channels;
  bool steering_needed = true;
  bool foreign_steering_allowed = false;
  bool split_is_set = false;            // By us already: need not be said again.
  std::vector<uint32_t> own_locations;  // Of rules that are ours.
  std::vector<uint32_t> own_queues;     // Set apart by us already: what fills them is ours.
};

// Errors: NicSetup::Open().
absl::StatusOr<NicPlan> PlanNic(NicControl& control, const PlanRequest& request);

// The table that leads to none of `queues`: entries that do are spread over the others, and the
// rest stays as it is. Empty when no queue is left.
std::vector<uint32_t> TableWithout(const std::vector<uint32_t>& table,
                                   const std::vector<uint32_t>& queues, uint32_t rx_queue_count);

}  // namespace devmem
