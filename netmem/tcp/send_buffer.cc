// SPDX-License-Identifier: Apache-2.0
// The ring of the send buffer. Growing lays its bytes out from the start of the new ring.
#include "netmem/tcp/send_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/check.h"

namespace devmem {

absl::StatusOr<SendBuffer> SendBuffer::Create(size_t capacity_bytes) {
  if (capacity_bytes == 0 || capacity_bytes > kSendBufferBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "send buffer of ", capacity_bytes, " bytes: choose from 1 to ", kSendBufferBytesMax));
  }
  return SendBuffer(capacity_bytes);
}

SendBuffer::SendBuffer(SendBuffer&& other) noexcept
    : ring_(std::move(other.ring_)),
      capacity_bytes_(std::exchange(other.capacity_bytes_, 0u)),
      ring_bytes_(std::exchange(other.ring_bytes_, 0u)),
      head_(std::exchange(other.head_, 0u)),
      size_(std::exchange(other.size_, 0u)) {}

SendBuffer& SendBuffer::operator=(SendBuffer&& other) noexcept {
  ring_ = std::move(other.ring_);
  capacity_bytes_ = std::exchange(other.capacity_bytes_, 0u);
  ring_bytes_ = std::exchange(other.ring_bytes_, 0u);
  head_ = std::exchange(other.head_, 0u);
  size_ = std::exchange(other.size_, 0u);
  return *this;
}

size_t SendBuffer::Write(std::span<const uint8_t> bytes) {
  bytes = bytes.first(std::min(bytes.size(), free()));
  if (bytes.empty()) return 0;
  if (size_ + bytes.size() > ring_bytes_) Grow(size_ + bytes.size());
  const size_t tail = (size_t{head_} + size_) % ring_bytes_;
  const size_t before_end = std::min(bytes.size(), ring_bytes_ - tail);
  std::copy_n(bytes.begin(), before_end, &ring_[tail]);
  const std::span<const uint8_t> wrapped = bytes.subspan(before_end);
  std::copy(wrapped.begin(), wrapped.end(), &ring_[0]);
  // What lies behind the wrap goes behind the ring's end as well.
  const bool behind = !wrapped.empty() || tail < head_;
  const size_t start = wrapped.empty() ? tail : 0;
  const size_t end = std::min(wrapped.empty() ? tail + before_end : wrapped.size(), overlap());
  if (behind && start < end) {
    std::copy(&ring_[start], &ring_[0] + end, &ring_[ring_bytes_ + start]);
  }
  size_ += static_cast<uint32_t>(bytes.size());
  return bytes.size();
}

void SendBuffer::Grow(size_t needed_bytes) {
  const size_t new_bytes = std::min<size_t>(
      capacity_bytes_, std::max(kSendBufferBytesFirst, std::bit_ceil(needed_bytes)));
  auto new_ring = std::make_unique_for_overwrite<uint8_t[]>(
      new_bytes + std::min(new_bytes, kSendBufferOverlapBytes));
  size_t moved = 0;
  while (moved < size_) {
    const std::span<const uint8_t> part = Peek(moved, size_);
    std::copy(part.begin(), part.end(), &new_ring[moved]);
    moved += part.size();
  }
  ring_ = std::move(new_ring);
  ring_bytes_ = static_cast<uint32_t>(new_bytes);
  head_ = 0;
}

std::span<const uint8_t> SendBuffer::Peek(size_t offset, size_t max_bytes) const {
  if (offset >= size_) return {};
  size_t start = head_ + offset;
  if (start >= ring_bytes_) start -= ring_bytes_;
  return {&ring_[start], std::min({max_bytes, size_ - offset, ring_bytes_ + overlap() - start})};
}

void SendBuffer::Consume(size_t bytes) {
  DEVMEM_CHECK(bytes <= size_, "more was acknowledged than is stored");
  size_ -= static_cast<uint32_t>(bytes);
  head_ += static_cast<uint32_t>(bytes);
  if (head_ >= ring_bytes_) head_ -= ring_bytes_;
  // An empty ring starts over, so that small requests stay in one piece and in hot memory.
  if (size_ == 0) head_ = 0;
}

}  // namespace devmem
