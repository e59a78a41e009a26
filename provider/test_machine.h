// SPDX-License-Identifier: Apache-2.0
// A machine for the tests of providers: files that the test writes, devices that answer as the test
// says, and the real machine's stock of huge pages. One thread.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "provider/system_calls.h"
#include "provider/unique_fd.h"

namespace devmem {

// A file tree of its own, removed at the end, and ioctls that a function of the test answers.
class TestMachine final : public SystemCalls {
 public:
  using Answer = std::function<int(int fd, unsigned long request, void* argument)>;

  TestMachine() : SystemCalls(MakeFolder()) {}
  ~TestMachine() override { std::filesystem::remove_all(PathOf("")); }

  void Write(absl::string_view path, absl::string_view text) {
    const std::filesystem::path file(PathOf(path));
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void Link(absl::string_view path, const std::string& target) {
    const std::filesystem::path link(PathOf(path));
    std::filesystem::create_directories(link.parent_path());
    std::filesystem::create_symlink(target, link);
  }

  // Has open() say EACCES, which root would never see.
  void Forbid(const std::string& path) { forbidden_.insert(path); }
  UniqueFd Open(absl::string_view path, int flags) const override {
    if (forbidden_.count(std::string(path)) == 0) return SystemCalls::Open(path, flags);
    errno = EACCES;
    return UniqueFd();
  }

  // Has a file, and every duplicate of its descriptor, pass for one of another file system.
  void Disguise(int fd, uint64_t file_system) { disguises_[InodeOf(fd)] = file_system; }
  uint64_t FileSystemOf(int fd) const override {
    const auto found = disguises_.find(InodeOf(fd));
    return found == disguises_.end() ? SystemCalls::FileSystemOf(fd) : found->second;
  }

  // Who answers ioctls; as ioctl(2), with errno. Without one, every device refuses with ENOTTY.
  void set_answer(Answer answer) { answer_ = std::move(answer); }

 protected:
  int IoctlOnce(int fd, unsigned long request, void* argument) const override {
    if (answer_) return answer_(fd, request, argument);
    errno = ENOTTY;
    return -1;
  }

 private:
  static ino_t InodeOf(int fd) {
    struct stat file = {};
    return ::fstat(fd, &file) == 0 ? file.st_ino : 0;
  }

  static std::string MakeFolder() {
    std::string name = std::filesystem::temp_directory_path() / "devmem_machine_XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    return name;
  }

  Answer answer_;
  std::map<ino_t, uint64_t> disguises_;
  std::set<std::string> forbidden_;
};

// The machine's 2 MiB pages, which belong to all programs: while this lives, no other test that
// uses it changes or counts them. Raised and put back as they were where rights allow.
class HugePageStock {
 public:
  HugePageStock() : lock_(::open(kCount, O_RDONLY | O_CLOEXEC)) {
    if (lock_.valid()) {
      EXPECT_EQ(::flock(lock_.get(), LOCK_EX), 0);
    }
    before_ = Read("nr_hugepages");
  }
  ~HugePageStock() {
    if (raised_) std::ofstream(kCount) << before_;
  }
  HugePageStock(const HugePageStock&) = delete;
  HugePageStock& operator=(const HugePageStock&) = delete;

  // One number of the kernel's account; 0 where there are no such pages.
  static uint64_t Read(const std::string& which) {
    std::ifstream file(kFolder + which);
    uint64_t count = 0;
    file >> count;
    return file ? count : 0;
  }
  static uint64_t Free() { return Read("free_hugepages") - Read("resv_hugepages"); }

  // Whether `count` pages are free now, if need be because they were just made.
  bool Have(uint64_t count) {
    if (Free() >= count) return true;
    raised_ = true;
    std::ofstream(kCount) << before_ + count;
    return Free() >= count;
  }

 private:
  static constexpr char kFolder[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  static constexpr char kCount[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

  const UniqueFd lock_;
  uint64_t before_ = 0;
  bool raised_ = false;
};

}  // namespace devmem
