// SPDX-License-Identifier: Apache-2.0
//
// Reads the journals that setups of a NIC left (nic_journal.h), and says of each file that cannot
// be read why, and what to do. Called by RestoreNics(), NicSetup and devmemctl; any thread.
// Documentation/nic-setup.md has the format.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "uapi/netlink/nic_journal.h"
#include "uapi/netlink/nic_plan.h"

namespace devmem {

struct JournalStep {
  uint64_t stamp = 0;  // Nanoseconds since boot: orders the steps of all journals of a device.
  NicStep step;        // Without the texts for people.
  bool undone = false;
};

struct JournalRecord {
  std::string path;
  JournalSubject subject;
  int32_t pid = 0;    // Of the owner.
  bool kept = false;  // Left on purpose, by NicSetup::Keep().
  bool live = false;  // Its owner is running.
  bool torn = false;  // Its last line was never finished, so that change was never made.
  std::vector<JournalStep> steps;

  bool finished() const;  // Every step is undone.
};

// A torn last line is left out. Errors, each with what to do:
//   kPermissionDenied  this user may not read it.
//   kOutOfRange        longer than kJournalBytesMax.
//   kUnimplemented     of another version.
//   kCancelled         its writer was stopped in its first lines, before any change.
//   kInvalidArgument   somebody else's file, and no journal.
//   kDataLoss          damaged.
//   kNotFound, kUnavailable  of the file system.
absl::StatusOr<JournalRecord> ReadJournal(const std::string& path);

// A file of the folder that is named as a journal is and cannot be read as one.
struct UnreadJournal {
  std::string path;
  std::string device;  // As its name tells; empty where NewJournalPath() did not make it.
  uint64_t netns = 0;  // As well; 0.
  bool live = false;   // Its owner is running.
  absl::Status why;    // ReadJournal()'s.
};

// Both in order of their paths.
struct JournalListing {
  std::vector<JournalRecord> journals;
  std::vector<UnreadJournal> unread;
};

// Where there is no folder there are no journals. Errors: kPermissionDenied and others of the file
// system, for the folder itself.
absl::StatusOr<JournalListing> ListJournalFolder(const std::string& folder);
// Those that can be read, for who has nobody to tell of the others.
std::vector<JournalRecord> ListJournals(const std::string& folder);

// Deletes a file of which ReadJournal() says kCancelled, where that is still so and nobody owns it.
// Whether it did.
bool RemoveTornJournal(const std::string& path);

}  // namespace devmem
