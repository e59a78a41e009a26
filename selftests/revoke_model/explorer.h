// SPDX-License-Identifier: Apache-2.0
// Explorer: walks every state that a small model can reach, breadth first, and finds the shortest
// way to a fault. The model is a class with a State (plain bytes without padding), an Action, and
// Expand(), FaultOf(), IsGoal() and IsKind(). Used by the tests of this folder, on their thread.
// Memory: a state, eight bytes of how it was reached, and about eight bytes of hash table each.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

namespace devmem::revoke_model {

// Invariants:
//   1. states are numbered in the order of their discovery, so a lower number is no farther from
//      the start.
//   2. No two numbers have the same bytes. States are compared whole: no state is taken for
//      another because their hashes are the same.
template <typename Model>
class Explorer {
 public:
  using State = typename Model::State;
  using Action = typename Model::Action;
  using Step = typename Model::Step;
  static_assert(std::has_unique_object_representations_v<State>, "padding would be compared");
  static_assert(sizeof(State) % sizeof(uint64_t) == 0, "the hash takes words");

  struct Result {
    uint64_t states = 0;
    uint64_t steps = 0;        // Transitions looked at.
    uint64_t goals = 0;        // States in which everything has come to rest.
    uint32_t depth = 0;        // Of the farthest state.
    bool exhausted = false;    // No state is left that was not looked at.
    std::vector<Action> path;  // To the first fault, or to the state that is stuck; else empty.
  };

  // Gives up when there are more than `states_max` states.
  Explorer(const Model& model, uint64_t states_max) : model_(model), states_max_(states_max) {}

  // Stops at the first fault. Its path is one of the shortest.
  Result Run(const State& start) {
    Result result;
    Insert(start, kNone, Action{});
    std::vector<Step> steps;
    for (uint32_t number = 0; number < count_; ++number) {
      const State state = at(number);
      result.depth = links(number).depth;
      if (model_.FaultOf(state) != nullptr) {
        result.path = PathTo(number);
        break;
      }
      if (model_.IsGoal(state)) ++result.goals;
      model_.Expand(state, steps);
      result.steps += steps.size();
      for (const Step& step : steps) Insert(step.next, number, step.action);
      if (count_ > states_max_) break;
    }
    result.states = count_;
    result.exhausted = result.path.empty() && count_ <= states_max_;
    return result;
  }

  // After a Run() without fault: a shortest way to a state from which no goal can be reached by
  // kind steps, if there is one. Looks backwards again and again until nothing changes: a state is
  // good when a step leads to a good one.
  std::optional<std::vector<Action>> FindStuck() {
    std::vector<uint8_t> good(count_, 0);
    std::vector<Step> steps;
    for (bool changed = true; changed;) {
      changed = false;
      for (uint32_t number = count_; number-- > 0;) {
        if (good[number] != 0) continue;
        const State& state = at(number);
        good[number] = model_.IsGoal(state) ? 1 : 0;
        if (good[number] == 0) model_.Expand(state, steps);
        for (size_t n = 0; good[number] == 0 && n < steps.size(); ++n) {
          if (model_.IsKind(state, steps[n].action)) good[number] = good[Find(steps[n].next)];
        }
        changed |= good[number] != 0;
      }
    }
    for (uint32_t number = 0; number < count_; ++number) {
      if (good[number] == 0) return PathTo(number);
    }
    return std::nullopt;
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kBlockStates = 1u << 14;

  struct Link {
    uint32_t parent;
    Action action;
    uint32_t depth;
  };
  struct Block {
    std::array<State, kBlockStates> states;
    std::array<Link, kBlockStates> links;
  };

  const State& at(uint32_t number) const {
    return blocks_[number / kBlockStates]->states[number % kBlockStates];
  }
  const Link& links(uint32_t number) const {
    return blocks_[number / kBlockStates]->links[number % kBlockStates];
  }

  static uint64_t Hash(const State& state) {
    std::array<uint64_t, sizeof(State) / sizeof(uint64_t)> words;
    std::memcpy(words.data(), &state, sizeof(state));
    uint64_t hash = 0;
    for (const uint64_t word : words) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 29;
    }
    return hash;
  }

  static bool Same(const State& a, const State& b) {
    return std::memcmp(&a, &b, sizeof(State)) == 0;
  }

  // The place of a state in the table: its own, or the empty one where it belongs.
  size_t Probe(const State& state) const {
    const size_t mask = table_.size() - 1;
    size_t place = Hash(state) & mask;
    while (table_[place] != kNone && !Same(at(table_[place]), state)) place = (place + 1) & mask;
    return place;
  }

  uint32_t Find(const State& state) const { return table_[Probe(state)]; }

  void Insert(const State& state, uint32_t parent, Action action) {
    if (2 * (uint64_t{count_} + 1) > table_.size()) Grow();
    const size_t place = Probe(state);
    if (table_[place] != kNone) return;
    // Not make_unique: it would write zeroes over a block that is filled anyway.
    if (count_ % kBlockStates == 0) blocks_.emplace_back(new Block);
    Block& block = *blocks_.back();
    block.states[count_ % kBlockStates] = state;
    const uint32_t depth = parent == kNone ? 0 : links(parent).depth + 1;
    block.links[count_ % kBlockStates] = Link{parent, action, depth};
    table_[place] = count_++;
  }

  void Grow() {
    table_.assign(table_.empty() ? 1u << 16 : 2 * table_.size(), kNone);
    for (uint32_t number = 0; number < count_; ++number) table_[Probe(at(number))] = number;
  }

  std::vector<Action> PathTo(uint32_t number) const {
    std::vector<Action> path(links(number).depth);
    for (size_t n = path.size(); n-- > 0; number = links(number).parent) {
      path[n] = links(number).action;
    }
    return path;
  }

  const Model& model_;
  const uint64_t states_max_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<uint32_t> table_;  // Numbers; a power of two, at most half full.
  uint32_t count_ = 0;
};

}  // namespace devmem::revoke_model
