// SPDX-License-Identifier: Apache-2.0
// Region: device memory with an owner, a size and its exporter's policy. Made by a provider, owned
// through its unique_ptr by whoever allocated it, attached to importers (attachment.h) and, where
// the CPU can see it, looked at by its owner (region_view.h). What describes it never changes and
// may be read by any thread; the exporter's acts (Revoke, Remove, Move, Evict) are for any thread
// too. See Documentation/memory.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/attachment_rules.h"
#include "provider/import_policy.h"
#include "provider/limits.h"
#include "provider/mapped_memory.h"
#include "provider/region_life.h"
#include "provider/unique_fd.h"

namespace devmem {

class DmaEngine;     // provider/dma_engine.h
class DmaMapping;    // provider/dma_mapping.h, which only a NIC includes.
class PagingSource;  // provider/dma_mapping.h

// What a provider tells about the memory that it allocated.
struct RegionTraits {
  absl::string_view provider_name;  // Static storage: the provider's own name.
  std::string label;                // The owner's word for it, for people and /proc. May be empty.
  uint64_t size_bytes = 0;          // A positive multiple of page_bytes.
  uint64_t page_bytes = 0;          // kSmallPageBytes, kHugePageBytes or kGiantPageBytes.
  AttachmentKind attachment_kind = AttachmentKind::kPinned;
  ImportPolicy policy = ImportPolicy::Everyone();
  UniqueFd fd;  // The file handle; owns nothing where the memory has none.
  // Why there is no handle that could be passed on, in words for a person. Needed without fd.
  std::string local_because = {};
  // Whether the CPU can map it. Where not, it is staged: CreateDmaEngine() moves the bytes.
  bool cpu_visible = true;
  // Whether its pages come into being when they are touched, and only then: an attachment neither
  // populates nor locks them. For memory of which there is less than its size.
  bool sparse = false;
};

// Where the bytes of a region lie, counted now and not assumed.
struct Residence {
  uint64_t device_bytes = 0;  // In the memory that the region was allocated from.
  uint64_t host_bytes = 0;    // Elsewhere: in system RAM, where an exporter moved them.
  uint64_t absent_bytes = 0;  // Nowhere yet, or swapped out.
  std::string where;          // For a person: "host memory, NUMA node 0".
};

// Invariants:
//   1. id() is unique in this process and never used again; the first is 1.
//   2. No byte address leaves a region: Map() is for Attachment and the views alone.
//   3. Destroying a region does not take the memory from its attachments: each keeps what it maps
//      alive, and ends by its own destruction or by a revoke that came before.
class Region {
 public:
  virtual ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  uint32_t id() const { return id_; }
  uint64_t size_bytes() const { return traits_.size_bytes; }
  uint64_t page_bytes() const { return traits_.page_bytes; }
  absl::string_view provider_name() const { return traits_.provider_name; }
  absl::string_view label() const { return traits_.label; }
  AttachmentKind attachment_kind() const { return traits_.attachment_kind; }
  const ImportPolicy& policy() const { return traits_.policy; }
  bool cpu_visible() const { return traits_.cpu_visible; }
  bool sparse() const { return traits_.sparse; }

  // The file handle, or -1 for memory that is local to this process. Borrowed: it lives as long as
  // the region.
  int fd() const { return traits_.fd.get(); }

  // A handle of the caller's own, to keep or to pass to another process, which imports it.
  // kFailedPrecondition with the reason where the memory is local to this process.
  absl::StatusOr<UniqueFd> ShareHandle() const;

  // A dma-buf of a range, for importers in the kernel. The range is in bytes, both multiples of the
  // page size. kFailedPrecondition where this memory cannot be one, with the reason; kOutOfRange.
  virtual absl::StatusOr<UniqueFd> ExportDmabuf(uint64_t offset, uint64_t bytes) const;

  // Asks the machine where the bytes are.
  virtual absl::StatusOr<Residence> FindResidence() const;

  // --- The exporter's acts ---

  // OK while the region can be used; RegionLife::status().
  absl::Status status() const { return life_->status(); }
  // Readable once status() is no longer OK; RegionLife::event_fd().
  absl::StatusOr<int> event_fd() const { return life_->event_fd(); }

  // Takes the memory from everybody at once. Returns when nothing reaches it any more.
  void Revoke(const std::string& reason) { life_->Revoke(reason); }

  // Ends the region's use in an orderly way: no further attachment, importers stop to post and
  // drain. Whoever still uses it when `patience` has run out is revoked. Returns OK when all left
  // by themselves, kDeadlineExceeded when some were revoked. Importers that are driven by the
  // calling thread cannot drain meanwhile: for these see Session::Remove().
  absl::Status Remove(const std::string& reason, std::chrono::nanoseconds patience);

  // Tells importers that the region is going: the first half of Remove().
  void BeginRemoval(const std::string& reason) { life_->BeginRemoval(reason); }

  // Moves the bytes to another place. Attached importers go on there. Whoever has pinned the region
  // for a short time is waited for, `pin_patience` at most. kFailedPrecondition for memory that
  // does not move, kResourceExhausted when there is no other place, kUnavailable when it stayed
  // pinned; the region is then as before. kAborted when it was, or had to be, revoked.
  virtual absl::Status Move(std::chrono::nanoseconds pin_patience);
  absl::Status Move() { return Move(kPinPatienceDefault); }

  // Moves a range (rounded outwards to blocks of kPagingBlockBytes) out of device memory, until an
  // importer's next access brings it back. Errors as Move(), and kOutOfRange. Where memory runs out
  // in the middle, the blocks before it are evicted.
  virtual absl::Status Evict(uint64_t offset, uint64_t bytes,
                             std::chrono::nanoseconds pin_patience);
  absl::Status Evict(uint64_t offset, uint64_t bytes) {
    return Evict(offset, bytes, kPinPatienceDefault);
  }

  // Shared with everything made from the region.
  const std::shared_ptr<RegionLife>& life() const { return life_; }

  // One line for a person: "region 3 (memfd "weights", 67108864 bytes, pages of 4096 bytes)".
  std::string Describe() const;

 protected:
  explicit Region(RegionTraits traits);

 private:
  friend class Attachment;
  friend class RegionGrant;
  friend class RegionView;
  friend class UserMapping;

  // Maps the whole region into this process, or says why the CPU cannot see it.
  virtual absl::StatusOr<MappedMemory> Map(MapAccess access) const = 0;

  // An engine that copies from `staging` into this region, for one rx queue. `staging` outlives it.
  // The default refuses: memory that the CPU can map needs none.
  virtual absl::StatusOr<std::unique_ptr<DmaEngine>> CreateDmaEngine(DmaMapping& staging) const;

  // The parts that are evicted now, for a user who has just mapped the region; under LockPlaces().
  virtual std::vector<RegionPlace> EvictedPlaces() const { return {}; }

  // Who brings evicted bytes back, for memory that may move; shared with the attachments.
  virtual std::shared_ptr<PagingSource> paging() const { return nullptr; }

  const uint32_t id_;
  const RegionTraits traits_;
  const std::shared_ptr<RegionLife> life_;
};

}  // namespace devmem
