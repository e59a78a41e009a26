// SPDX-License-Identifier: Apache-2.0
//
// See queue_holder.h. A file is lines of a word and a value.

#include "tools/queue_holder.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "provider/unique_fd.h"
#include "uapi/stats_owner.h"

namespace devmem {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "binding-";

// Restarting a queue takes tens of milliseconds, and there may be many.
constexpr int kHolderEndMillis = 10'000;

std::string PathOf(absl::string_view folder, uint32_t binding) {
  return absl::StrCat(folder, "/", kPrefix, binding);
}

absl::StatusOr<QueueHolder> Parse(const std::string& path) {
  std::ifstream file(path);
  std::map<std::string, std::string> values;
  for (std::string word, value; file >> word >> value;) values[word] = value;
  QueueHolder holder;
  int64_t pid = 0;
  if (!absl::SimpleAtoi(values["binding"], &holder.binding) ||
      !absl::SimpleAtoi(values["pid"], &pid) || pid <= 1 || pid > INT32_MAX ||
      !absl::SimpleAtoi(values["start"], &holder.start_ticks) ||
      !absl::SimpleAtoi(values["bytes"], &holder.bytes)) {
    return absl::DataLossError(absl::StrCat(path, " is no run file of devmemctl; remove it"));
  }
  holder.pid = static_cast<pid_t>(pid);
  holder.device = values["device"];
  holder.provider = values["provider"];
  for (const absl::string_view text : absl::StrSplit(values["queues"], ',', absl::SkipEmpty())) {
    uint32_t queue = 0;
    if (absl::SimpleAtoi(text, &queue)) holder.queues.push_back(queue);
  }
  return holder;
}

}  // namespace

std::string HolderFolder() {
  const char* const chosen = std::getenv("DEVMEMCTL_RUN_DIR");
  if (chosen != nullptr) return chosen;
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  return geteuid() == 0 || runtime == nullptr ? "/run/devmemctl"
                                              : absl::StrCat(runtime, "/devmemctl");
}

absl::Status WriteHolder(absl::string_view folder, QueueHolder holder) {
  std::error_code error;
  fs::create_directories(std::string(folder), error);
  holder.pid = getpid();
  holder.start_ticks = StartTicks(holder.pid);
  const std::string path = PathOf(folder, holder.binding);
  std::ofstream file(path, std::ios::trunc);
  file << "binding " << holder.binding << "\npid " << holder.pid << "\nstart " << holder.start_ticks
       << "\ndevice " << holder.device << "\nqueues " << absl::StrJoin(holder.queues, ",")
       << "\nprovider " << holder.provider << "\nbytes " << holder.bytes << "\n";
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      path, " cannot be written: ", std::strerror(errno),
      "; name a folder of yours in DEVMEMCTL_RUN_DIR, where `queue unbind` looks, too"));
}

void RemoveHolder(absl::string_view folder, uint32_t binding) {
  std::error_code error;
  fs::remove(PathOf(folder, binding), error);
}

absl::StatusOr<QueueHolder> ReadHolder(absl::string_view folder, uint32_t binding) {
  const std::string path = PathOf(folder, binding);
  if (fs::exists(path)) return Parse(path);
  std::vector<uint32_t> others;
  for (const QueueHolder& holder : ListHolders(folder)) others.push_back(holder.binding);
  return absl::NotFoundError(absl::StrCat(
      "no `devmemctl queue bind` holds binding ", binding,
      others.empty() ? "; there is none at all" : "; there are ", absl::StrJoin(others, ", "),
      ". Other programs' bindings end with those programs"));
}

std::vector<QueueHolder> ListHolders(absl::string_view folder) {
  std::vector<QueueHolder> holders;
  std::error_code error;
  fs::directory_iterator entry(std::string(folder), error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (!absl::StartsWith(entry->path().filename().string(), kPrefix)) continue;
    absl::StatusOr<QueueHolder> holder = Parse(entry->path().string());
    if (holder.ok()) holders.push_back(*std::move(holder));
  }
  std::sort(holders.begin(), holders.end(),
            [](const QueueHolder& a, const QueueHolder& b) { return a.binding < b.binding; });
  return holders;
}

absl::Status EndHolder(const QueueHolder& holder) {
  // The descriptor names the process for good, so that what is compared is what gets the signal.
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, holder.pid, 0)));
  if (!process.valid() || StartTicks(holder.pid) != holder.start_ticks) {
    return absl::NotFoundError(absl::StrCat("process ", holder.pid, ", which held binding ",
                                            holder.binding, ", is gone, and the binding with it"));
  }
  if (syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("process ", holder.pid,
                                                    " cannot be ended: ", std::strerror(errno),
                                                    "; unbind as the user who bound"));
  }
  pollfd ended = {process.get(), POLLIN, 0};
  if (poll(&ended, 1, kHolderEndMillis) == 1) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("process ", holder.pid, " did not end within ",
                                                  kHolderEndMillis, " ms; `kill -9 ", holder.pid,
                                                  "` ends it and the binding"));
}

}  // namespace devmem
