// SPDX-License-Identifier: Apache-2.0
//
// The statistics page of one session: made when it opens, removed when it ends. What it counts is
// published in records (stats_layout.h) by plain stores into a shared mapping: no lock, no system
// call, no allocation. `devmemctl stats` reads it; Documentation/devmemctl.md says where pages lie.
//
// Making and removing, taking and giving back records: under whatever orders the session's control
// path. A record is written by its one writer.
//
// A file that its owner, or root, cuts short under the mapping kills the session with SIGBUS at the
// next store; nobody else can.

#pragma once

#include <bitset>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/unique_fd.h"
#include "uapi/stats_layout.h"

namespace devmem {

class StatsPage {
 public:
  // In the folder that `chosen` names: SessionOptions::statistics_folder. Also removes pages there
  // that sessions of this user left behind when they were killed. Errors: OpenStatsFolder()'s, and
  // those of making and mapping a file.
  static absl::StatusOr<std::unique_ptr<StatsPage>> Create(absl::string_view chosen,
                                                           absl::string_view backend,
                                                           absl::string_view device);
  ~StatsPage();
  StatsPage(const StatsPage&) = delete;
  StatsPage& operator=(const StatsPage&) = delete;

  // A record that nobody has; null when all are taken: then this part is not published.
  StatsRecord* Take();
  // It tells of nothing any more. Null is allowed.
  void GiveBack(StatsRecord* record);

  const std::string& path() const { return path_; }

 private:
  StatsPage(UniqueFd folder, std::string name, std::string path, UniqueFd file)
      : folder_(std::move(folder)),
        name_(std::move(name)),
        path_(std::move(path)),
        file_(std::move(file)) {}

  absl::Status Map();
  void FillIn(absl::string_view backend, absl::string_view device);

  const UniqueFd folder_;
  const std::string name_;
  const std::string path_;
  const UniqueFd file_;  // Holds the lock that says: this session lives.
  pid_t pid_ = 0;        // A child that fork(2) made does not remove its parent's page.
  StatsPageLayout* layout_ = nullptr;
  std::bitset<kStatsRecordsMax> taken_;
};

}  // namespace devmem
