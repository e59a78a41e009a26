// SPDX-License-Identifier: Apache-2.0
//
// Reads the statistics pages of sessions. Whatever lies in a folder is taken for hostile: a file is
// a page only if it is a regular one of the right size that says so, no link is followed, nothing
// is mapped (a file that is cut short would kill the reader), every text is cut to its field and to
// printable characters, and every figure is a number and nothing more. Control path, any thread.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/stats_layout.h"

namespace devmem {

// A page, as it was found. All but `path`, `uid`, `live` and `pid_here` is the writer's word.
struct PublishedSession {
  std::string path;
  uint32_t uid = 0;  // Of the file's owner.
  // Whether its session still runs; else it was killed, and these are its last figures.
  bool live = false;
  std::optional<pid_t> pid_here;  // The process, as this PID namespace numbers it.
  pid_t pid = 0;                  // The same by its own word, in its own PID namespace.
  uint64_t start_ticks = 0;
  bool same_pid_namespace = false;
  uint64_t net_namespace = 0;
  std::string command;
  std::string backend;
  std::string device;
  std::vector<StatsFigures> records;  // Those that tell of something.
  uint32_t unsettled = 0;  // Of these: were being written for as long as somebody looked.
};

// One file of an open folder. Errors: kFailedPrecondition  no regular file, not of a page's size,
//                                                           or no page of a version that is known;
//                                     kAborted              it is being made just now;
//                                     and those of the file system.
absl::StatusOr<PublishedSession> ReadStatsFile(int folder, const std::string& name);

struct StatsListing {
  std::vector<PublishedSession> sessions;  // In the order of their processes.
  std::vector<std::string> passed_over;    // Why files that are named like pages are none.
  bool complete = true;                    // Every file was looked at.
};

// All pages of one folder, and of all folders where pages may be found.
StatsListing ListStatsFolder(int folder, absl::string_view path);
StatsListing ListSessions();

// Removes this user's pages whose sessions are gone, and files that were left half made.
void RemoveLeftBehind(int folder);

}  // namespace devmem
