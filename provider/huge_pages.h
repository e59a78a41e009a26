// SPDX-License-Identifier: Apache-2.0
// The kernel's account of huge pages, and the words for when there are too few. Asked by the
// providers memfd and hugetlb, on the control thread. The kernel's admin guide on hugetlbpage.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "provider/system_calls.h"

namespace devmem {

struct HugePageCount {
  bool supported = false;  // Whether the kernel knows pages of this size at all.
  uint64_t total = 0;
  uint64_t free = 0;  // Neither in use nor set aside for somebody.
};

// `page_bytes` is kHugePageBytes or kGiantPageBytes.
HugePageCount CountHugePages(const SystemCalls& calls, uint64_t page_bytes);

// The command with which root makes `count` pages of that size.
std::string HugePageRemedy(uint64_t page_bytes, uint64_t count);

// kResourceExhausted: a region of `bytes` needs more free pages than there are; says how many there
// are and how root makes more. `instead` is what the caller may do else.
absl::Status NotEnoughHugePages(const SystemCalls& calls, absl::string_view provider_name,
                                uint64_t bytes, uint64_t page_bytes, absl::string_view instead);

}  // namespace devmem
