// SPDX-License-Identifier: Apache-2.0
// See attachment.h.
#include "provider/attachment.h"

#include <sys/resource.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/host_dma_engine.h"
#include "provider/limits.h"
#include "provider/mapped_memory.h"

namespace devmem {
namespace {

// The exporter's answer within what the table of abilities allows. `reason` is that of the stricter
// of the two.
absl::StatusOr<AttachmentDecision> Decide(const Region& region, const Importer& importer,
                                          std::string* reason) {
  const AttachmentDecision able = DecideAttachment(region.attachment_kind(), importer.caps);
  if (able.verdict == AttachmentVerdict::kRefuse) {
    return absl::FailedPreconditionError(
        absl::StrCat("importer \"", importer.name, "\" can use ", region.Describe(),
                     " not at all: ", able.reason, "; attach memory that is pinned"));
  }
  const ImportAnswer answer = region.policy().Decide(
      {importer.name, importer.caps, importer.distance, region.id(), region.size_bytes()});
  if (answer.verdict == AttachmentVerdict::kRefuse) {
    return absl::PermissionDeniedError(absl::StrCat("importer \"", importer.name,
                                                    "\" may not attach ", region.Describe(), ": ",
                                                    answer.reason));
  }
  AttachmentDecision decision = able;
  *reason = std::string(able.reason);
  if (!region.cpu_visible()) {
    decision.verdict = AttachmentVerdict::kStage;
    *reason = "the processor cannot map the memory";
  } else if (able.verdict == AttachmentVerdict::kAllow &&
             answer.verdict == AttachmentVerdict::kStage) {
    decision.verdict = AttachmentVerdict::kStage;
    *reason = answer.reason.empty() ? "its exporter wants it so" : answer.reason;
  }
  return decision;
}

std::string MemlockLimit() {
  struct rlimit limit = {};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "unknown";
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return absl::StrCat(limit.rlim_cur, " bytes");
}

// Locks the pages; returns why not, or nothing. Huge pages are never swapped and need no lock.
std::string LockOrExplain(const Region& region, MappedMemory& memory) {
  if (region.page_bytes() >= kHugePageBytes) return "";
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
  absl::Status usable = region.status();
  if (!usable.ok()) return usable;
  std::string reason;
  const absl::StatusOr<AttachmentDecision> decision = Decide(region, importer, &reason);
  if (!decision.ok()) return decision.status();
  const bool staged = decision->verdict == AttachmentVerdict::kStage;

  std::unique_ptr<Attachment> attachment(
      new Attachment(region, importer, staged ? reason : std::string()));
  const std::unique_lock<std::mutex> places = region.life()->LockPlaces();
  if (region.cpu_visible()) {
    absl::Status mapped = attachment->MapMemory(region);
    if (!mapped.ok()) return mapped;
  }
  // Last, so that a region which is revoked meanwhile refuses, or finds everything in place.
  absl::Status joined = region.life()->Join(attachment.get());
  if (!joined.ok()) return joined;
  attachment->joined_ = true;
  return attachment;
}

Attachment::Attachment(const Region& region, const Importer& importer, std::string stage_reason)
    : region_id_(region.id()),
      size_bytes_(region.size_bytes()),
      page_bytes_(region.page_bytes()),
      kind_(region.attachment_kind()),
      importer_(importer),
      stage_reason_(std::move(stage_reason)),
      life_(region.life()) {}

absl::Status Attachment::MapMemory(const Region& region) {
  absl::StatusOr<MappedMemory> memory = region.Map(MapAccess::kReadWrite);
  if (!memory.ok()) return memory.status();
  if (region.sparse()) {
    lock_note_ = absl::StrCat(region.Describe(), " is sparse: its pages are made when touched");
  } else {
    absl::Status populated = memory->Populate();
    if (!populated.ok()) return populated;
    lock_note_ = LockOrExplain(region, *memory);
  }
  absl::StatusOr<std::unique_ptr<DmaMapping>> mapping =
      DmaMapping::Create(*std::move(memory), region.paging());
  if (!mapping.ok()) return mapping.status();
  mapping_ = *std::move(mapping);
  for (const RegionPlace& place : region.EvictedPlaces()) {
    mapping_->Withdraw(place.offset, place.bytes);
    absl::Status away = mapping_->PutBack(place);
    if (!away.ok()) return away;
  }
  return absl::OkStatus();
}

Attachment::~Attachment() {
  if (joined_) life_->Leave(this);
}

DmaMapping& Attachment::mapping() {
  DEVMEM_CHECK(!staged(), "an importer asks for the mapping of memory that is staged");
  return *mapping_;
}

absl::StatusOr<DmaEngine*> Attachment::CreateEngine(const Region& region, DmaMapping& staging) {
  DEVMEM_CHECK(staged() && region.id() == region_id_,
               "an engine is made for an attachment of another region, or one that needs none");
  std::unique_ptr<DmaEngine> engine;
  if (mapping_ != nullptr) {
    engine = std::make_unique<HostDmaEngine>(*mapping_, staging);
  } else {
    absl::StatusOr<std::unique_ptr<DmaEngine>> created = region.CreateDmaEngine(staging);
    if (!created.ok()) return created.status();
    engine = *std::move(created);
  }
  const std::lock_guard<std::mutex> lock(engines_mutex_);
  if (revoked()) {
    return absl::AbortedError(absl::StrCat("the attachment of region ", region_id_, " to \"",
                                           importer_.name, "\" was revoked"));
  }
  engines_.push_back(std::move(engine));
  return engines_.back().get();
}

void Attachment::EndEngine(DmaEngine* engine) {
  (void)engine->Fence();
  const std::lock_guard<std::mutex> lock(engines_mutex_);
  std::erase_if(engines_, [engine](const auto& owned) { return owned.get() == engine; });
}

void Attachment::TakeAway() {
  const std::lock_guard<std::mutex> lock(engines_mutex_);
  if (mapping_ != nullptr) mapping_->Revoke();
  for (const auto& engine : engines_) engine->Halt();
  revoked_.store(true, std::memory_order_release);
}

void Attachment::Withdraw(uint64_t offset, uint64_t bytes) {
  DEVMEM_CHECK(mapping_ != nullptr, "memory moves that no processor can map");
  mapping_->Withdraw(offset, bytes);
}

absl::Status Attachment::PutBack(const RegionPlace& place) { return mapping_->PutBack(place); }

void Attachment::Notify() {
  if (importer_.on_event) importer_.on_event();
}

}  // namespace devmem
