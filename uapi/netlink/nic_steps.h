// SPDX-License-Identifier: Apache-2.0
//
// Makes one change of a plan, and puts one back. The state of a setting is a short text, the same
// here, in the plan and in the journal, so that what is there can be compared with what was.
// One thread at a time.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/nic_control.h"
#include "uapi/netlink/nic_plan.h"

namespace devmem {

absl::string_view ToString(NicStepKind kind);  // "channels", "feature", "split", ...
std::optional<NicStepKind> ParseStepKind(absl::string_view text);

absl::string_view ToString(DataSplit split);  // "unknown", "disabled", "enabled"

// The name of a rule's step before the driver has said where it put it.
inline constexpr char kAnyLocation[] = "any";

// "default" for the table that drivers start with, else the queues with commas.
std::string RssText(std::span<const uint32_t> table, uint32_t rx_queue_count);

// The state that a step is about, as it is now.
absl::StatusOr<std::string> ReadStepState(NicControl& control, const NicStep& step);
// Makes the change. Errors: the kernel's refusal.
absl::Status MakeStep(NicControl& control, const NicStep& step);
// Puts the state back that was before. OK when it is there already.
// Errors: kAborted  somebody has changed the setting since, or needs it; it is left alone.
//         others    the kernel's refusal.
absl::Status UndoStep(NicControl& control, const NicStep& step);

}  // namespace devmem
