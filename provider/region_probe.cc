// SPDX-License-Identifier: Apache-2.0
// See region_probe.h. Each step is a function that says what it saw, or what is wrong.
#include "provider/region_probe.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "provider/attachment.h"
#include "provider/region.h"
#include "provider/region_probe_access.h"
#include "provider/unique_fd.h"

namespace devmem {
namespace {

using Detail = absl::StatusOr<std::string>;

// Contents of the region, in the order of the steps.
constexpr uint64_t kFirstPattern = 1;
constexpr uint64_t kAfterMovePattern = 2;
constexpr uint64_t kAfterEvictPattern = 3;
constexpr uint64_t kLatePattern = 4;  // Must never be seen.

constexpr char kReason[] = "devmemctl tests it";

// What the life of a region may not do is a broken promise, whatever code it came with.
absl::Status Broken(const std::string& what) { return absl::InternalError(what); }

class RegionProbe {
 public:
  RegionProbe(Provider& provider, const AllocateOptions& options)
      : provider_(provider), options_(options) {
    options_.policy = ImportPolicy::Everyone();
    if (options_.label.empty()) options_.label = "devmemctl";
  }

  RegionProbeResult Run();

 private:
  // Runs and times one step; whether it was ok.
  bool Do(const char* name, Detail (RegionProbe::*step)());
  bool movable() const { return options_.kind == AttachmentKind::kMayMove; }

  Detail Look();
  Detail Allocate();
  Detail Attach();
  Detail Write();
  Detail Read();
  Detail FindResidence();
  Detail Share();
  Detail Export();
  Detail Move();
  Detail Evict();
  Detail Revoke();
  Detail Remove();

  absl::Status CheckLateWrite(int handle);

  Provider& provider_;
  AllocateOptions options_;
  RegionProbeResult result_;
  absl::StatusCode last_code_ = absl::StatusCode::kOk;
  uint64_t content_ = kFirstPattern;  // What the region holds.
  std::unique_ptr<Region> region_;
  std::unique_ptr<Attachment> attachment_;
  std::unique_ptr<RegionProbeAccess> access_;  // Of the attachment, and goes first.
};

bool RegionProbe::Do(const char* name, Detail (RegionProbe::*step)()) {
  const auto start = std::chrono::steady_clock::now();
  const Detail detail = (this->*step)();
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  last_code_ = detail.status().code();
  result_.steps.push_back({name, detail.ok(),
                           detail.ok() ? *detail : std::string(detail.status().message()),
                           static_cast<uint64_t>(took.count())});
  return detail.ok();
}

RegionProbeResult RegionProbe::Run() {
  if (!Do("probe", &RegionProbe::Look)) {
    result_.verdict = RegionProbeVerdict::kUnsupported;
    return std::move(result_);
  }
  if (!Do("allocate", &RegionProbe::Allocate)) {
    result_.verdict = last_code_ == absl::StatusCode::kUnavailable
                          ? RegionProbeVerdict::kUnsupported
                          : RegionProbeVerdict::kRefused;
    return std::move(result_);
  }
  // Without access there is nothing to look at.
  if (!Do("attach", &RegionProbe::Attach)) return std::move(result_);
  Do("write", &RegionProbe::Write);
  Do("read", &RegionProbe::Read);
  Do("residence", &RegionProbe::FindResidence);
  Do("share", &RegionProbe::Share);
  Do("export", &RegionProbe::Export);
  Do("move", &RegionProbe::Move);
  Do("evict", &RegionProbe::Evict);
  Do("revoke", &RegionProbe::Revoke);
  Do("remove", &RegionProbe::Remove);
  const bool passed = std::all_of(result_.steps.begin(), result_.steps.end(),
                                  [](const RegionProbeStep& step) { return step.ok; });
  result_.verdict = passed ? RegionProbeVerdict::kPassed : RegionProbeVerdict::kFailed;
  return std::move(result_);
}

Detail RegionProbe::Look() { return provider_.Probe(); }

Detail RegionProbe::Allocate() {
  absl::StatusOr<std::unique_ptr<Region>> region = AllocateRegion(provider_, options_);
  if (!region.ok()) return region.status();
  region_ = *std::move(region);
  if (region_->attachment_kind() != options_.kind) {
    return Broken(absl::StrCat(region_->Describe(), " is of another kind than was asked for"));
  }
  return region_->Describe();
}

Detail RegionProbe::Attach() {
  auto attachment = Attachment::Create(*region_, {.name = "devmemctl"});
  if (!attachment.ok()) return attachment.status();
  attachment_ = *std::move(attachment);
  auto access = RegionProbeAccess::Create(*region_, *attachment_);
  if (!access.ok()) return access.status();
  access_ = *std::move(access);
  std::string detail = attachment_->staged() ? absl::StrCat("staged through host memory: ",
                                                            attachment_->stage_reason())
                                             : "written in place";
  if (!attachment_->locked()) absl::StrAppend(&detail, "; ", attachment_->lock_note());
  return detail;
}

Detail RegionProbe::Write() {
  absl::Status written = access_->WriteAll(content_);
  if (!written.ok()) return written;
  return absl::StrCat(region_->size_bytes(), " bytes");
}

Detail RegionProbe::Read() {
  absl::Status same = access_->CompareAll(content_);
  if (!same.ok()) return same;
  return absl::StrCat("every byte is as it was written",
                      region_->cpu_visible() ? "" : "; read back by the device");
}

// No kind promises that the machine can tell; but where it can, the bytes must be where they were
// asked for.
Detail RegionProbe::FindResidence() {
  const absl::StatusOr<Residence> residence = region_->FindResidence();
  if (!residence.ok()) return std::string(residence.status().message());
  const std::string found = absl::StrCat(residence->device_bytes, " bytes in place, ",
                                         residence->host_bytes, " in host memory instead, ",
                                         residence->absent_bytes, " absent: ", residence->where);
  if (residence->host_bytes != 0 || residence->absent_bytes != 0) return Broken(found);
  return found;
}

Detail RegionProbe::Share() {
  const absl::StatusOr<UniqueFd> handle = region_->ShareHandle();
  if (handle.ok()) return "has a handle that can be passed on";
  if (!absl::IsFailedPrecondition(handle.status())) return handle.status();
  return absl::StrCat("has none: ", handle.status().message());
}

Detail RegionProbe::Export() {
  const absl::StatusOr<UniqueFd> dmabuf = region_->ExportDmabuf(0, region_->size_bytes());
  if (dmabuf.ok()) return "is a dma-buf for importers in the kernel";
  return absl::StrCat("no dma-buf: ", dmabuf.status().message());
}

Detail RegionProbe::Move() {
  const absl::Status moved = region_->Move();
  if (!movable()) {
    if (absl::IsFailedPrecondition(moved))
      return absl::StrCat("refused, rightly: ", moved.message());
    return Broken(absl::StrCat("memory that does not move answers: ", moved.ToString()));
  }
  if (!moved.ok()) return moved;
  absl::Status same = access_->CompareAll(content_);
  if (!same.ok()) return Broken(absl::StrCat("after the move, ", same.message()));
  // The importer goes on at the new place.
  content_ = kAfterMovePattern;
  same = access_->WriteAll(content_);
  if (same.ok()) same = access_->CompareAll(content_);
  if (!same.ok()) return Broken(absl::StrCat("written at the new place, ", same.message()));
  return "the bytes moved, and the importer went on";
}

Detail RegionProbe::Evict() {
  const absl::Status evicted = region_->Evict(0, region_->size_bytes());
  if (!movable()) {
    if (absl::IsFailedPrecondition(evicted)) {
      return absl::StrCat("refused, rightly: ", evicted.message());
    }
    return Broken(absl::StrCat("memory that is never evicted answers: ", evicted.ToString()));
  }
  if (!evicted.ok()) return evicted;
  const absl::StatusOr<Residence> residence = region_->FindResidence();
  if (residence.ok() && residence->device_bytes != 0) {
    return Broken(absl::StrCat(residence->device_bytes, " bytes stayed in device memory"));
  }
  // The next access brings them back.
  content_ = kAfterEvictPattern;
  absl::Status same = access_->WriteAll(content_);
  if (same.ok()) same = access_->CompareAll(content_);
  if (!same.ok()) return Broken(absl::StrCat("after eviction, ", same.message()));
  return "the bytes left, and came back when they were written";
}

// The late bytes must not be seen through a handle that was passed on before. Not every handle can
// be read; then the attachment's own word has to do.
absl::Status RegionProbe::CheckLateWrite(int handle) {
  if (access_->TryWrite(kLatePattern)) {
    return Broken("a write after the revoke was reported as landed");
  }
  std::vector<uint8_t> found(region_->page_bytes());
  std::vector<uint8_t> late(found.size());
  FillPattern(kLatePattern, 0, late);
  if (handle >= 0 && ::pread(handle, found.data(), found.size(), 0) > 0 && found == late) {
    return Broken("a write after the revoke reached the memory");
  }
  return absl::OkStatus();
}

Detail RegionProbe::Revoke() {
  const absl::StatusOr<UniqueFd> handle = region_->ShareHandle();
  const absl::StatusOr<int> event_fd = region_->event_fd();
  if (!event_fd.ok()) return event_fd.status();
  region_->Revoke(kReason);
  if (!absl::IsAborted(region_->status()) || !attachment_->revoked()) {
    return Broken("the region was revoked, and its users were not told");
  }
  struct pollfd wait = {*event_fd, POLLIN, 0};
  if (::poll(&wait, 1, 0) != 1) return Broken("the event descriptor does not tell of the revoke");
  const absl::Status late = CheckLateWrite(handle.ok() ? handle->get() : -1);
  if (!late.ok()) return late;
  if (Attachment::Create(*region_, {.name = "devmemctl"}).ok()) {
    return Broken("a revoked region was attached again");
  }
  return "access ended; a later write did not reach the memory";
}

// An orderly end, on a region of its own: the first one is revoked by now.
Detail RegionProbe::Remove() {
  access_.reset();
  attachment_.reset();
  region_.reset();
  auto region = AllocateRegion(provider_, options_);
  if (!region.ok()) return region.status();
  auto attachment = Attachment::Create(**region, {.name = "devmemctl"});
  if (!attachment.ok()) return attachment.status();
  (*region)->BeginRemoval(kReason);
  if (!absl::IsFailedPrecondition((*attachment)->status())) {
    return Broken("the importer does not learn that the region is going");
  }
  if (Attachment::Create(**region, {.name = "devmemctl"}).ok()) {
    return Broken("a region that is being removed was attached again");
  }
  attachment->reset();
  absl::Status removed = (*region)->Remove(kReason, std::chrono::seconds(1));
  if (!removed.ok()) return removed;
  return "the importer left, and the memory was given back";
}

}  // namespace

RegionProbeResult ProbeRegion(Provider& provider, const AllocateOptions& options) {
  return RegionProbe(provider, options).Run();
}

}  // namespace devmem
