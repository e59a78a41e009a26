// SPDX-License-Identifier: Apache-2.0
//
// Run files of `devmemctl queue bind`: which process holds a binding, so that `queue unbind` can
// ask it to end. The kernel knows no unbind: a binding lives as long as its netlink socket. One
// file for each binding, written by its holder, removed when it ends; one that a crash left behind
// is told by its process being gone. One thread.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace devmem {

struct QueueHolder {
  uint32_t binding = 0;
  pid_t pid = 0;
  // When that process began, in the kernel's ticks: numbers of processes come again.
  uint64_t start_ticks = 0;
  std::string device = {};
  std::vector<uint32_t> queues = {};
  std::string provider = {};
  uint64_t bytes = 0;
};

// DEVMEMCTL_RUN_DIR, else /run/devmemctl for root and $XDG_RUNTIME_DIR/devmemctl for others.
std::string HolderFolder();

// The record of this process. Errors: those of making a folder and writing a file.
absl::Status WriteHolder(absl::string_view folder, QueueHolder holder);
void RemoveHolder(absl::string_view folder, uint32_t binding);

// Errors: kNotFound with the bindings that there are; kDataLoss for a file that is none of ours.
absl::StatusOr<QueueHolder> ReadHolder(absl::string_view folder, uint32_t binding);
std::vector<QueueHolder> ListHolders(absl::string_view folder);

// Asks the process to end, and waits until it has. Errors: kNotFound when it is gone already, with
// the file that it left behind; kPermissionDenied; kDeadlineExceeded after kHolderEndMillis.
absl::Status EndHolder(const QueueHolder& holder);

}  // namespace devmem
