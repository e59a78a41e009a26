// SPDX-License-Identifier: Apache-2.0
//
// Reading /proc, and judging.

#include "uapi/stats_owner.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "uapi/limits.h"

namespace devmem {
namespace {

constexpr size_t kStatLineBytesMax = 4096;

std::string ReadText(const std::string& path, size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  std::string text(bytes_max, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// "00:1a:4711": major and minor number of the file system's device in hexadecimal, and the inode.
bool ParseFile(absl::string_view text, LockHolder* holder) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  return parts.size() == 3 && absl::SimpleHexAtoi(parts[0], &holder->device_major) &&
         absl::SimpleHexAtoi(parts[1], &holder->device_minor) &&
         absl::SimpleAtoi(parts[2], &holder->inode);
}

// The name stands in parentheses and may hold anything; the 20th word behind it is the start.
uint64_t StartTicksIn(const std::string& stat) {
  const size_t behind_name = stat.rfind(')');
  if (behind_name == std::string::npos) return 0;
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::string_view(stat).substr(behind_name + 1), ' ', absl::SkipEmpty());
  uint64_t ticks = 0;
  return words.size() > 19 && absl::SimpleAtoi(words[19], &ticks) ? ticks : 0;
}

}  // namespace

std::vector<LockHolder> ParseLockHolders(absl::string_view text) {
  std::vector<LockHolder> holders;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    // "7: FLOCK  ADVISORY  WRITE 812 00:1a:4711 0 EOF". Who only waits has "->" behind the number.
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() < 6 || words[1] != "FLOCK") continue;
    LockHolder holder;
    if (!absl::SimpleAtoi(words[4], &holder.pid) || holder.pid <= 0) continue;
    if (ParseFile(words[5], &holder)) holders.push_back(holder);
  }
  return holders;
}

std::vector<LockHolder> LockHoldersOfThisMachine() {
  return ParseLockHolders(ReadText("/proc/locks", kLockListBytesMax));
}

uint64_t StartTicks(pid_t pid) {
  return StartTicksIn(ReadText(absl::StrCat("/proc/", pid, "/stat"), kStatLineBytesMax));
}

uint64_t OwnStartTicks() { return StartTicksIn(ReadText("/proc/self/stat", kStatLineBytesMax)); }

uint64_t NamespaceInode(absl::string_view kind) {
  struct stat found = {};
  const std::string path = absl::StrCat("/proc/thread-self/ns/", kind);
  return ::stat(path.c_str(), &found) == 0 ? found.st_ino : 0;
}

std::string OwnCommand() {
  std::string name;
  std::ifstream file("/proc/self/comm");
  std::getline(file, name);
  return name;
}

Owner FindOwner(const OwnerClaim& claim, const std::function<uint64_t(pid_t)>& start_ticks_of) {
  // The lock goes with the process, however it ends.
  if (!claim.locked) return {.live = false, .pid = std::nullopt};
  // Without /proc there is nothing to compare with.
  if (claim.start_ticks == 0) return {.live = true, .pid = std::nullopt};
  for (const pid_t holder : claim.holders) {
    if (start_ticks_of(holder) == claim.start_ticks) return {.live = true, .pid = holder};
  }
  if (!claim.same_pid_namespace) return {.live = true, .pid = std::nullopt};
  // Not every file system's files are listed by the numbers that stat(2) gives. Where this one is,
  // somebody else holds the lock: a child of an owner that has ended, or a stranger.
  const bool itself = claim.holders.empty() && start_ticks_of(claim.pid) == claim.start_ticks;
  return itself ? Owner{.live = true, .pid = claim.pid} : Owner{};
}

}  // namespace devmem
