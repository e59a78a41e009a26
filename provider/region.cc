// SPDX-License-Identifier: Apache-2.0
// See region.h.
#include "provider/region.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

// Regions may be allocated on several threads; the counter orders nothing else, so relaxed is
// enough.
uint32_t NextRegionId() {
  static std::atomic<uint32_t> last_id{0};
  return last_id.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

Region::Region(RegionTraits traits) : id_(NextRegionId()), traits_(std::move(traits)) {}

Region::~Region() = default;

std::string Region::Describe() const {
  const std::string quoted = label().empty() ? "" : absl::StrCat(" \"", label(), "\"");
  return absl::StrCat("region ", id(), " (", provider_name(), quoted, ", ", size_bytes(),
                      " bytes, pages of ", page_bytes(), " bytes)");
}

}  // namespace devmem
