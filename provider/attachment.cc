// SPDX-License-Identifier: Apache-2.0
// See attachment.h.
#include "provider/attachment.h"

#include <sys/resource.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/mapped_memory.h"

namespace devmem {
namespace {

absl::Status CheckPolicy(const Region& region, const Importer& importer) {
  if (region.policy().Allows(importer.name)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "importer \"", importer.name, "\" may not attach ", region.Describe(), ": its policy allows ",
      region.policy().Describe(), "; allocate the region with a policy that names this importer"));
}

absl::Status CheckAbilities(const Region& region, const Importer& importer) {
  const AttachmentDecision decision = DecideAttachment(region.attachment_kind(), importer.caps);
  if (decision.verdict == AttachmentVerdict::kAllow) return absl::OkStatus();
  const absl::string_view what = decision.verdict == AttachmentVerdict::kStage
                                     ? " only by staging through host memory"
                                     : " not at all";
  return absl::FailedPreconditionError(absl::StrCat("importer \"", importer.name, "\" can use ",
                                                    region.Describe(), what, ": ", decision.reason,
                                                    "; attach memory that is pinned"));
}

std::string MemlockLimit() {
  struct rlimit limit = {};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "unknown";
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return absl::StrCat(limit.rlim_cur, " bytes");
}

// Locks the pages; returns why not, or nothing. Huge pages are never swapped and need no lock.
std::string LockOrExplain(const Region& region, MappedMemory& memory) {
  if (region.page_bytes() == kHugePageBytes) return "";
  const absl::Status locked = memory.Lock();
  if (locked.ok()) return "";
  return absl::StrCat(region.Describe(), " is not locked in memory, and may be swapped out under ",
                      "pressure: ", locked.message(), "; RLIMIT_MEMLOCK is ", MemlockLimit(), ", ",
                      region.size_bytes(), " bytes are wanted; raise it (`ulimit -l`, ",
                      "which counts KiB) or grant CAP_IPC_LOCK");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Attachment>> Attachment::Create(const Region& region,
                                                               const Importer& importer) {
  absl::Status status = CheckPolicy(region, importer);
  if (status.ok()) status = CheckAbilities(region, importer);
  if (!status.ok()) return status;

  absl::StatusOr<MappedMemory> memory = region.Map(MapAccess::kReadWrite);
  if (!memory.ok()) return memory.status();
  status = memory->Populate();
  if (!status.ok()) return status;
  std::string lock_note = LockOrExplain(region, *memory);

  absl::StatusOr<std::unique_ptr<DmaMapping>> mapping = DmaMapping::Create(*std::move(memory));
  if (!mapping.ok()) return mapping.status();
  return std::unique_ptr<Attachment>(
      new Attachment(region, importer, std::move(lock_note), *std::move(mapping)));
}

Attachment::Attachment(const Region& region, const Importer& importer, std::string lock_note,
                       std::unique_ptr<DmaMapping> mapping)
    : region_id_(region.id()),
      size_bytes_(region.size_bytes()),
      page_bytes_(region.page_bytes()),
      kind_(region.attachment_kind()),
      importer_name_(importer.name),
      lock_note_(std::move(lock_note)),
      mapping_(std::move(mapping)) {}

Attachment::~Attachment() = default;

void Attachment::Revoke() { mapping_->Revoke(); }

bool Attachment::revoked() const { return mapping_->revoked(); }

}  // namespace devmem
