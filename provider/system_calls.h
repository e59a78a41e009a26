// SPDX-License-Identifier: Apache-2.0
// SystemCalls: the machine as a provider sees it: where its files lie, and the ioctls that reach
// its devices. Every provider of kernel memory takes one, so that a test gives it a file tree and
// devices of its own making. Set-up only, on the control thread: nothing here is called while
// packets are received.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "provider/unique_fd.h"

namespace devmem {

class SystemCalls {
 public:
  // `root` stands before every path. Empty: the machine's own files.
  explicit SystemCalls(std::string root = {}) : root_(std::move(root)) {}
  virtual ~SystemCalls() = default;
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;

  // What every provider uses unless it is told otherwise. Static storage.
  static const SystemCalls& OfThisMachine();

  // Where a file really lies, for whoever opens it by other means.
  std::string PathOf(absl::string_view path) const;

  // open(2), close-on-exec. Invalid: errno says why.
  virtual UniqueFd Open(absl::string_view path, int flags) const;

  // ioctl(2), repeated while a signal interrupts it or the kernel asks for a repetition (EINTR,
  // EAGAIN). -1: errno says why.
  int Ioctl(int fd, unsigned long request, void* argument) const;

  // The number by which the kernel knows the kind of file system that a descriptor belongs to
  // (linux/magic.h), or 0: errno says why. A dma-buf and a memfd each have their own.
  virtual uint64_t FileSystemOf(int fd) const;

  // The first line of a file without its end, and the number that it is. Unset: the file is not
  // there, cannot be read, or is no number.
  std::optional<std::string> ReadLine(absl::string_view path) const;
  std::optional<uint64_t> ReadNumber(absl::string_view path) const;

  // The names in a folder, in the order of the alphabet; none where there is no such folder.
  std::vector<std::string> ListFolder(absl::string_view path) const;

  // What a symbolic link says. Unset: it is none.
  std::optional<std::string> ReadLink(absl::string_view path) const;

 protected:
  // One try, as ioctl(2).
  virtual int IoctlOnce(int fd, unsigned long request, void* argument) const;

 private:
  const std::string root_;
};

}  // namespace devmem
