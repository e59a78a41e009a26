// SPDX-License-Identifier: Apache-2.0
// See piece_map.h.
#include "provider/piece_map.h"

#include <algorithm>
#include <bit>

#include "provider/check.h"

namespace devmem {
namespace {

constexpr uint64_t kAll = UINT64_MAX;

// Bits [from, to) of a word.
uint64_t Mask(uint64_t from, uint64_t to) {
  return (to == 64 ? kAll : (uint64_t{1} << to) - 1) & (kAll << from);
}

// The bits of `free` at which `count` ones begin, for 1 to 64.
uint64_t StartsOfRuns(uint64_t free, uint64_t count) {
  uint64_t have = 1;
  for (; have * 2 <= count; have *= 2) free &= free >> have;
  return count > have ? free & (free >> (count - have)) : free;
}

// The most neighbouring ones. Doubles the length until none has it, then adds the smaller powers of
// two that still fit.
uint32_t LongestRun(uint64_t bits) {
  if (bits == 0) return 0;
  if (bits == kAll) return 64;
  std::array<uint64_t, 6> starts;  // Where runs of 1 << n begin.
  starts[0] = bits;
  uint32_t power = 0;
  while (power < 5) {
    const uint64_t next = starts[power] & (starts[power] >> (1u << power));
    if (next == 0) break;
    starts[++power] = next;
  }
  uint64_t begin = starts[power];
  uint32_t length = 1u << power;
  while (power-- > 0) {
    const uint64_t longer = begin & (starts[power] >> length);
    if (longer == 0) continue;
    begin = longer;
    length += 1u << power;
  }
  return length;
}

}  // namespace

PieceMap::PieceMap(uint64_t count) : count_(count) {
  DEVMEM_CHECK(count > 0 && count <= kGranulesMax, "a map of no or of too many granules");
  const uint64_t words = (count + 63) / 64;
  std::array<uint64_t, kLevelsMax> nodes = {words};
  uint64_t node_count = 0;
  level_count_ = 1;
  do {
    nodes[level_count_] = (nodes[level_count_ - 1] + kFanOut - 1) / kFanOut;
    first_node_[level_count_] = node_count;
    // Whole families, so that Merge() never looks behind the end.
    node_count += (nodes[level_count_] + kFanOut - 1) / kFanOut * kFanOut;
  } while (nodes[level_count_++] > 1);
  words_ = LazyArray<Word>((words + kFanOut - 1) / kFanOut * kFanOut);
  nodes_ = LazyArray<Node>(node_count);
  classes_ = RunClasses(words);
  ok_ = words_.ok() && nodes_.ok() && classes_.ok();
  if (!ok_) return;

  for (uint64_t word = words; word < words_.size(); ++word) words_[word] = {kAll, 0, 64, 64, 64};
  if (count % 64 != 0) {
    (void)ChangeBits(words - 1, Mask(count % 64, 64), true);
    RefreshReach(words - 1);
  }
  for (uint32_t level = 1; level < level_count_; ++level) {
    (void)SetNode(level, nodes[level] - 1, Merge(level, nodes[level] - 1));
    for (uint64_t node = nodes[level]; node % kFanOut != 0; ++node) SetNode(level, node, Runs{});
  }
}

uint64_t PieceMap::longest() const {
  const uint32_t longest = RunsAt(level_count_ - 1, 0).longest;
  if (longest > 0) return longest;
  uint32_t reach = RunClasses::kReachMax;
  while (reach > 0 && classes_.Lowest(reach) == RunClasses::kNone) --reach;
  return reach;
}

PieceMap::Runs PieceMap::RunsAt(uint32_t level, uint64_t index) const {
  if (level == 0) {
    const Word& word = words_[index];
    return {64u - word.prefix, 64u - word.suffix, word.prefix == 0 ? 64u : 0};
  }
  const Node& node = nodes_[first_node_[level] + index];
  const uint32_t span = SpanOf(level);
  return {span - node.prefix, span - node.suffix, span - node.longest};
}

PieceMap::Runs PieceMap::Merge(uint32_t level, uint64_t index) const {
  const uint32_t span = SpanOf(level - 1);
  Runs merged;
  uint32_t run = 0;  // Free, and ends with the child before.
  bool free_so_far = true;
  for (uint64_t child = index * kFanOut; child < (index + 1) * kFanOut; ++child) {
    const Runs runs = RunsAt(level - 1, child);
    merged.longest = std::max({merged.longest, runs.longest, run + runs.prefix});
    merged.prefix += free_so_far ? runs.prefix : 0;
    free_so_far = free_so_far && runs.prefix == span;
    run = runs.prefix == span ? run + span : runs.suffix;
  }
  merged.suffix = run;
  if (merged.longest < RunClasses::kReachMax) merged.longest = 0;
  return merged;
}

// Whether that was news.
bool PieceMap::SetNode(uint32_t level, uint64_t index, const Runs& runs) {
  const uint32_t span = SpanOf(level);
  const Node node = {span - runs.prefix, span - runs.suffix, span - runs.longest};
  Node& stored = nodes_[first_node_[level] + index];
  if (stored == node) return false;
  stored = node;
  return true;
}

uint64_t PieceMap::Find(uint64_t count, uint64_t alignment, uint64_t bias) const {
  return count <= RunClasses::kReachMax ? FindShort(count, alignment, bias)
                                        : FindLong(count, alignment, bias);
}

// The granules of a word with which `count` free ones begin, also where they end in the next word.
uint64_t PieceMap::StartsIn(uint64_t word, uint64_t count) const {
  uint64_t starts = StartsOfRuns(~words_[word].used, count);
  const uint64_t here = std::min<uint64_t>(64u - words_[word].suffix, count - 1);
  const uint64_t there = std::min<uint64_t>(PrefixOf(word + 1), count - 1);
  if (here + there >= count) starts |= Mask(64 - here, 64 - (count - there) + 1);
  return starts;
}

uint64_t PieceMap::FindShort(uint64_t count, uint64_t alignment, uint64_t bias) const {
  // A run of that many has an aligned place, wherever it begins; so has any word in which one does.
  const uint64_t always_enough = count + (alignment - 1);
  if (always_enough > RunClasses::kReachMax) {
    const uint64_t found = FindLong(always_enough, 1, 0);
    if (found != kNone) return ((found + bias + alignment - 1) & ~(alignment - 1)) - bias;
  }
  const auto reach = static_cast<uint32_t>(count);
  for (uint64_t word = classes_.Lowest(reach); word != RunClasses::kNone;
       word = classes_.LowestFrom(reach, word + 1)) {
    for (uint64_t starts = StartsIn(word, count); starts != 0; starts &= starts - 1) {
      const uint64_t first = word * 64 + static_cast<uint64_t>(std::countr_zero(starts));
      if (((first + bias) & (alignment - 1)) == 0) return first;
    }
  }
  return kNone;
}

uint64_t PieceMap::FindLong(uint64_t count, uint64_t alignment, uint64_t bias) const {
  const uint32_t top = level_count_ - 1;
  const uint64_t longest = RunsAt(top, 0).longest;
  if (count > longest) return kNone;
  Walk walk = {.count = count, .alignment = alignment, .bias = bias};
  const uint64_t always_enough = count + (alignment - 1);
  if (alignment > 1 && always_enough <= longest) {
    walk.run_first = FindLong(always_enough, 1, 0);
    walk.run = always_enough;
    if (Fits(walk)) return walk.found;
    walk = {.count = count, .alignment = alignment, .bias = bias};
  }
  (void)Visit(top, 0, walk);
  return walk.found;
}

// Whether the walk's run holds what is asked, at an aligned place.
bool PieceMap::Fits(Walk& walk) {
  const uint64_t up = walk.alignment - 1;
  const uint64_t first = ((walk.run_first + walk.bias + up) & ~up) - walk.bias;
  if (first + walk.count > walk.run_first + walk.run) return false;
  walk.found = first;
  return true;
}

bool PieceMap::Visit(uint32_t level, uint64_t index, Walk& walk) const {
  const uint32_t span = SpanOf(level);
  const Runs runs = RunsAt(level, index);
  if (walk.run == 0) walk.run_first = index * span;
  walk.run += runs.prefix;
  if (Fits(walk)) return true;
  if (runs.prefix == span) return false;
  if (level == 0 || runs.longest < walk.count) {
    walk.run = runs.suffix;
    walk.run_first = (index + 1) * span - runs.suffix;
    return false;
  }
  walk.run -= runs.prefix;  // The children say it again.
  for (uint64_t child = index * kFanOut; child < (index + 1) * kFanOut; ++child) {
    if (Visit(level - 1, child, walk)) return true;
  }
  return false;
}

// A piece ends before the next one begins, before the next granule that is free, or with the map.
uint64_t PieceMap::EndOfPiece(uint64_t first) const {
  uint64_t word = (first + 1) / 64;
  uint64_t look = kAll << ((first + 1) % 64);
  for (; word * 64 < count_; ++word, look = kAll) {
    const uint64_t ends = (words_[word].begins | ~words_[word].used) & look;
    if (ends != 0) return word * 64 + static_cast<uint64_t>(std::countr_zero(ends));
  }
  return count_;
}

void PieceMap::Change(uint64_t first, uint64_t count, bool used) {
  const uint64_t end = first + count;
  const uint64_t first_word = first / 64;
  const uint64_t last_word = (end - 1) / 64;
  const uint32_t prefix = PrefixOf(first_word);
  bool edge_changed = false;
  if (first_word == last_word) {
    edge_changed = ChangeBits(first_word, Mask(first % 64, (end - 1) % 64 + 1), used);
  } else {
    edge_changed = true;
    (void)ChangeBits(first_word, Mask(first % 64, 64), used);
    if (first_word + 1 < last_word) ChangeWholeWords(first_word + 1, last_word, used);
    (void)ChangeBits(last_word, Mask(0, (end - 1) % 64 + 1), used);
    RefreshReach(last_word);
  }
  RefreshReach(first_word);
  if (first_word > 0 && PrefixOf(first_word) != prefix) RefreshReach(first_word - 1);
  if (edge_changed) Climb(first_word, last_word, used);
}

// Whether the runs at the word's edges are different now.
bool PieceMap::ChangeBits(uint64_t index, uint64_t mask, bool used) {
  Word& word = words_[index];
  const uint64_t bits = used ? word.used | mask : word.used & ~mask;
  word.used = bits;
  const auto prefix = static_cast<uint8_t>(64 - std::countr_zero(bits));
  const auto suffix = static_cast<uint8_t>(64 - std::countl_zero(bits));
  const bool changed = word.prefix != prefix || word.suffix != suffix;
  word.prefix = prefix;
  word.suffix = suffix;
  return changed;
}

void PieceMap::ChangeWholeWords(uint64_t first, uint64_t end, bool used) {
  const Word runs = used ? Word{kAll, 0, 64, 64, 64} : Word{};
  for (uint64_t word = first; word < end; ++word) words_[word] = runs;
  if (used) {
    classes_.LoseAll(first, end);
  } else {
    classes_.WinAll(first, end);
  }
}

void PieceMap::RefreshReach(uint64_t index) {
  Word& word = words_[index];
  const uint32_t into_next = word.suffix == 64 ? 0 : 64u - word.suffix + PrefixOf(index + 1);
  const uint32_t reach =
      std::min(std::max(LongestRun(~word.used), into_next), RunClasses::kReachMax);
  classes_.Change(index, 64u - word.reach, reach);
  word.reach = static_cast<uint8_t>(64 - reach);
}

// Brings the nodes above the words up to date. Those strictly between the two ends are wholly used
// or wholly free; it ends below the first level on which nothing is different.
void PieceMap::Climb(uint64_t first_word, uint64_t last_word, bool used) {
  uint64_t first = first_word;
  uint64_t last = last_word;
  for (uint32_t level = 1; level < level_count_; ++level) {
    first /= kFanOut;
    last /= kFanOut;
    bool changed = SetNode(level, first, Merge(level, first));
    const uint32_t free = used ? 0 : SpanOf(level);
    for (uint64_t node = first + 1; node < last; ++node) {
      changed = SetNode(level, node, Runs{free, free, free}) || changed;
    }
    if (last != first) changed = SetNode(level, last, Merge(level, last)) || changed;
    if (!changed) return;
  }
}

}  // namespace devmem
