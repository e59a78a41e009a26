// SPDX-License-Identifier: Apache-2.0
//
// Releases that wait for fences.

#include "uapi/fence_list.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {

void FenceList::Add(std::span<const Frag> frags, Fence fence) {
  std::lock_guard<std::mutex> lock(mutex_);
  entries_.push_back(Entry{std::vector<Frag>(frags.begin(), frags.end()), std::move(fence)});
  count_.store(entries_.size(), std::memory_order_release);
}

size_t FenceList::Poll(const ReleaseFunction& release) {
  if (empty()) return 0;
  std::vector<Entry> signaled;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Entry> waiting;
    for (Entry& entry : entries_) {
      (entry.fence.Signaled() ? signaled : waiting).push_back(std::move(entry));
    }
    entries_ = std::move(waiting);
    count_.store(entries_.size(), std::memory_order_release);
  }
  for (const Entry& entry : signaled) release(entry.frags);
  return signaled.size();
}

size_t FenceList::Count(const std::function<bool(const Frag&)>& is_such) {
  if (empty()) return 0;
  size_t count = 0;
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Entry& entry : entries_) {
    count += static_cast<size_t>(std::count_if(entry.frags.begin(), entry.frags.end(), is_such));
  }
  return count;
}

absl::Status CheckNoFences(BindingId binding, size_t frags) {
  if (frags == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "binding ", binding, " has ", frags,
      " frags whose fence has not signaled, so a device may "
      "still read them; drive the session until they came back, or have the region revoked"));
}

void FenceList::AppendFds(std::vector<int>* fds, bool* has_callbacks) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.fence.fd() >= 0) {
      fds->push_back(entry.fence.fd());
    } else {
      *has_callbacks = true;
    }
  }
}

}  // namespace devmem
