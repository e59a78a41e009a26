// SPDX-License-Identifier: Apache-2.0
//
// Releases that wait for fences.

#include "uapi/fence_list.h"

#include <utility>

namespace devmem {

void FenceList::Add(std::span<const Frag> frags, Fence fence) {
  std::lock_guard<std::mutex> lock(mutex_);
  entries_.push_back(Entry{std::vector<Frag>(frags.begin(), frags.end()), std::move(fence)});
}

size_t FenceList::Poll(const ReleaseFunction& release) {
  std::vector<Entry> signaled;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < entries_.size();) {
      if (!entries_[i].fence.Signaled()) {
        ++i;
        continue;
      }
      signaled.push_back(std::move(entries_[i]));
      entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (const Entry& entry : signaled) release(entry.frags);
  return signaled.size();
}

bool FenceList::empty() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return entries_.empty();
}

void FenceList::AppendFds(std::vector<int>* fds, bool* has_callbacks) const {
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
