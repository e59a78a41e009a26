// SPDX-License-Identifier: Apache-2.0
// See system_calls.h.
#include "provider/system_calls.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace devmem {

const SystemCalls& SystemCalls::OfThisMachine() {
  static const SystemCalls calls;
  return calls;
}

std::string SystemCalls::PathOf(absl::string_view path) const { return absl::StrCat(root_, path); }

UniqueFd SystemCalls::Open(absl::string_view path, int flags) const {
  return UniqueFd(::open(PathOf(path).c_str(), flags | O_CLOEXEC));
}

int SystemCalls::Ioctl(int fd, unsigned long request, void* argument) const {
  int result = 0;
  do {
    result = IoctlOnce(fd, request, argument);
  } while (result == -1 && (errno == EINTR || errno == EAGAIN));
  return result;
}

int SystemCalls::IoctlOnce(int fd, unsigned long request, void* argument) const {
  return ::ioctl(fd, request, argument);
}

uint64_t SystemCalls::FileSystemOf(int fd) const {
  struct statfs system = {};
  if (::fstatfs(fd, &system) != 0) return 0;
  return static_cast<uint64_t>(system.f_type);
}

std::optional<std::string> SystemCalls::ReadLine(absl::string_view path) const {
  std::ifstream file(PathOf(path));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<uint64_t> SystemCalls::ReadNumber(absl::string_view path) const {
  const std::optional<std::string> line = ReadLine(path);
  uint64_t number = 0;
  if (!line || !absl::SimpleAtoi(*line, &number)) return std::nullopt;
  return number;
}

std::vector<std::string> SystemCalls::ListFolder(absl::string_view path) const {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(PathOf(path), ignored)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> SystemCalls::ReadLink(absl::string_view path) const {
  std::array<char, PATH_MAX> target = {};
  const ssize_t bytes = ::readlink(PathOf(path).c_str(), target.data(), target.size());
  if (bytes < 0) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(bytes));
}

}  // namespace devmem
