// SPDX-License-Identifier: Apache-2.0
//
// The flow rules of a stack session, each with its users. A listener's rule also steers the
// connections that were accepted through it, and goes with the last of them. The NIC wants its
// rules changed by one thread at a time, while connections of a threaded session go in any: a lock
// sees to that. Outlives its holds.

#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/nic/netdev.h"

namespace devmem {

class FlowRuleBook {
 public:
  // One user of a rule. The default one holds nothing.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept
        : book_(std::exchange(other.book_, nullptr)), id_(std::exchange(other.id_, 0)) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(book_, other.book_);
      std::swap(id_, other.id_);
      return *this;
    }
    ~Hold() {
      if (book_ != nullptr) book_->Drop(id_);
    }
    // Another user of the same rule. Any thread.
    Hold Share() const { return book_ != nullptr ? book_->Share(id_) : Hold(); }

   private:
    friend class FlowRuleBook;
    Hold(FlowRuleBook* book, FlowRuleId id) : book_(book), id_(id) {}

    FlowRuleBook* book_ = nullptr;
    FlowRuleId id_ = 0;
  };

  // `nic` outlives the book.
  explicit FlowRuleBook(Netdev* nic) : nic_(nic) {}
  FlowRuleBook(const FlowRuleBook&) = delete;
  FlowRuleBook& operator=(const FlowRuleBook&) = delete;

  // The rule that is there already for this match and queue, or a new one. Errors:
  // Netdev::AddRule().
  absl::StatusOr<Hold> Add(const FlowMatch& match, uint32_t queue, bool bound);
  // These queues are about to be bound: rules of connections without a binding no longer lead
  // there, or their payload would end up in the region.
  void RemoveUnbound(std::span<const uint32_t> queues);

 private:
  struct Entry {
    FlowRule rule;
    bool bound = false;
    uint32_t users = 0;
  };

  Hold Share(FlowRuleId id);
  void Drop(FlowRuleId id);

  Netdev* const nic_;
  std::mutex mutex_;
  std::vector<Entry> entries_;  // Guarded by mutex_.
};

}  // namespace devmem
