// SPDX-License-Identifier: Apache-2.0
//
// Frags whose release waits for a fence. In an inline session the list belongs to the caller's thread; in
// a threaded one any connection may add and the application's threads ask, under a lock that no packet
// path takes.

#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "netmem/frag.h"
#include "uapi/fence.h"

namespace devmem {

class FenceList {
 public:
  using ReleaseFunction = std::function<void(std::span<const Frag>)>;

  void Add(std::span<const Frag> frags, Fence fence);
  // Asks every fence, and releases through `release` what has signaled. Returns how many fences that
  // were. Cheap when none waits.
  size_t Poll(const ReleaseFunction& release);
  bool empty() const;
  // Descriptors to wait on, appended; fences without one need to be asked again soon.
  void AppendFds(std::vector<int>* fds, bool* has_callbacks) const;

 private:
  struct Entry {
    std::vector<Frag> frags;
    Fence fence;
  };

  mutable std::mutex mutex_;
  std::deque<Entry> entries_;  // Guarded by mutex_.
};

}  // namespace devmem
