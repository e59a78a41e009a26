// SPDX-License-Identifier: Apache-2.0
//
// The journal of a NicSetup: a text file with one line for each change, on disk before the change
// is made, so that a crash leaves what is needed to undo it. The owner holds a lock on the file for
// as long as it lives; a file without one was left behind. Written by NicSetup, read by
// nic_journal_reader.h. Documentation/nic-setup.md has the format.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/nic_plan.h"

namespace devmem {

// Which device a journal is about. Settings end with the device and with the boot.
struct JournalSubject {
  std::string device;
  uint32_t ifindex = 0;
  uint64_t netns = 0;   // The namespace file's inode.
  std::string boot_id;  // /proc/sys/kernel/random/boot_id.

  friend bool operator==(const JournalSubject&, const JournalSubject&) = default;
};

// The first line: what it is, and the version of the format. And how the files are named.
inline constexpr absl::string_view kJournalMagic = "devmem-nic-journal ";
inline constexpr uint32_t kJournalVersion = 1;
inline constexpr char kJournalSuffix[] = ".journal";

class NicJournal {
 public:
  // Makes the file; the folder is made when it is missing. Errors: kAlreadyExists,
  // kPermissionDenied and others of the file system.
  static absl::StatusOr<std::unique_ptr<NicJournal>> Create(const std::string& path,
                                                            const JournalSubject& subject);
  ~NicJournal();
  NicJournal(const NicJournal&) = delete;
  NicJournal& operator=(const NicJournal&) = delete;

  // On disk when this returns. Errors: those of the file system; then the change must not be made.
  absl::StatusOr<uint64_t> Append(const NicStep& step);
  absl::Status MarkUndone(uint64_t stamp);
  absl::Status MarkKept();
  void Remove();

  const std::string& path() const { return path_; }

 private:
  NicJournal(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  absl::Status Write(const std::string& line);

  const std::string path_;
  const int fd_;
  uint64_t last_stamp_ = 0;
};

// $XDG_RUNTIME_DIR/devmem for a user who has one and is not root, else /run/devmem.
std::string DefaultJournalFolder();
// A path in `folder` that no other setup of any process uses.
std::string NewJournalPath(const std::string& folder, const JournalSubject& subject);
JournalSubject SubjectOf(absl::string_view device, uint32_t ifindex, const std::string& netns_path);

// Marks a step in a file whose owner is gone.
absl::Status AppendUndone(const std::string& path, uint64_t stamp);

// Held while a device is changed or put back, so that two processes do not interleave.
class DeviceLock {
 public:
  static absl::StatusOr<DeviceLock> Take(const std::string& folder, const JournalSubject& subject);
  DeviceLock(DeviceLock&& other) noexcept;
  DeviceLock& operator=(DeviceLock&&) = delete;
  ~DeviceLock();

 private:
  explicit DeviceLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace devmem
