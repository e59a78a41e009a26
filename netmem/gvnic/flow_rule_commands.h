// SPDX-License-Identifier: Apache-2.0
//
// Flow rules in the admin queue's format: read from CONFIGURE_FLOW_RULE, written for
// QUERY_FLOW_RULES. The rules themselves are netmem/nic's MaskedRules. Called by the admin commands
// on the thread of the device. Linux, drivers/net/ethernet/google/gve/gve_adminq.h, struct
// gve_adminq_flow_rule.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/device_options.h"
#include "netmem/nic/masked_rules.h"

namespace devmem {

inline constexpr uint32_t kFlowRuleCommandBytes = 92;

// Adds, deletes or resets, as the command of at least kFlowRuleCommandBytes says.
//
// Errors: kInvalidArgument    an operation or a flow type that does not exist.
//         kOutOfRange         a queue or a location that the device does not have.
//         kNotFound           nothing to delete is there.
absl::Status ConfigureFlowRule(std::span<const uint8_t> command, const GvnicOptions& options,
                               MaskedRules& rules);

struct FlowRuleQuery {
  uint16_t operation = 0;
  uint32_t first_location = 0;
  uint64_t bytes_max = 0;  // Of the answer.
};

// The answer: its head, and as many rules or locations as there is room for, ascending from the
// first location on.
//
// Errors: kInvalidArgument  an operation that does not exist, or no room for the head.
absl::StatusOr<std::vector<uint8_t>> QueryFlowRules(const FlowRuleQuery& query,
                                                    const GvnicOptions& options,
                                                    const MaskedRules& rules);

}  // namespace devmem
