// SPDX-License-Identifier: Apache-2.0
// Asking the kernel where the pages of host memory are: present or not, and on which NUMA node.
// Called by Region::FindResidence() of regions in files; any thread, and not while it matters how
// long it takes. mincore(2), move_pages(2).
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "provider/mapped_memory.h"
#include "provider/region.h"

namespace devmem {

class HostResidence {
 public:
  // Looks at every page of a range of `file`, which is of pages of `page_bytes`. Pages that are not
  // there stay so; present ones are mapped meanwhile, which takes some milliseconds for each GiB.
  // Of a file of huge pages the kernel tells only how many it has in all: kUnimplemented for a part
  // of one that has any.
  static absl::StatusOr<Residence> Find(int file, uint64_t offset, uint64_t bytes,
                                        uint64_t page_bytes);

 private:
  static absl::StatusOr<Residence> FindSmall(const MappedMemory& memory);
  static absl::StatusOr<Residence> FindHuge(const MappedMemory& memory, uint64_t present_bytes,
                                            bool is_whole, uint64_t page_bytes);
};

}  // namespace devmem
