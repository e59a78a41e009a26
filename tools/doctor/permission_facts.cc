// SPDX-License-Identifier: Apache-2.0
//
// See permission_facts.h.

#include "tools/doctor/permission_facts.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace devmem {
namespace {

// Bits of a capability set: capabilities(7).
constexpr uint32_t kCapNetAdmin = 12;
constexpr uint32_t kCapIpcLock = 14;
constexpr uint32_t kCapBpf = 39;

// How many users the initial namespace maps: all of them.
constexpr uint64_t kEveryUser = UINT32_MAX;

std::vector<absl::string_view> Words(absl::string_view line) {
  return absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

// The words behind `name` in a file of one fact a line, empty where there is no such line.
std::vector<absl::string_view> FactWords(absl::string_view text, absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, name)) return Words(line.substr(name.size()));
  }
  return {};
}

void ReadStatus(absl::string_view text, PermissionFacts* facts) {
  // The real user, then the effective one.
  const std::vector<absl::string_view> users = FactWords(text, "Uid:");
  if (users.size() > 1 && !absl::SimpleAtoi(users[1], &facts->effective_user)) return;
  const std::vector<absl::string_view> sets = FactWords(text, "CapEff:");
  uint64_t bits = 0;
  if (sets.empty() || !absl::SimpleHexAtoi(sets[0], &bits)) return;
  facts->net_admin = (bits >> kCapNetAdmin & 1) != 0;
  facts->ipc_lock = (bits >> kCapIpcLock & 1) != 0;
  facts->bpf = (bits >> kCapBpf & 1) != 0;
}

// Only the initial namespace maps every user to itself.
bool IsInitialNamespace(absl::string_view uid_map) {
  const std::vector<absl::string_view> words = Words(absl::StripAsciiWhitespace(uid_map));
  uint64_t inside = 0, outside = 0, count = 0;
  return words.size() == 3 && absl::SimpleAtoi(words[0], &inside) &&
         absl::SimpleAtoi(words[1], &outside) && absl::SimpleAtoi(words[2], &count) &&
         inside == 0 && outside == 0 && count == kEveryUser;
}

std::string Bytes(uint64_t bytes) {
  if (bytes >= 1 << 20) return absl::StrCat(bytes >> 20, " MiB");
  return absl::StrCat(bytes >> 10, " KiB");
}

}  // namespace

PermissionFacts ReadPermissionFacts(const MachineFiles& files) {
  PermissionFacts facts;
  ReadStatus(files.ReadLine("/proc/self/status"), &facts);
  const std::optional<std::string> uid_map = files.Read("/proc/self/uid_map");
  // A kernel without user namespaces has the initial one only.
  facts.initial_user_namespace = !uid_map.has_value() || IsInitialNamespace(*uid_map);
  const std::string limits = files.ReadLine("/proc/self/limits");
  const std::vector<absl::string_view> memlock = FactWords(limits, "Max locked memory");
  uint64_t bytes = 0;
  if (!memlock.empty() && absl::SimpleAtoi(memlock[0], &bytes)) facts.memlock_bytes = bytes;
  return facts;
}

std::string ToString(const PermissionFacts& facts) {
  return absl::StrCat(
      facts.effective_user == 0 ? "root" : absl::StrCat("user ", facts.effective_user),
      facts.initial_user_namespace ? "" : " of a user namespace", ", ",
      facts.net_admin ? "CAP_NET_ADMIN" : "no CAP_NET_ADMIN", ", ",
      facts.bpf ? "CAP_BPF" : "no CAP_BPF", ", memlock ",
      facts.ipc_lock || !facts.memlock_bytes.has_value() ? "unlimited"
                                                         : Bytes(*facts.memlock_bytes));
}

}  // namespace devmem
