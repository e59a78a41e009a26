// SPDX-License-Identifier: Apache-2.0
//
// From files that may hold anything to figures.

#include "uapi/stats_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "provider/unique_fd.h"
#include "uapi/stats_folder.h"
#include "uapi/stats_owner.h"

namespace devmem {
namespace {

// A page is made in less; what is still not finished then never will be.
constexpr time_t kHalfMadeSecondsMax = 60;

// The words of a header, without the atomics.
using HeaderBytes = std::array<uint8_t, sizeof(StatsHeader)>;

bool ReadAt(int file, size_t offset, void* to, size_t bytes) {
  return ::pread(file, to, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

uint64_t WordAt(const HeaderBytes& header, size_t offset) {
  uint64_t word = 0;
  std::memcpy(&word, &header[offset], sizeof(word));
  return word;
}

// A terminal obeys control characters, so none may come from here.
std::string TextAt(const HeaderBytes& header, size_t offset, size_t bytes_max) {
  std::string text;
  for (size_t i = 0; i < bytes_max && header[offset + i] != 0; ++i) {
    const uint8_t byte = header[offset + i];
    text += byte > 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  }
  return text;
}

// One look; nothing when the record is being written, or was meanwhile.
std::optional<StatsRecord::Words> LookAt(int file, size_t offset, StatsRecord::Words* torn) {
  uint64_t before = 0;
  uint64_t after = 0;
  if (!ReadAt(file, offset, &before, sizeof(before))) return std::nullopt;
  // What the three calls read stays in their order: pairs with the writer's release stores.
  __sync_synchronize();
  if (!ReadAt(file, offset + offsetof(StatsRecord, words), torn, sizeof(*torn))) {
    return std::nullopt;
  }
  __sync_synchronize();
  if (!ReadAt(file, offset, &after, sizeof(after))) return std::nullopt;
  if (before != after || before % 2 != 0) return std::nullopt;
  return *torn;
}

void ReadRecords(int file, PublishedSession* session) {
  // For all records together: a hostile page may have every one of them unsettled.
  uint32_t looks_left = kStatsLooksMax;
  for (size_t i = 0; i < kStatsRecordsMax; ++i) {
    const size_t offset = offsetof(StatsPageLayout, records) + i * sizeof(StatsRecord);
    StatsRecord::Words torn = {};
    std::optional<StatsRecord::Words> words = LookAt(file, offset, &torn);
    for (; !words.has_value() && looks_left > 0; --looks_left) {
      words = LookAt(file, offset, &torn);
    }
    const auto figures = std::bit_cast<StatsFigures>(words.value_or(torn));
    if (figures.kind < StatsKind::kSession || figures.kind > StatsKind::kQueue) continue;
    session->records.push_back(figures);
    if (!words.has_value()) ++session->unsettled;
  }
}

// The page's own words; kAborted while the magic is not there.
absl::StatusOr<PublishedSession> ReadHeader(int file) {
  HeaderBytes header = {};
  if (!ReadAt(file, 0, header.data(), header.size())) {
    return absl::FailedPreconditionError("it was cut short");
  }
  const uint64_t magic = WordAt(header, offsetof(StatsHeader, magic));
  if (magic == 0) return absl::AbortedError("it is not finished");
  const uint64_t version = WordAt(header, offsetof(StatsHeader, version));
  if (magic != kStatsMagic) return absl::FailedPreconditionError("it is no page of statistics");
  if (version != kStatsVersion ||
      WordAt(header, offsetof(StatsHeader, record_count)) != kStatsRecordsMax) {
    return absl::FailedPreconditionError(
        absl::StrCat("its form is version ", version, ", and this program reads version ",
                     kStatsVersion, "; use the devmemctl of the session's release"));
  }
  PublishedSession session;
  session.pid = static_cast<pid_t>(WordAt(header, offsetof(StatsHeader, pid)) & INT32_MAX);
  session.start_ticks = WordAt(header, offsetof(StatsHeader, start_ticks));
  session.same_pid_namespace =
      WordAt(header, offsetof(StatsHeader, pid_namespace)) == NamespaceInode("pid");
  session.net_namespace = WordAt(header, offsetof(StatsHeader, net_namespace));
  session.command = TextAt(header, offsetof(StatsHeader, command), sizeof(StatsHeader::command));
  session.backend = TextAt(header, offsetof(StatsHeader, backend), sizeof(StatsHeader::backend));
  session.device = TextAt(header, offsetof(StatsHeader, device), sizeof(StatsHeader::device));
  return session;
}

struct OpenPage {
  UniqueFd file;
  struct stat status = {};
};

// Regular files only, and none by way of a link. O_NONBLOCK: a FIFO has nobody at its other end,
// and a file with a lease would keep us waiting for its holder.
absl::StatusOr<OpenPage> OpenRegular(int folder, const std::string& name) {
  OpenPage page;
  page.file = UniqueFd(
      ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!page.file.valid() || ::fstat(page.file.get(), &page.status) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, "it cannot be opened");
  }
  if (!S_ISREG(page.status.st_mode)) {
    return absl::FailedPreconditionError("it is no regular file");
  }
  return page;
}

// Taken and dropped at once: whoever else asks at this moment only shares it.
bool IsLocked(int file) {
  return ::flock(file, LOCK_SH | LOCK_NB) != 0 || ::flock(file, LOCK_UN) != 0;
}

absl::StatusOr<PublishedSession> ReadPage(const OpenPage& page) {
  // An empty file may be one that is being made.
  if (page.status.st_size == 0) return absl::AbortedError("it is not finished");
  if (page.status.st_size != kStatsPageBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("it has ", page.status.st_size, " bytes, and a page has ", kStatsPageBytes));
  }
  absl::StatusOr<PublishedSession> session = ReadHeader(page.file.get());
  if (!session.ok()) return session.status();
  session->uid = page.status.st_uid;
  ReadRecords(page.file.get(), &*session);
  return session;
}

void JudgeOwner(const OpenPage& page, std::span<const LockHolder> locks,
                PublishedSession* session) {
  std::vector<pid_t> holders;
  for (const LockHolder& lock : locks) {
    if (lock.inode == page.status.st_ino && lock.device_major == major(page.status.st_dev) &&
        lock.device_minor == minor(page.status.st_dev)) {
      holders.push_back(lock.pid);
    }
  }
  const Owner owner = FindOwner({.pid = session->pid,
                                 .start_ticks = session->start_ticks,
                                 .same_pid_namespace = session->same_pid_namespace,
                                 .locked = IsLocked(page.file.get()),
                                 .holders = holders},
                                StartTicks);
  session->live = owner.live;
  session->pid_here = owner.pid;
}

absl::StatusOr<PublishedSession> ReadAndJudge(int folder, const std::string& name,
                                              std::span<const LockHolder> locks) {
  const absl::StatusOr<OpenPage> page = OpenRegular(folder, name);
  if (!page.ok()) return page.status();
  absl::StatusOr<PublishedSession> session = ReadPage(*page);
  if (session.ok()) JudgeOwner(*page, locks, &*session);
  return session;
}

// The names that pages have; `complete` becomes false when there are too many.
std::vector<std::string> NamesIn(int folder, bool* complete) {
  std::vector<std::string> names;
  // A descriptor of its own: a stream of entries closes what it reads, and moves its place.
  UniqueFd again(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(
      again.valid() ? ::fdopendir(again.get()) : nullptr, ::closedir);
  if (entries == nullptr) return names;
  (void)again.Take();
  for (uint32_t seen = 0; const dirent* const entry = ::readdir(entries.get()); ++seen) {
    if (seen == kStatsFilesMax) {
      *complete = false;
      break;
    }
    const absl::string_view name = entry->d_name;
    if (name[0] != '.' && absl::EndsWith(name, kStatsSuffix)) names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Printable(absl::string_view text) {
  std::string printable(text);
  for (char& byte : printable) {
    if (byte <= 0x20 || byte >= 0x7f) byte = '?';
  }
  return printable;
}

}  // namespace

absl::StatusOr<PublishedSession> ReadStatsFile(int folder, const std::string& name) {
  return ReadAndJudge(folder, name, LockHoldersOfThisMachine());
}

StatsListing ListStatsFolder(int folder, absl::string_view path) {
  StatsListing listing;
  const std::vector<std::string> names = NamesIn(folder, &listing.complete);
  if (names.empty()) return listing;
  const std::vector<LockHolder> locks = LockHoldersOfThisMachine();
  for (const std::string& name : names) {
    absl::StatusOr<PublishedSession> session = ReadAndJudge(folder, name, locks);
    const std::string printable = absl::StrCat(path, "/", Printable(name));
    if (session.ok()) {
      session->path = printable;
      listing.sessions.push_back(*std::move(session));
    } else if (!absl::IsAborted(session.status()) &&
               ::faccessat(folder, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
      // One that has only just begun, or ended meanwhile, is no news.
      listing.passed_over.push_back(absl::StrCat(printable, ": ", session.status().message()));
    }
  }
  return listing;
}

StatsListing ListSessions() {
  StatsListing all;
  for (const StatsFolder& folder : StatsFoldersToRead()) {
    StatsListing one = ListStatsFolder(folder.fd.get(), folder.path);
    std::move(one.sessions.begin(), one.sessions.end(), std::back_inserter(all.sessions));
    std::move(one.passed_over.begin(), one.passed_over.end(), std::back_inserter(all.passed_over));
    all.complete = all.complete && one.complete;
  }
  std::sort(all.sessions.begin(), all.sessions.end(),
            [](const PublishedSession& a, const PublishedSession& b) {
              return std::tie(a.pid, a.path) < std::tie(b.pid, b.path);
            });
  return all;
}

void RemoveLeftBehind(int folder) {
  bool complete = true;
  for (const std::string& name : NamesIn(folder, &complete)) {
    const absl::StatusOr<OpenPage> page = OpenRegular(folder, name);
    if (!page.ok() || page->status.st_uid != ::geteuid()) continue;
    // Its maker takes the lock before the page is finished, and must not find it taken.
    const bool finished = ReadHeader(page->file.get()).ok();
    const bool old = ::time(nullptr) - page->status.st_mtime > kHalfMadeSecondsMax;
    if ((finished || old) && !IsLocked(page->file.get())) ::unlinkat(folder, name.c_str(), 0);
  }
}

}  // namespace devmem
