// SPDX-License-Identifier: Apache-2.0
// The bytes of one connection that we send: queued by the user, kept until acknowledged. A ring
// that begins at snd_una. Write() runs in the user's call; Peek() and Consume() on the receive
// path, which never allocates. All on the worker's thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "netmem/tcp/limits.h"

namespace devmem {

// There is no memory before the first Write(); then the ring starts with kSendBufferBytesFirst and
// doubles as it must, up to the capacity. The start of the ring is kept a second time behind its
// end, so that a segment is in one piece also where the ring wraps.
//
//      snd_una                              offset size()
//         |-- sent, unacknowledged --|-- not yet sent --|-- free() --|
//
// Invariants:
//   1. head_ < ring_bytes_ and size_ <= ring_bytes_ <= capacity_bytes_, unless there is no ring.
//   2. ring_[ring_bytes_ + i] == ring_[i] for each i < overlap() that holds bytes behind the wrap.
class SendBuffer {
 public:
  // A buffer that takes nothing.
  SendBuffer() = default;

  // Errors: kInvalidArgument  `capacity_bytes` is 0 or more than kSendBufferBytesMax.
  static absl::StatusOr<SendBuffer> Create(size_t capacity_bytes);

  SendBuffer(SendBuffer&& other) noexcept;
  SendBuffer& operator=(SendBuffer&& other) noexcept;

  // Takes as much of `bytes` as fits and returns how much that was. Allocates: never call it while
  // a packet is handled.
  size_t Write(std::span<const uint8_t> bytes);

  // The stored bytes from `offset` after snd_una on, at most `max_bytes`: all of them up to
  // kSendBufferOverlapBytes, more only as far as they lie in one piece. Empty from size() on. Valid
  // until the next Write() or Consume().
  std::span<const uint8_t> Peek(size_t offset, size_t max_bytes) const;

  // Forgets the first `bytes`, at most size(): they were acknowledged.
  void Consume(size_t bytes);

  size_t size() const { return size_; }
  size_t free() const { return capacity_bytes_ - size_; }
  size_t capacity() const { return capacity_bytes_; }
  bool empty() const { return size_ == 0; }

 private:
  explicit SendBuffer(size_t capacity_bytes)
      : capacity_bytes_(static_cast<uint32_t>(capacity_bytes)) {}
  void Grow(size_t needed_bytes);
  size_t overlap() const { return std::min<size_t>(ring_bytes_, kSendBufferOverlapBytes); }

  std::unique_ptr<uint8_t[]> ring_;
  uint32_t capacity_bytes_ = 0;
  uint32_t ring_bytes_ = 0;
  uint32_t head_ = 0;
  uint32_t size_ = 0;
};

}  // namespace devmem
