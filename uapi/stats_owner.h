// SPDX-License-Identifier: Apache-2.0
//
// Whose statistics page it is, and whether its owner still lives. The kernel is asked, not the
// page: the owner holds a lock (flock(2)) on the file for as long as it lives, and the kernel's
// list of locks (/proc/locks, proc(5)) names the holder by its number in the reader's PID
// namespace. So a page cannot claim another's process, a number that was given out again is not
// taken for its owner, and an owner in a container is found. Control path, any thread.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace devmem {

// One flock(2) that is held. Processes that this PID namespace does not show are not listed.
struct LockHolder {
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t inode = 0;
  pid_t pid = 0;
};

// Of a text in the form of /proc/locks; lines of other forms are passed over.
std::vector<LockHolder> ParseLockHolders(absl::string_view text);
std::vector<LockHolder> LockHoldersOfThisMachine();

// When a process began, in ticks since boot; 0 where there is none of that number.
uint64_t StartTicks(pid_t pid);
// The same of this process, also where /proc is that of another PID namespace.
uint64_t OwnStartTicks();
// The inode of one of this process's namespaces ("pid", "net"); 0 where /proc does not tell.
uint64_t NamespaceInode(absl::string_view kind);
// What this process is called, as ps(1) shows it.
std::string OwnCommand();

// What is known of a page's owner.
struct OwnerClaim {
  pid_t pid = 0;  // By its own word.
  uint64_t start_ticks = 0;
  bool same_pid_namespace = false;
  bool locked = false;                  // Somebody holds the file's lock.
  std::span<const pid_t> holders = {};  // Whom the kernel names as holding it.
};

struct Owner {
  bool live = false;
  std::optional<pid_t> pid;  // As this PID namespace numbers it; nothing where it does not show it.
};

// `start_ticks_of` is StartTicks(), or a test's.
Owner FindOwner(const OwnerClaim& claim, const std::function<uint64_t(pid_t)>& start_ticks_of);

}  // namespace devmem
