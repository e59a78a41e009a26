// SPDX-License-Identifier: Apache-2.0
//
// Finding, making and checking the folders.

#include "uapi/stats_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr mode_t kOnlyOurs = 0700;
constexpr mode_t kEverybodyReads = 0755;
constexpr mode_t kEverybodyWrites = 01777;  // Sticky: only owners take files away.
constexpr std::array<const char*, 2> kBelowRoot = {"devmem", "sessions"};

UniqueFd OpenFolder(int parent, const char* name, int follow) {
  return UniqueFd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow));
}

// Opens a folder that is no link, and makes it when there is none; with exactly that mode, whatever
// the umask.
UniqueFd MakeFolder(int parent, const char* name, mode_t mode) {
  const bool made = ::mkdirat(parent, name, mode & ~mode_t{S_ISVTX}) == 0;
  UniqueFd folder = OpenFolder(parent, name, O_NOFOLLOW);
  if (made && folder.valid() && ::fchmod(folder.get(), mode) != 0) return {};
  return folder;
}

// The two folders below a root of run-time files: /run or $XDG_RUNTIME_DIR.
StatsFolder MakeBelow(const std::string& root, mode_t outer_mode, mode_t inner_mode) {
  StatsFolder folder{absl::StrCat(root, "/", kBelowRoot[0], "/", kBelowRoot[1]), {}};
  const UniqueFd outermost = OpenFolder(AT_FDCWD, root.c_str(), 0);
  if (!outermost.valid()) return folder;
  const UniqueFd outer = MakeFolder(outermost.get(), kBelowRoot[0], outer_mode);
  if (outer.valid()) folder.fd = MakeFolder(outer.get(), kBelowRoot[1], inner_mode);
  return folder;
}

StatsFolder FindBelow(const std::string& root) {
  StatsFolder folder{absl::StrCat(root, "/", kBelowRoot[0], "/", kBelowRoot[1]), {}};
  folder.fd = OpenFolder(AT_FDCWD, root.c_str(), 0);
  for (const char* const name : kBelowRoot) {
    if (folder.fd.valid()) folder.fd = OpenFolder(folder.fd.get(), name, O_NOFOLLOW);
  }
  return folder;
}

// Whether a file that we make there stays ours.
absl::Status CheckSafe(const StatsFolder& folder) {
  struct stat found = {};
  if (!folder.fd.valid() || ::fstat(folder.fd.get(), &found) != 0) {
    const int err = errno;
    return ErrnoToStatus(err,
                         absl::StrCat("the folder for statistics ", folder.path,
                                      " cannot be used; name another in ", kStatsFolderVariable));
  }
  const bool sticky = (found.st_mode & S_ISVTX) != 0;
  const bool others_write = (found.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if ((found.st_uid == 0 || found.st_uid == ::geteuid()) && (sticky || !others_write)) {
    if (::faccessat(folder.fd.get(), ".", W_OK | X_OK, AT_EACCESS) == 0) return absl::OkStatus();
    const int err = errno;
    return ErrnoToStatus(
        err, absl::StrCat("the folder for statistics ", folder.path,
                          " cannot be written; name another in ", kStatsFolderVariable));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the folder for statistics ", folder.path, " is of user ", found.st_uid, " with mode 0",
      absl::Hex(found.st_mode >> 6 & 7), absl::Hex(found.st_mode >> 3 & 7),
      absl::Hex(found.st_mode & 7),
      ", so that others could replace our files there; take one of root's or of our own, sticky "
      "where others write"));
}

// secure_getenv(): a program with more rights than its caller does not go where the caller says.
std::string FromEnvironment(const char* variable) {
  const char* const value = ::secure_getenv(variable);
  return value == nullptr ? "" : value;
}

std::string RuntimeRoot() {
  std::string root = FromEnvironment("XDG_RUNTIME_DIR");
  return !root.empty() && root[0] == '/' ? root : "";
}

// Users' own folders, of which root may read all.
void AppendUsers(std::vector<StatsFolder>* folders) {
  const std::unique_ptr<DIR, int (*)(DIR*)> users(::opendir("/run/user"), ::closedir);
  if (users == nullptr) return;
  while (const dirent* const user = ::readdir(users.get())) {
    if (user->d_name[0] == '.') continue;
    folders->push_back(FindBelow(absl::StrCat("/run/user/", user->d_name)));
  }
}

bool SameFolder(const StatsFolder& a, const StatsFolder& b) {
  struct stat first = {};
  struct stat second = {};
  return ::fstat(a.fd.get(), &first) == 0 && ::fstat(b.fd.get(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

absl::StatusOr<StatsFolder> OpenStatsFolder(absl::string_view chosen) {
  std::string path(chosen);
  if (path.empty()) path = FromEnvironment(kStatsFolderVariable);
  if (path == kStatsOff) {
    return absl::FailedPreconditionError("publishing statistics is switched off");
  }
  if (!path.empty()) {
    StatsFolder folder{path, MakeFolder(AT_FDCWD, path.c_str(), kOnlyOurs)};
    const absl::Status safe = CheckSafe(folder);
    if (!safe.ok()) return safe;
    return folder;
  }
  StatsFolder folder = MakeBelow("/run", kEverybodyReads, kEverybodyWrites);
  absl::Status safe = CheckSafe(folder);
  if (safe.ok()) return folder;
  const std::string root = RuntimeRoot();
  if (root.empty()) return safe;
  folder = MakeBelow(root, kOnlyOurs, kOnlyOurs);
  safe = CheckSafe(folder);
  if (!safe.ok()) return safe;
  return folder;
}

std::vector<StatsFolder> StatsFoldersToRead() {
  std::vector<StatsFolder> folders;
  const std::string path = FromEnvironment(kStatsFolderVariable);
  if (path == kStatsOff) return folders;
  if (!path.empty()) {
    folders.push_back({path, OpenFolder(AT_FDCWD, path.c_str(), O_NOFOLLOW)});
  } else {
    folders.push_back(FindBelow("/run"));
    const std::string root = RuntimeRoot();
    if (!root.empty()) folders.push_back(FindBelow(root));
    AppendUsers(&folders);
  }
  std::vector<StatsFolder> found;
  for (StatsFolder& folder : folders) {
    const auto same = [&](const StatsFolder& other) { return SameFolder(folder, other); };
    if (!folder.fd.valid() || std::any_of(found.begin(), found.end(), same)) continue;
    found.push_back(std::move(folder));
  }
  return found;
}

}  // namespace devmem
