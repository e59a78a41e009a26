// SPDX-License-Identifier: Apache-2.0
// See host_residence.h.
#include "provider/host_residence.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "provider/limits.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// What one call of mincore(2) is asked, so that the answer takes little memory of ours: a huge
// page's worth of small pages, eight times.
constexpr uint64_t kChunkBytes = 8 * kHugePageBytes;

// The unit of st_blocks, whatever the file system.
constexpr uint64_t kStatBlockBytes = 512;

// Bytes by NUMA node.
using Nodes = std::map<int, uint64_t>;

// Adds the nodes of the present pages in [address, address + bytes). A kernel without NUMA, or one
// that does not answer, adds nothing.
void CountNodes(uint8_t* address, uint64_t bytes, uint64_t page_bytes, Nodes* nodes) {
  // Only what is in the page table has a node. Nothing is allocated: the pages are there.
  (void)::madvise(address, bytes, MADV_POPULATE_READ);
  std::vector<void*> pages;
  for (uint64_t offset = 0; offset < bytes; offset += page_bytes) pages.push_back(address + offset);
  std::vector<int> status(pages.size(), -1);
  // The C library has no wrapper for it; without nodes to move to, it only tells.
  if (::syscall(SYS_move_pages, 0, pages.size(), pages.data(), nullptr, status.data(), 0) != 0) {
    return;
  }
  for (const int node : status) {
    if (node >= 0) (*nodes)[node] += page_bytes;
  }
}

std::string Describe(const Nodes& nodes) {
  if (nodes.empty()) return "host memory";
  if (nodes.size() == 1) return absl::StrCat("host memory, NUMA node ", nodes.begin()->first);
  std::string where = "host memory, NUMA nodes";
  const char* separator = " ";
  for (const auto& [node, bytes] : nodes) {
    absl::StrAppend(&where, separator, node, " (", bytes, " bytes)");
    separator = ", ";
  }
  return where;
}

}  // namespace

absl::StatusOr<Residence> HostResidence::Find(int file, uint64_t offset, uint64_t bytes,
                                              uint64_t page_bytes) {
  const absl::StatusOr<MappedMemory> memory =
      MappedMemory::MapFile(file, bytes, MapAccess::kReadOnly, offset);
  if (!memory.ok()) return memory.status();
  if (page_bytes == kSmallPageBytes) return FindSmall(*memory);
  struct stat whole = {};
  if (::fstat(file, &whole) != 0) {
    const int err = errno;
    return ErrnoToStatus(err, "asking a file of huge pages how many it has");
  }
  return FindHuge(*memory, static_cast<uint64_t>(whole.st_blocks) * kStatBlockBytes,
                  static_cast<uint64_t>(whole.st_size) == bytes, page_bytes);
}

absl::StatusOr<Residence> HostResidence::FindSmall(const MappedMemory& memory) {
  Residence residence;
  Nodes nodes;
  std::vector<unsigned char> present(kChunkBytes / kSmallPageBytes);
  for (uint64_t offset = 0; offset < memory.bytes(); offset += kChunkBytes) {
    uint8_t* const address = memory.address_ + offset;
    const uint64_t bytes = std::min<uint64_t>(kChunkBytes, memory.bytes() - offset);
    if (::mincore(address, bytes, present.data()) != 0) {
      const int err = errno;
      return ErrnoToStatus(err, absl::StrCat("mincore of ", bytes, " bytes"));
    }
    const uint64_t pages = bytes / kSmallPageBytes;
    for (uint64_t first = 0, last = 0; first < pages; first = last) {
      const bool is_present = (present[first] & 1) != 0;
      for (last = first; last < pages && ((present[last] & 1) != 0) == is_present;) ++last;
      const uint64_t run_bytes = (last - first) * kSmallPageBytes;
      (is_present ? residence.device_bytes : residence.absent_bytes) += run_bytes;
      if (!is_present) continue;
      CountNodes(address + first * kSmallPageBytes, run_bytes, kSmallPageBytes, &nodes);
    }
  }
  residence.where = Describe(nodes);
  return residence;
}

// mincore() tells of huge pages only those that this very mapping has touched.
absl::StatusOr<Residence> HostResidence::FindHuge(const MappedMemory& memory,
                                                  uint64_t present_bytes, bool is_whole,
                                                  uint64_t page_bytes) {
  Nodes nodes;
  if (is_whole && present_bytes == memory.bytes()) {
    CountNodes(memory.address_, memory.bytes(), page_bytes, &nodes);
  } else if (!is_whole && present_bytes != 0) {
    return absl::UnimplementedError(
        "the kernel does not tell which huge pages of a file are there; ask for a region that is "
        "the whole file");
  }
  return Residence{.device_bytes = present_bytes,
                   .absent_bytes = memory.bytes() - present_bytes,
                   .where = Describe(nodes)};
}

}  // namespace devmem
