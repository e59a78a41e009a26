// SPDX-License-Identifier: Apache-2.0
// UniqueFd: owns one file descriptor and closes it. Used by everything that opens a file, a socket
// or a device; plain RAII, no thread rules beyond those of any value.
#pragma once

#include <unistd.h>

#include <utility>

namespace devmem {

// Invariant: fd_ is -1 (owns nothing) or a descriptor that nobody else closes.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { Reset(); }

  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Take()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Take());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Gives the descriptor to the caller, who closes it from now on.
  [[nodiscard]] int Take() { return std::exchange(fd_, -1); }

  // Closes what is owned and owns `fd` instead. An error of close() is not reported: Linux frees
  // the number in every case, and a retry could close a stranger's descriptor.
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace devmem
