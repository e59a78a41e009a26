// SPDX-License-Identifier: Apache-2.0
// See huge_pages.h.
#include "provider/huge_pages.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "provider/limits.h"

namespace devmem {
namespace {

std::string Folder(uint64_t page_bytes) {
  return absl::StrCat("/sys/kernel/mm/hugepages/hugepages-", page_bytes / 1024, "kB/");
}

}  // namespace

HugePageCount CountHugePages(const SystemCalls& calls, uint64_t page_bytes) {
  const std::string folder = Folder(page_bytes);
  const std::optional<uint64_t> total = calls.ReadNumber(folder + "nr_hugepages");
  if (!total) return {};
  // A page that is reserved still counts as free in the kernel's account.
  const uint64_t untouched = calls.ReadNumber(folder + "free_hugepages").value_or(0);
  const uint64_t reserved = calls.ReadNumber(folder + "resv_hugepages").value_or(0);
  return {true, *total, untouched - std::min(untouched, reserved)};
}

std::string HugePageRemedy(uint64_t page_bytes, uint64_t count) {
  if (page_bytes == kHugePageBytes) return absl::StrCat("sysctl vm.nr_hugepages=", count);
  return absl::StrCat("echo ", count, " > ", Folder(page_bytes), "nr_hugepages");
}

// The remedy asks for what is taken now and what is wanted on top.
absl::Status NotEnoughHugePages(const SystemCalls& calls, absl::string_view provider_name,
                                uint64_t bytes, uint64_t page_bytes, absl::string_view instead) {
  const uint64_t wanted = bytes / page_bytes;
  const HugePageCount count = CountHugePages(calls, page_bytes);
  return absl::ResourceExhaustedError(absl::StrCat(
      "a ", provider_name, " region of ", bytes, " bytes needs ", wanted, " free huge pages of ",
      page_bytes, " bytes: nr_hugepages is ", count.total, " and ", count.free,
      " of them are free; as root run `",
      HugePageRemedy(page_bytes, count.total - count.free + wanted), "`, or ", instead));
}

}  // namespace devmem
