// SPDX-License-Identifier: Apache-2.0
//
// The search for a smaller script.

#include "selftests/model/walk_shrink.h"

#include <algorithm>

namespace devmem::testing {
namespace {

class Shrinker {
 public:
  Shrinker(const WalkScript& script, const StillFails& still_fails, uint32_t runs_left)
      : best_(script), still_fails_(still_fails), runs_left_(runs_left) {}

  WalkScript Run() {
    size_t before = 0;
    do {
      before = best_.ops.size();
      LeaveOut();
      SmallerNumbers();
    } while (best_.ops.size() < before && runs_left_ != 0);
    return best_;
  }

 private:
  bool Try(const WalkScript& candidate) {
    if (runs_left_ == 0) return false;
    --runs_left_;
    if (!still_fails_(candidate)) return false;
    best_ = candidate;
    return true;
  }

  // Chunks of half the script, of a quarter, and so on down to single operations.
  void LeaveOut() {
    for (size_t chunk = std::max<size_t>(best_.ops.size() / 2, 1); chunk != 0; chunk /= 2) {
      for (size_t at = 0; at < best_.ops.size();) {
        WalkScript candidate = best_;
        const auto begin = candidate.ops.begin() + static_cast<ptrdiff_t>(at);
        const size_t count = std::min(chunk, candidate.ops.size() - at);
        candidate.ops.erase(begin, begin + static_cast<ptrdiff_t>(count));
        if (!Try(candidate)) at += chunk;
      }
    }
  }

  void SmallerNumbers() {
    for (size_t at = 0; at < best_.ops.size(); ++at) {
      for (uint32_t WalkOp::*field : {&WalkOp::x, &WalkOp::y}) {
        while (best_.ops[at].*field > 1) {
          WalkScript candidate = best_;
          candidate.ops[at].*field /= 2;
          if (!Try(candidate)) break;
        }
      }
    }
  }

  WalkScript best_;
  const StillFails& still_fails_;
  uint32_t runs_left_;
};

}  // namespace

WalkScript Shrink(const WalkScript& script, const StillFails& still_fails, uint32_t runs_max) {
  return Shrinker(script, still_fails, runs_max).Run();
}

}  // namespace devmem::testing
