// SPDX-License-Identifier: Apache-2.0
//
// Publishing a completion: everything behind the first word, then the word.

#include "netmem/gvnic/completion_ring.h"

#include <atomic>
#include <cstring>

namespace devmem {
namespace {

// The release pairs with the driver's read barrier behind its look at the generation bit: who sees
// the bit sees the rest of the entry, and the packet's bytes, which were written before. `to` is
// aligned to the word.
template <typename Word>
void Publish(uint8_t* to, uint64_t word) {
  std::atomic_ref<Word>(*reinterpret_cast<Word*>(to))
      .store(static_cast<Word>(word), std::memory_order_release);
}

}  // namespace

bool CompletionRing::Write(std::span<const uint8_t> entry) {
  const uint64_t address = address_ + uint64_t{next_} * format_.entry_bytes;
  uint64_t word = 0;
  std::memcpy(&word, entry.data(), format_.word_bytes);
  if (generation_) word |= format_.generation_bit;
  next_ = (next_ + 1) & (entries_ - 1);
  if (next_ == 0) generation_ = !generation_;

  uint8_t* const to = memory_->Write(address, format_.entry_bytes);
  // A range may be mapped at an address of any alignment, and a word cannot be stored at one.
  if (to == nullptr || reinterpret_cast<uintptr_t>(to) % format_.word_bytes != 0) return false;
  std::memcpy(to + format_.word_bytes, entry.data() + format_.word_bytes,
              format_.entry_bytes - format_.word_bytes);
  if (format_.word_bytes == sizeof(uint32_t)) {
    Publish<uint32_t>(to, word);
  } else {
    Publish<uint64_t>(to, word);
  }
  return true;
}

}  // namespace devmem
