// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/nic_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/netlink/netlink_error.h"
#include "uapi/netlink/nic_steps.h"

namespace devmem {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string text =
      absl::StrCat("the journal ", path, " cannot be ", what, " (", ErrnoName(error),
                   "); name another file, or make its folder writable");
  if (error == EEXIST) return absl::AlreadyExistsError(text);
  if (error == ENOENT) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

uint64_t NanosSinceBoot() {
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

absl::Status WriteAll(int fd, const std::string& path, const std::string& line) {
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t wrote = write(fd, line.data() + done, line.size() - done);
    if (wrote < 0 && errno != EINTR) return FileError("written", path, errno);
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
  return fsync(fd) == 0 ? absl::OkStatus() : FileError("written", path, errno);
}

// A line that its writer did not finish must not become the beginning of the next one.
void CutTornLine(int fd) {
  off_t end = lseek(fd, 0, SEEK_END);
  for (char last = 0; end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';) --end;
  if (end >= 0) (void)!ftruncate(fd, end);
}

// A new file's name is on disk once its folder is.
void SyncFolder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<NicJournal>> NicJournal::Create(const std::string& path,
                                                               const JournalSubject& subject) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("made", path, errno);
  std::unique_ptr<NicJournal> journal(new NicJournal(path, fd));
  // A reader may hold it for the moment that he takes to look.
  while (flock(fd, LOCK_EX) != 0) {
    if (errno != EINTR) return FileError("locked", path, errno);
  }
  struct stat status = {};
  if (fstat(fd, &status) != 0 || status.st_nlink == 0) {
    return absl::UnavailableError(
        absl::StrCat("the journal ", path, " was deleted while it was made; try again"));
  }
  const absl::Status written = journal->Write(absl::StrCat(
      kJournalMagic, kJournalVersion, "\ndevice\t", subject.device, "\t", subject.ifindex, "\t",
      subject.netns, "\t", subject.boot_id, "\nowner\t", getpid(), "\n"));
  if (!written.ok()) return written;
  SyncFolder(path);
  return journal;
}

NicJournal::~NicJournal() { close(fd_); }

absl::Status NicJournal::Write(const std::string& line) { return WriteAll(fd_, path_, line); }

absl::StatusOr<uint64_t> NicJournal::Append(const NicStep& step) {
  last_stamp_ = std::max(NanosSinceBoot(), last_stamp_ + 1);
  const absl::Status written =
      Write(absl::StrCat("step\t", last_stamp_, "\t", ToString(step.kind), "\t", step.name, "\t",
                         step.before, "\t", step.after, "\n"));
  if (!written.ok()) return written;
  return last_stamp_;
}

absl::Status NicJournal::MarkUndone(uint64_t stamp) {
  return Write(absl::StrCat("undone\t", stamp, "\n"));
}

absl::Status NicJournal::MarkKept() { return Write("kept\n"); }

void NicJournal::Remove() { unlink(path_.c_str()); }

std::string DefaultJournalFolder() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (geteuid() != 0 && runtime != nullptr && runtime[0] == '/') {
    return absl::StrCat(runtime, "/devmem");
  }
  return "/run/devmem";
}

std::string NewJournalPath(const std::string& folder, const JournalSubject& subject) {
  static std::atomic<uint32_t> counter{0};
  return absl::StrCat(folder, "/", subject.device, ".", subject.netns, ".", getpid(), ".",
                      NanosSinceBoot(), ".", counter.fetch_add(1), kJournalSuffix);
}

JournalSubject SubjectOf(absl::string_view device, uint32_t ifindex,
                         const std::string& netns_path) {
  JournalSubject subject;
  subject.device = std::string(device);
  subject.ifindex = ifindex;
  struct stat status = {};
  const char* const path = netns_path.empty() ? "/proc/thread-self/ns/net" : netns_path.c_str();
  if (stat(path, &status) == 0) subject.netns = status.st_ino;
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  boot >> subject.boot_id;
  return subject;
}

absl::Status AppendUndone(const std::string& path, uint64_t stamp) {
  const int fd = open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  if (fd < 0) return FileError("written", path, errno);
  CutTornLine(fd);
  const absl::Status written = WriteAll(fd, path, absl::StrCat("undone\t", stamp, "\n"));
  close(fd);
  return written;
}

absl::StatusOr<DeviceLock> DeviceLock::Take(const std::string& folder,
                                            const JournalSubject& subject) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  const std::string path = absl::StrCat(folder, "/", subject.device, ".", subject.netns, ".lock");
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("made", path, errno);
  while (flock(fd, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    close(fd);
    return FileError("locked", path, error);
  }
  return DeviceLock(fd);
}

DeviceLock::DeviceLock(DeviceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DeviceLock::~DeviceLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace devmem
