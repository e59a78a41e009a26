// SPDX-License-Identifier: Apache-2.0
// Making the anonymous file behind a region of host memory: sized, its huge pages set aside, and
// sealed. Called by the providers memfd, hugetlb and udmabuf, on the control thread.
// memfd_create(2), fcntl(2) on file seals.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/system_calls.h"
#include "provider/unique_fd.h"

namespace devmem {

struct MemfdRequest {
  absl::string_view provider_name;  // For messages.
  uint64_t bytes = 0;
  uint64_t page_bytes = 0;  // kSmallPageBytes, kHugePageBytes or kGiantPageBytes.
  std::string label = {};
};

// What CheckRegionBytes() and CheckRegionLabel() refuse.
absl::Status CheckMemfdRequest(const MemfdRequest& request);

// A file of zero bytes, sealed against shrinking, growing and further seals: its size is the same
// for every holder, for good. Errors: those of CheckMemfdRequest(), and
// kResourceExhausted with the remedy where there are too few huge pages.
absl::StatusOr<UniqueFd> MakeMemfdFile(const SystemCalls& calls, const MemfdRequest& request);

}  // namespace devmem
