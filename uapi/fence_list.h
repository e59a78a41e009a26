// SPDX-License-Identifier: Apache-2.0
//
// Frags whose release waits for a fence. In an inline session the list belongs to the caller's
// thread. In a threaded one each worker has a list, to which the application's threads add; its own
// thread asks, and takes the lock only while something waits.

#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "netmem/binding.h"
#include "netmem/frag.h"
#include "uapi/fence.h"

namespace devmem {

class FenceList {
 public:
  using ReleaseFunction = std::function<void(std::span<const Frag>)>;

  void Add(std::span<const Frag> frags, Fence fence);
  // Asks every fence, and releases through `release` what has signaled. Returns how many fences
  // that were. Cheap when none waits.
  size_t Poll(const ReleaseFunction& release);
  // How many of the frags that wait are such. Holds the list's lock meanwhile.
  size_t Count(const std::function<bool(const Frag&)>& is_such);
  // Descriptors to wait on, appended; fences without one need to be asked again soon.
  void AppendFds(std::vector<int>* fds, bool* has_callbacks);
  // Any thread.
  bool empty() const { return count_.load(std::memory_order_acquire) == 0; }

 private:
  struct Entry {
    std::vector<Frag> frags;
    Fence fence;
  };

  std::mutex mutex_;
  std::vector<Entry> entries_;    // Guarded by mutex_.
  std::atomic<size_t> count_{0};  // Of entries_; written under mutex_.
};

// Whether a binding may be ended by its owner while `frags` of its frags wait for a fence:
// kFailedPrecondition when there are any.
absl::Status CheckNoFences(BindingId binding, size_t frags);

}  // namespace devmem
