// SPDX-License-Identifier: Apache-2.0
//
// The file behind a page.

#include "uapi/stats_page.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "uapi/stats_folder.h"
#include "uapi/stats_owner.h"
#include "uapi/stats_reader.h"

namespace devmem {
namespace {

constexpr mode_t kEverybodyReads = 0644;

template <size_t Size>
void CopyText(absl::string_view text, std::array<char, Size>* to) {
  std::copy_n(text.data(), std::min(text.size(), Size), to->data());
}

// The number says whose it is; the rest cannot be guessed, so that nobody is there before.
absl::StatusOr<std::string> NewName() {
  uint64_t random = 0;
  if (::getrandom(&random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
    const int err = errno;
    return ErrnoToStatus(err, "getrandom for the name of a statistics page");
  }
  return absl::StrCat(::getpid(), "-", absl::Hex(random, absl::kZeroPad16), kStatsSuffix);
}

// A file over the limit would end the process with SIGXFSZ.
absl::Status CheckFileSizeLimit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= kStatsPageBytes) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("this process may write files of ", limit.rlim_cur,
                   " bytes, and a statistics page has ", kStatsPageBytes, "; raise `ulimit -f`"));
}

absl::Status FileFailed(absl::string_view what, const std::string& path, int err) {
  return ErrnoToStatus(err, absl::StrCat("cannot ", what, " the statistics page ", path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StatsPage>> StatsPage::Create(absl::string_view chosen,
                                                             absl::string_view backend,
                                                             absl::string_view device) {
  absl::StatusOr<StatsFolder> folder = OpenStatsFolder(chosen);
  if (!folder.ok()) return folder.status();
  const absl::Status limit = CheckFileSizeLimit();
  if (!limit.ok()) return limit;
  RemoveLeftBehind(folder->fd.get());
  absl::StatusOr<std::string> name = NewName();
  if (!name.ok()) return name.status();
  const std::string path = absl::StrCat(folder->path, "/", *name);
  UniqueFd file(::openat(folder->fd.get(), name->c_str(),
                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kEverybodyReads));
  if (!file.valid()) {
    const int err = errno;
    return FileFailed("make", path, err);
  }
  // From here on the file goes with the object.
  std::unique_ptr<StatsPage> page(
      new StatsPage(std::move(folder->fd), *std::move(name), path, std::move(file)));
  page->pid_ = ::getpid();
  const absl::Status mapped = page->Map();
  if (!mapped.ok()) return mapped;
  page->FillIn(backend, device);
  return page;
}

absl::Status StatsPage::Map() {
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    const int err = errno;
    return FileFailed("lock", path_, err);
  }
  // Room is taken now: a store into a page that cannot be had later would be fatal.
  const int refused = ::posix_fallocate(file_.get(), 0, kStatsPageBytes);
  if (refused != 0) return FileFailed("find room for", path_, refused);
  void* const memory = ::mmap(nullptr, kStatsPageBytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_POPULATE, file_.get(), 0);
  if (memory == MAP_FAILED) {
    const int err = errno;
    return FileFailed("map", path_, err);
  }
  layout_ = new (memory) StatsPageLayout{};
  return absl::OkStatus();
}

void StatsPage::FillIn(absl::string_view backend, absl::string_view device) {
  StatsHeader& header = layout_->header;
  header.version = kStatsVersion;
  header.record_count = kStatsRecordsMax;
  header.pid = static_cast<uint64_t>(pid_);
  header.start_ticks = OwnStartTicks();
  header.pid_namespace = NamespaceInode("pid");
  header.net_namespace = NamespaceInode("net");
  CopyText(OwnCommand(), &header.command);
  CopyText(backend, &header.backend);
  CopyText(device, &header.device);
  // Release: a reader that finds the magic finds all of the above.
  header.magic.store(kStatsMagic, std::memory_order_release);
}

StatsPage::~StatsPage() {
  if (layout_ != nullptr) ::munmap(layout_, kStatsPageBytes);
  if (pid_ == ::getpid()) ::unlinkat(folder_.get(), name_.c_str(), 0);
}

StatsRecord* StatsPage::Take() {
  for (size_t i = 0; i < kStatsRecordsMax; ++i) {
    if (taken_[i]) continue;
    taken_.set(i);
    return &layout_->records[i];
  }
  return nullptr;
}

void StatsPage::GiveBack(StatsRecord* record) {
  if (record == nullptr) return;
  record->Write(StatsFigures{});
  taken_.reset(static_cast<size_t>(record - layout_->records.data()));
}

}  // namespace devmem
