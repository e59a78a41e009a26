// SPDX-License-Identifier: Apache-2.0
//
// The rows behind ExplainRefusal(). The first row that fits wins, so the more exact ones stand
// first. Documentation/nic-setup.md prints them, and a test compares the two.

#pragma once

#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/refusal.h"

namespace devmem {

// What must be known for a row to fit.
enum class RefusalWhen {
  kAlways,
  kXdpAttached,
  kQueueBound,
  kQueueAfXdp,
  kDeviceDown,
  kQueueZero,
  kCommandUnknown,
  kNotInitialUserNamespace,
  kHdsThreshold,
  kSplitOff,
};

struct RefusalRow {
  KernelOperation operation = KernelOperation::kRead;
  int error = 0;           // 0: any.
  absl::string_view text;  // A part of the kernel's text; empty: any.
  absl::string_view at;    // The refused or missing attribute; empty: any.
  RefusalWhen when = RefusalWhen::kAlways;
  absl::StatusCode code = absl::StatusCode::kUnknown;
  absl::string_view cause;  // {device}, {queues} and {driver} stand for the values.
  absl::string_view fix;
};

// Bindings and lent queues; questions and settings; io_uring and sockets.
std::span<const RefusalRow> BindRefusalRows();
std::span<const RefusalRow> SettingsRefusalRows();
std::span<const RefusalRow> DataRefusalRows();

}  // namespace devmem
