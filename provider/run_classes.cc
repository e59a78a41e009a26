// SPDX-License-Identifier: Apache-2.0
// See run_classes.h.
#include "provider/run_classes.h"

#include "provider/check.h"

namespace devmem {
RunClasses::RunClasses(uint64_t words) {
  uint64_t group_count = 0;
  for (uint64_t bits = words;; bits = (bits + 63) / 64) {
    DEVMEM_CHECK(bits > 0 && level_count_ < kLevelsMax, "an index of no or of too many words");
    counts_[level_count_] = bits;
    first_group_[level_count_] = group_count;
    group_count += (bits + 63) / 64;
    ++level_count_;
    if (bits <= 64) break;
  }
  groups_ = LazyArray<Group>(group_count);
  if (!groups_.ok()) return;
  for (uint32_t level = 0; level < level_count_; ++level) {
    const uint64_t last = (counts_[level] - 1) / 64;
    if (counts_[level] % 64 == 0) continue;
    const uint64_t behind = kAll << (counts_[level] % 64);
    for (uint64_t& lacking : groups_[first_group_[level] + last].lacking) lacking = behind;
  }
}

void RunClasses::Lose(uint32_t level, uint64_t index, uint32_t to, uint32_t from) {
  for (; level < level_count_; ++level) {
    Group& group = GroupOf(level, index);
    const uint64_t bit = uint64_t{1} << (index % 64);
    for (uint32_t n = to; n < from; ++n) group.lacking[n] |= bit;
    // By invariant 1 the reaches that the whole group lacks are the longest of them.
    while (to < from && group.lacking[to] != kAll) ++to;
    if (to == from) return;
    index /= 64;
  }
}

void RunClasses::Win(uint32_t level, uint64_t index, uint32_t from, uint32_t to) {
  for (; level < level_count_; ++level) {
    Group& group = GroupOf(level, index);
    const uint64_t bit = uint64_t{1} << (index % 64);
    uint32_t lacked = from;  // The shortest of them that the whole group lacked.
    while (lacked < to && group.lacking[lacked] != kAll) ++lacked;
    for (uint32_t n = from; n < to; ++n) group.lacking[n] &= ~bit;
    if (lacked == to) return;
    from = lacked;
    index /= 64;
  }
}

void RunClasses::ChangeAll(uint32_t level, uint64_t first, uint64_t end, bool lose) {
  const auto change = [&](uint64_t index) {
    if (lose) {
      Lose(level, index, 0, kReachMax);
    } else {
      Win(level, index, 0, kReachMax);
    }
  };
  while (first < end && first % 64 != 0) change(first++);
  while (first < end && end % 64 != 0) change(--end);
  if (first == end) return;
  for (uint64_t index = first; index < end; index += 64) {
    GroupOf(level, index).lacking.fill(lose ? kAll : 0);
  }
  if (level + 1 < level_count_) ChangeAll(level + 1, first / 64, end / 64, lose);
}

uint64_t RunClasses::LowestFrom(uint32_t reach, uint64_t from) const {
  // Up until a group has something at or behind `from`, then down to the lowest of it.
  for (uint32_t level = 0; level < level_count_; ++level) {
    if (from >= counts_[level]) return kNone;
    const uint64_t has =
        ~groups_[first_group_[level] + from / 64].lacking[reach - 1] & (kAll << (from % 64));
    if (has == 0) {
      from = from / 64 + 1;
      continue;
    }
    uint64_t index = from / 64 * 64 + static_cast<uint64_t>(std::countr_zero(has));
    while (level-- > 0) {
      const uint64_t lacking = groups_[first_group_[level] + index].lacking[reach - 1];
      index = index * 64 + static_cast<uint64_t>(std::countr_one(lacking));
    }
    return index;
  }
  return kNone;
}

}  // namespace devmem
