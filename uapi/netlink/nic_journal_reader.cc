// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/nic_journal_reader.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "provider/unique_fd.h"
#include "uapi/netlink/limits.h"
#include "uapi/netlink/netlink_error.h"
#include "uapi/netlink/nic_steps.h"

namespace devmem {
namespace {

// Whether an open journal's owner is running: he holds a lock for as long as he lives.
bool IsLive(int fd) { return flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

// Opens a journal without waiting for whoever is behind a pipe of its name.
UniqueFd OpenToRead(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

absl::Status CannotOpen(const std::string& path, int error) {
  if (error == ENOENT) return absl::NotFoundError(absl::StrCat(path, " is not there any more"));
  if (error != EACCES && error != EPERM) {
    return absl::UnavailableError(
        absl::StrCat(path, " cannot be opened (", ErrnoName(error), "); try again"));
  }
  struct stat status = {};
  const bool known = stat(path.c_str(), &status) == 0;
  return absl::PermissionDeniedError(absl::StrCat(
      path, " may not be read by this user; restore as root",
      known && status.st_uid != 0 ? absl::StrCat(", or as user ", status.st_uid) : std::string()));
}

absl::StatusOr<std::string> ReadWhole(int fd, const std::string& path) {
  struct stat status = {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no file, and no journal of a NIC's setup; move it elsewhere"));
  }
  if (static_cast<uint64_t>(status.st_size) > kJournalBytesMax) {
    return absl::OutOfRangeError(
        absl::StrCat(path, " holds ", status.st_size, " bytes, and journals of ", kJournalBytesMax,
                     " bytes at most are read; undo by hand what its lines say, the last one "
                     "first, and delete it"));
  }
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got == 0) break;
    if (got > 0) done += static_cast<size_t>(got);
    if (got < 0 && errno != EINTR) return CannotOpen(path, errno);
  }
  text.resize(done);
  return text;
}

// Takes one line into the record; false when it is of no known form.
bool TakeLine(const std::string& line, JournalRecord& record) {
  const std::vector<std::string> parts = absl::StrSplit(line, '\t');
  if (parts[0] == "device" && parts.size() == 5) {
    record.subject.device = parts[1];
    record.subject.boot_id = parts[4];
    return !parts[1].empty() && absl::SimpleAtoi(parts[2], &record.subject.ifindex) &&
           absl::SimpleAtoi(parts[3], &record.subject.netns);
  }
  if (parts[0] == "owner" && parts.size() == 2) return absl::SimpleAtoi(parts[1], &record.pid);
  if (parts[0] == "kept") {
    record.kept = true;
    return true;
  }
  uint64_t stamp = 0;
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[1], &stamp)) return false;
  if (parts[0] == "undone") {
    for (JournalStep& step : record.steps) step.undone = step.undone || step.stamp == stamp;
    return true;
  }
  if (parts[0] != "step" || parts.size() != 6) return false;
  const std::optional<NicStepKind> kind = ParseStepKind(parts[2]);
  if (!kind) return false;
  NicStep step;
  step.kind = *kind;
  step.name = parts[3];
  step.before = parts[4];
  step.after = parts[5];
  record.steps.push_back({.stamp = stamp, .step = std::move(step), .undone = false});
  return true;
}

absl::Status TornAtItsBeginning(const std::string& path) {
  return absl::CancelledError(
      absl::StrCat(path, " was interrupted while it was made, before any change; delete it"));
}

absl::Status Damaged(const std::string& path, absl::string_view how) {
  return absl::DataLossError(absl::StrCat(path, " is damaged: ", how,
                                          "; undo by hand what its lines say, the last one first, "
                                          "and delete it"));
}

// The first line, with or without its end: OK for a journal of this version.
absl::Status CheckFirstLine(const std::string& path, absl::string_view line, bool finished) {
  const std::string wanted = absl::StrCat(kJournalMagic, kJournalVersion);
  if (line == wanted && finished) return absl::OkStatus();
  if (!finished && absl::StartsWith(wanted, line)) return TornAtItsBeginning(path);
  uint32_t version = 0;
  if (!absl::StartsWith(line, kJournalMagic)) {
    if (!line.empty() && line.front() == '\0') return Damaged(path, "it begins with zeroes");
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no journal of a NIC's setup; move it elsewhere"));
  }
  if (!absl::SimpleAtoi(line.substr(kJournalMagic.size()), &version)) {
    return Damaged(path, "its first line names no version");
  }
  return absl::UnimplementedError(
      absl::StrCat(path, " is of version ", version, " of the format, and this program knows ",
                   kJournalVersion, "; restore with the one that wrote it"));
}

absl::StatusOr<JournalRecord> Parse(const std::string& path, const std::string& text) {
  JournalRecord record;
  record.path = path;
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  const absl::Status ours = CheckFirstLine(path, lines.front(), lines.size() > 1);
  if (!ours.ok()) return ours;
  // What follows the last line break is a line that was never finished.
  record.torn = !lines.back().empty();
  lines.pop_back();
  for (size_t at = 1; at < lines.size(); ++at) {
    if (!TakeLine(lines[at], record)) {
      return Damaged(path, absl::StrCat("line ", at + 1, " is of no known form"));
    }
  }
  // The lines of its beginning are written at once, before there is any other.
  if (record.subject.device.empty() || record.pid == 0) {
    if (record.steps.empty() && !record.kept) return TornAtItsBeginning(path);
    return Damaged(path, "it does not say of which device and process it is");
  }
  return record;
}

// NewJournalPath()'s "DEVICE.NETNS.PID.STAMP.COUNTER.journal", of which a device may have dots.
void TellByName(UnreadJournal& unread) {
  const std::string name = std::filesystem::path(unread.path).filename().string();
  std::vector<std::string> parts = absl::StrSplit(name, '.');
  constexpr size_t kBehindDevice = 5;
  if (parts.size() <= kBehindDevice) return;
  uint64_t netns = 0;
  const auto device_end = parts.end() - kBehindDevice;
  if (!absl::SimpleAtoi(*device_end, &netns)) return;
  unread.device = absl::StrJoin(parts.begin(), device_end, ".");
  unread.netns = netns;
}

UnreadJournal Unread(const std::string& path, absl::Status why) {
  UnreadJournal unread;
  unread.path = path;
  unread.why = std::move(why);
  TellByName(unread);
  const UniqueFd fd = OpenToRead(path);
  unread.live = fd.valid() && IsLive(fd.get());
  return unread;
}

}  // namespace

bool JournalRecord::finished() const {
  return std::all_of(steps.begin(), steps.end(), [](const JournalStep& s) { return s.undone; });
}

absl::StatusOr<JournalRecord> ReadJournal(const std::string& path) {
  const UniqueFd fd = OpenToRead(path);
  if (!fd.valid()) return CannotOpen(path, errno);
  const absl::StatusOr<std::string> text = ReadWhole(fd.get(), path);
  if (!text.ok()) return text.status();
  absl::StatusOr<JournalRecord> record = Parse(path, *text);
  if (record.ok()) record->live = IsLive(fd.get());
  return record;
}

absl::StatusOr<JournalListing> ListJournalFolder(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> paths;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == kJournalSuffix) paths.push_back(entry->path().string());
  }
  if (error == std::errc::permission_denied) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the folder of journals ", folder, " may not be read by this user; restore as root"));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return absl::UnavailableError(
        absl::StrCat("the folder of journals ", folder, " cannot be read: ", error.message()));
  }
  std::sort(paths.begin(), paths.end());
  JournalListing listing;
  for (const std::string& path : paths) {
    absl::StatusOr<JournalRecord> record = ReadJournal(path);
    if (record.ok()) {
      listing.journals.push_back(*std::move(record));
    } else if (!absl::IsNotFound(record.status())) {
      listing.unread.push_back(Unread(path, record.status()));
    }
  }
  return listing;
}

std::vector<JournalRecord> ListJournals(const std::string& folder) {
  absl::StatusOr<JournalListing> listing = ListJournalFolder(folder);
  return listing.ok() ? std::move(listing->journals) : std::vector<JournalRecord>();
}

bool RemoveTornJournal(const std::string& path) {
  const UniqueFd fd = OpenToRead(path);
  // Under the owner's lock: one who has just made the file waits for it, and then finds it gone.
  if (!fd.valid() || flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return false;
  const absl::StatusOr<std::string> text = ReadWhole(fd.get(), path);
  if (!text.ok() || !absl::IsCancelled(Parse(path, *text).status())) return false;
  return unlink(path.c_str()) == 0;
}

}  // namespace devmem
