// SPDX-License-Identifier: Apache-2.0
//
// The connections of a listener that wait to be accepted, oldest first: a list through the
// connections themselves, so that one that ends while it waits leaves from any place at once,
// however many wait. The engine calls it on its worker's thread (RFC 9293 section 3.10.1).

#pragma once

#include <cstdint>

namespace devmem {

inline constexpr uint32_t kNoConnectionIndex = UINT32_MAX;

// A connection's neighbours in the queue; kNoConnectionIndex at either end, and outside a queue.
struct AcceptLinks {
  uint32_t next = kNoConnectionIndex;
  uint32_t previous = kNoConnectionIndex;
};

// `links_of(index)` is the AcceptLinks& of a connection; it is asked at most three times a call.
class AcceptQueue {
 public:
  uint32_t front() const { return front_; }  // kNoConnectionIndex: nobody waits.
  uint32_t size() const { return size_; }

  // `index` is in no queue.
  template <typename LinksOf>
  void PushBack(uint32_t index, LinksOf links_of) {
    links_of(index).previous = back_;
    (back_ == kNoConnectionIndex ? front_ : links_of(back_).next) = index;
    back_ = index;
    ++size_;
  }

  // `index` is in this queue.
  template <typename LinksOf>
  void Remove(uint32_t index, LinksOf links_of) {
    AcceptLinks& links = links_of(index);
    (links.previous == kNoConnectionIndex ? front_ : links_of(links.previous).next) = links.next;
    (links.next == kNoConnectionIndex ? back_ : links_of(links.next).previous) = links.previous;
    links = {};
    --size_;
  }

 private:
  uint32_t front_ = kNoConnectionIndex;
  uint32_t back_ = kNoConnectionIndex;
  uint32_t size_ = 0;
};

}  // namespace devmem
