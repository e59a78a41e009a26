// SPDX-License-Identifier: Apache-2.0
// See allocate_checks.h.
#include "provider/allocate_checks.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "provider/limits.h"

namespace devmem {
namespace {

absl::string_view Promise(AttachmentKind kind) {
  switch (kind) {
    case AttachmentKind::kPinned: return "stays where it is";
    case AttachmentKind::kMayRevoke: return "may be revoked";
    case AttachmentKind::kMayMove: return "may move";
  }
  return "does what nobody knows";
}

}  // namespace

absl::Status CheckRegionBytes(uint64_t bytes, const SizeRule& rule) {
  const std::string refused =
      absl::StrCat("a ", rule.provider_name, " region of ", bytes, " bytes is refused: ");
  if (bytes > kRegionBytesMax) {
    return absl::OutOfRangeError(
        absl::StrCat(refused, "the most is ", kRegionBytesMax, " bytes; ask for less"));
  }
  if (bytes > rule.available_bytes) {
    return absl::OutOfRangeError(absl::StrCat(refused, rule.where, " has ", rule.available_bytes,
                                              " bytes of memory; ask for less"));
  }
  if (bytes == 0 || bytes % rule.page_bytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        refused, "the size must be a positive multiple of the page size, ", rule.page_bytes,
        " bytes; ask for ", (bytes / rule.page_bytes + 1) * rule.page_bytes));
  }
  return absl::OkStatus();
}

absl::Status CheckRegionLabel(const std::string& label) {
  if (label.size() <= kRegionLabelBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a region's label of ", label.size(),
                                                 " bytes is refused: the most is ",
                                                 kRegionLabelBytesMax, " bytes; shorten it"));
}

absl::Status RefuseKind(absl::string_view provider_name, AttachmentKind kind,
                        absl::string_view why) {
  return absl::FailedPreconditionError(
      absl::StrCat("a ", provider_name, " region cannot be memory that ", Promise(kind), ": ", why,
                   "; ask for AttachmentKind::kPinned, or another provider"));
}

absl::Status CheckRange(absl::string_view what, uint64_t offset, uint64_t bytes,
                        uint64_t size_bytes, uint64_t page_bytes) {
  const std::string refused =
      absl::StrCat(what, ", ", bytes, " bytes from byte ", offset, " on, is refused: ");
  if (offset > size_bytes || bytes > size_bytes - offset) {
    return absl::OutOfRangeError(
        absl::StrCat(refused, "there are ", size_bytes, " bytes; stay inside"));
  }
  if (bytes == 0 || bytes % page_bytes != 0 || offset % page_bytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(refused, "offset and length must be multiples of the page size, ", page_bytes,
                     " bytes, and the length not 0"));
  }
  return absl::OkStatus();
}

uint64_t MachineBytes() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace devmem
