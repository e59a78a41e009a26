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
      capacity_bytes_(std::exchange(other.capacity_bytes_, 0)),
      ring_bytes_(std::exchange(other.ring_bytes_, 0)),
      head_(std::exchange(other.head_, 0)),
      size_(std::exchange(other.size_, 0)) {}

SendBuffer& SendBuffer::operator=(SendBuffer&& other) noexcept {
  ring_ = std::move(other.ring_);
  capacity_bytes_ = std::exchange(other.capacity_bytes_, 0);
  ring_bytes_ = std::exchange(other.ring_bytes_, 0);
  head_ = std::exchange(other.head_, 0);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

size_t SendBuffer::Write(std::span<const uint8_t> bytes) {
  bytes = bytes.first(std::min(bytes.size(), free()));
  if (bytes.empty()) return 0;
  if (size_ + bytes.size() > ring_bytes_) Grow(size_ + bytes.size());
  const size_t tail = (head_ + size_) % ring_bytes_;
  const size_t before_end = std::min(bytes.size(), ring_bytes_ - tail);
  std::copy_n(bytes.begin(), before_end, &ring_[tail]);
  std::copy(bytes.begin() + static_cast<ptrdiff_t>(before_end), bytes.end(), &ring_[0]);
  size_ += bytes.size();
  return bytes.size();
}

void SendBuffer::Grow(size_t needed_bytes) {
  const size_t new_bytes =
      std::min(capacity_bytes_, std::max(kSendBufferBytesFirst, std::bit_ceil(needed_bytes)));
  auto new_ring = std::make_unique_for_overwrite<uint8_t[]>(new_bytes);
  const std::span<const uint8_t> first = Peek(0, size_);
  const std::span<const uint8_t> second = Peek(first.size(), size_);
  std::copy(first.begin(), first.end(), &new_ring[0]);
  std::copy(second.begin(), second.end(), &new_ring[first.size()]);
  ring_ = std::move(new_ring);
  ring_bytes_ = new_bytes;
  head_ = 0;
}

std::span<const uint8_t> SendBuffer::Peek(size_t offset, size_t max_bytes) const {
  if (offset >= size_) return {};
  size_t start = head_ + offset;
  if (start >= ring_bytes_) start -= ring_bytes_;
  return {&ring_[start], std::min({max_bytes, size_ - offset, ring_bytes_ - start})};
}

void SendBuffer::Consume(size_t bytes) {
  DEVMEM_CHECK(bytes <= size_, "more was acknowledged than is stored");
  size_ -= bytes;
  head_ += bytes;
  if (head_ >= ring_bytes_) head_ -= ring_bytes_;
  // An empty ring starts over, so that small requests stay in one piece and in hot memory.
  if (size_ == 0) head_ = 0;
}

}  // namespace devmem
