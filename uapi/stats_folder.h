// SPDX-License-Identifier: Apache-2.0
//
// Where the statistics pages of sessions lie: /run/devmem/sessions, which root makes for everybody
// and which is sticky like /tmp, else a user's own $XDG_RUNTIME_DIR/devmem/sessions; beside the
// journals of NIC set-ups. No part of a path below those two roots may be a symbolic link. Control
// path, any thread.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/unique_fd.h"

namespace devmem {

// Names another folder, for sessions and for readers; kStatsOff: none.
inline constexpr char kStatsFolderVariable[] = "DEVMEM_STATS_DIR";
inline constexpr char kStatsOff[] = "none";

// What the names of pages end with.
inline constexpr char kStatsSuffix[] = ".stats";

struct StatsFolder {
  std::string path;
  UniqueFd fd;
};

// The folder for a new page, made where it is missing. `chosen` is SessionOptions::
// statistics_folder; empty: what the variable names, else the first of the two that can be written.
// Errors: kFailedPrecondition when it is switched off, or when others could take files away there;
// kPermissionDenied, kNotFound and others of the file system.
absl::StatusOr<StatsFolder> OpenStatsFolder(absl::string_view chosen);

// Where pages may be found: what the variable names, else both folders and those of other users, as
// far as they are there and may be read.
std::vector<StatsFolder> StatsFoldersToRead();

}  // namespace devmem
