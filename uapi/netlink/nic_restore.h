// SPDX-License-Identifier: Apache-2.0
//
// Undoes what setups of a NIC left behind: after a crash, or on purpose. The steps of all journals
// of a device that nobody owns any more are undone together, the last one first. Called by
// `devmemctl restore` and, for the same device, by NicSetup. One thread at a time.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "uapi/netlink/nic_control.h"
#include "uapi/netlink/nic_journal.h"

namespace devmem {

// One sentence for each step or journal.
struct RestoreReport {
  std::vector<std::string> undone;   // Steps that were put back.
  std::vector<std::string> skipped;  // Journals in which nothing of this namespace is left to do.
  std::vector<std::string> in_use;   // Journals whose owner is running.
  std::vector<std::string> failed;   // Steps and journals that could not be put back; what to do.

  // Whether every NIC that was asked for is as it was.
  bool complete() const { return in_use.empty() && failed.empty(); }
};

struct RestoreOptions {
  std::string folder = {};      // Empty: DefaultJournalFolder().
  std::string device = {};      // Empty: every device.
  std::string netns_path = {};  // Empty: this thread's namespace.
  bool kept_too = true;         // Also what was left on purpose.
};

using NicControlFactory =
    std::function<absl::StatusOr<std::unique_ptr<NicControl>>(const std::string& device)>;

// Undoes every journal of the folder that belongs to this namespace and that no running process
// owns. A journal whose steps are all undone is deleted; so is one of an earlier boot, or of a
// device that is gone, whose settings went with it. What cannot be read, or belongs to a device
// that cannot be opened, is named in the report, and the others are undone all the same. Errors:
// those of ListJournalFolder().
absl::StatusOr<RestoreReport> RestoreNics(const RestoreOptions& options);
absl::StatusOr<RestoreReport> RestoreNics(const RestoreOptions& options,
                                          const NicControlFactory& open);

// The same for one device that is open already, whose lock the caller holds.
RestoreReport RestoreDevice(NicControl& control, const std::string& folder,
                            const JournalSubject& subject, bool kept_too);

}  // namespace devmem
