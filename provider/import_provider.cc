// SPDX-License-Identifier: Apache-2.0
// See import_provider.h. fcntl(2) on file seals; linux/magic.h for what a descriptor is.
#include "provider/import_provider.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "provider/allocate_checks.h"
#include "provider/dmabuf_region.h"
#include "provider/limits.h"
#include "provider/memfd_region.h"
#include "provider/posix_error.h"
#include "provider/unique_fd.h"

namespace devmem {
namespace {

constexpr char kName[] = "import";

// A file that was found good, and what of it the region will be.
struct Source {
  UniqueFd fd;
  std::string label;
  uint64_t file_bytes = 0;
  uint64_t page_bytes = kSmallPageBytes;
};

// What the kernel calls a descriptor: "/memfd:weights (deleted)", "/dmabuf:", "socket:[4711]".
// The other side chose a part of it, so what is no plain character does not reach a message.
std::string NameOf(const SystemCalls& calls, int fd) {
  std::string name = calls.ReadLink(absl::StrCat("/proc/self/fd/", fd)).value_or("unknown");
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); }, '?');
  return name;
}

// The words after the colon, which are the exporter's own.
std::string LabelOf(absl::string_view name) {
  const size_t colon = name.find(':');
  if (colon == absl::string_view::npos) return "";
  const absl::string_view label = absl::StripSuffix(name.substr(colon + 1), " (deleted)");
  return std::string(label.substr(0, kRegionLabelBytesMax));
}

absl::Status CheckWritable(int fd, absl::string_view refused) {
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(refused, "it is not open for reading and writing, and payload is to be written ",
                   "through it; pass a descriptor opened with O_RDWR"));
}

absl::StatusOr<Source> OpenDmabuf(UniqueFd fd, const std::string& name) {
  const off_t end = ::lseek(fd.get(), 0, SEEK_END);
  if (end < 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("asking \"", name, "\" for its size"));
  }
  Source source{.fd = std::move(fd), .label = LabelOf(name)};
  source.file_bytes = static_cast<uint64_t>(end);
  return source;
}

// A file that may shrink is a mapping that may end the program (SIGBUS): sealed before it is
// measured, so that what is measured holds.
absl::Status SealAgainstShrinking(int fd, absl::string_view refused) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        refused, "it is sealed against writing, so no payload can land in it; pass one without ",
        "F_SEAL_WRITE and F_SEAL_FUTURE_WRITE"));
  }
  if ((seals & F_SEAL_SHRINK) != 0 || ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      refused,
      "it could be shrunk while payload is written, and cannot be sealed against that any ",
      "more (F_SEAL_SEAL); make it with MFD_ALLOW_SEALING, or add F_SEAL_SHRINK before you pass ",
      "it"));
}

absl::StatusOr<Source> OpenMemfd(UniqueFd fd, bool huge, const std::string& name,
                                 absl::string_view refused) {
  absl::Status good = CheckWritable(fd.get(), refused);
  if (good.ok()) good = SealAgainstShrinking(fd.get(), refused);
  if (!good.ok()) return good;
  struct stat file = {};
  if (::fstat(fd.get(), &file) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("asking \"", name, "\" for its size"));
  }
  Source source{.fd = std::move(fd), .label = LabelOf(name)};
  source.file_bytes = static_cast<uint64_t>(file.st_size);
  // The kernel tells the size of a huge page here; of other files it tells what is good for I/O.
  if (huge) source.page_bytes = static_cast<uint64_t>(file.st_blksize);
  return source;
}

// Whether a descriptor of these files is a memfd: only these have seals.
bool IsMemfd(uint64_t file_system, int fd, absl::string_view name) {
  return (file_system == TMPFS_MAGIC || file_system == HUGETLBFS_MAGIC) &&
         absl::StartsWith(name, "/memfd:") && ::fcntl(fd, F_GET_SEALS) >= 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Region>> ImportDmabuf(const ImportOptions& options,
                                                     const SystemCalls& calls) {
  UniqueFd own(::fcntl(options.fd, F_DUPFD_CLOEXEC, 0));
  if (!own.valid()) {
    const int err = errno;
    if (err != EBADF) return ErrnoToStatus(err, "duplicating a descriptor to import it");
    return absl::InvalidArgumentError(
        absl::StrCat("descriptor ", options.fd, " cannot be imported: it is not open"));
  }
  const std::string name = NameOf(calls, own.get());
  const uint64_t file_system = calls.FileSystemOf(own.get());
  const bool is_dmabuf = file_system == DMA_BUF_MAGIC;
  const std::string refused =
      absl::StrCat("descriptor ", options.fd, " (\"", name, "\") cannot be imported: ");
  if (!is_dmabuf && !IsMemfd(file_system, own.get(), name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(refused, "it is neither a dma-buf nor a memfd; pass a handle of a region"));
  }
  absl::StatusOr<Source> source =
      is_dmabuf ? OpenDmabuf(std::move(own), name)
                : OpenMemfd(std::move(own), file_system == HUGETLBFS_MAGIC, name, refused);
  if (!source.ok()) return source.status();

  uint64_t bytes = options.bytes;
  if (bytes == 0 && options.offset < source->file_bytes)
    bytes = source->file_bytes - options.offset;
  absl::Status good = CheckRange(absl::StrCat("importing \"", name, "\""), options.offset, bytes,
                                 source->file_bytes, source->page_bytes);
  if (good.ok()) {
    good = CheckRegionBytes(bytes, {.provider_name = kName,
                                    .page_bytes = source->page_bytes,
                                    .available_bytes = source->file_bytes,
                                    .where = "the file"});
  }
  if (!good.ok()) return good;
  RegionTraits traits{.provider_name = kName,
                      .label = source->label,
                      .size_bytes = bytes,
                      .page_bytes = source->page_bytes,
                      .policy = options.policy,
                      .fd = {}};
  traits.fd = std::move(source->fd);
  if (is_dmabuf) {
    return MakeDmabufRegion(std::move(traits),
                            {.offset = options.offset, .dmabuf_bytes = source->file_bytes}, calls);
  }
  return std::make_unique<MemfdRegion>(std::move(traits),
                                       MemfdBacking{.file = {}, .offset = options.offset}, calls);
}

absl::StatusOr<std::string> ImportProvider::Probe() {
  return std::string("any dma-buf or memfd that is handed to ImportDmabuf()");
}

absl::StatusOr<std::unique_ptr<Region>> ImportProvider::Allocate(
    const AllocateOptions& /*options*/) {
  return absl::FailedPreconditionError(
      "import takes a handle: use ImportDmabuf() with the descriptor of a dma-buf or a memfd; to "
      "allocate, choose another provider");
}

}  // namespace devmem
