// SPDX-License-Identifier: Apache-2.0
//
// A fixed array of zeroes whose pages exist only once touched: anonymous mmap memory. Metadata of a
// 64 GiB binding is then free to create, and costs memory only for the net_iovs that are really
// used. Created on the control path; element access is a plain index.

#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace devmem {

template <typename T>
class LazyArray {
  static_assert(std::is_trivially_copyable_v<T>, "zero pages must be valid elements");

 public:
  LazyArray() = default;
  // Check ok() afterwards: false when the address space or the memory limit refused.
  explicit LazyArray(size_t count) : count_(count) {
    if (count == 0 || count > SIZE_MAX / sizeof(T)) return;
    void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    data_ = memory == MAP_FAILED ? nullptr : static_cast<T*>(memory);
    // A table that is walked at random costs a TLB miss a look with small pages. It is a wish: the
    // kernel may say no, and then nothing else changes.
    if (data_ != nullptr && count * sizeof(T) >= kHugeFromBytes) {
      (void)madvise(memory, count * sizeof(T), MADV_HUGEPAGE);
    }
  }
  LazyArray(LazyArray&& other) noexcept { Swap(other); }
  LazyArray& operator=(LazyArray&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~LazyArray() {
    if (data_ != nullptr) munmap(data_, count_ * sizeof(T));
  }

  // Makes room for `count` elements, if it has fewer: those it has keep their values, the new ones
  // are zero. Addresses change. False, and nothing changed, when the address space refused.
  bool Grow(size_t count) {
    if (count <= count_) return true;
    if (data_ == nullptr) {
      LazyArray made(count);
      if (!made.ok()) return false;
      Swap(made);
      return true;
    }
    if (count > SIZE_MAX / sizeof(T)) return false;
    void* memory = mremap(data_, count_ * sizeof(T), count * sizeof(T), MREMAP_MAYMOVE);
    if (memory == MAP_FAILED) return false;
    data_ = static_cast<T*>(memory);
    count_ = count;
    return true;
  }

  bool ok() const { return data_ != nullptr || count_ == 0; }
  size_t size() const { return count_; }
  T* data() { return data_; }
  T& operator[](size_t index) { return data_[index]; }
  const T& operator[](size_t index) const { return data_[index]; }

 private:
  // Below it, rounding up to huge pages would cost more memory than it is worth.
  static constexpr size_t kHugeFromBytes = size_t{8} << 20;

  void Swap(LazyArray& other) {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }

  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace devmem
