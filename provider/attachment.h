// SPDX-License-Identifier: Apache-2.0
// Attachment: one importer's use of a region. A NIC is given one when a range of the region is
// bound to its queues, and reaches the bytes through its mapping(), or, where it may not write them
// itself, through a DMA engine behind staging memory. Made and destroyed on the control thread;
// Revoke() may be called from any thread. See Documentation/memory.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/attachment_rules.h"
#include "provider/pci_distance.h"
#include "provider/region.h"

namespace devmem {

class DmaEngine;   // provider/dma_engine.h
class DmaMapping;  // provider/dma_mapping.h, which only a NIC includes.

// Who wants to use a region.
struct Importer {
  std::string name;  // The NIC's device name; what the region's policy is asked about.
  // A software NIC looks up the place of the memory at each access.
  ImporterCaps caps = ImporterCaps::kFault;
  // To the memory's device; unset where one of the two is no PCI device.
  std::optional<PciDistance> distance = {};
  // Told, on the exporter's thread, that the region is being removed, or was revoked. Does not
  // block and does not call into the region.
  std::function<void()> on_event = {};
};

// Invariants:
//   1. The region's policy allowed this importer, and DecideAttachment() its abilities.
//   2. Every page was present and writable when Create() returned, so that a NIC's first access
//      does not fault; except where the region is sparse.
//   3. The memory lives as long as the attachment, even when the Region has gone before it.
//   4. Once revoked, neither mapping() nor any engine reaches the region.
class Attachment final : private RegionUser {
 public:
  // Asks the region's policy, decides, maps, populates and locks.
  //
  // Errors: kPermissionDenied    the exporter's policy refuses this importer; the message has its
  //                              reason.
  //         kFailedPrecondition  the importer's abilities do not fit what the exporter promises;
  //         the
  //                              region is being removed.
  //         kAborted             the region was revoked.
  //         kResourceExhausted   the machine cannot supply the pages.
  // A lock refused by RLIMIT_MEMLOCK is no error: see locked().
  static absl::StatusOr<std::unique_ptr<Attachment>> Create(const Region& region,
                                                            const Importer& importer);

  // Unmaps. The importer has stopped using mapping() and the engines by now.
  ~Attachment() override;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  uint32_t region_id() const { return region_id_; }
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t page_bytes() const { return page_bytes_; }
  absl::string_view importer_name() const { return importer_.name; }
  AttachmentKind kind() const { return kind_; }

  // Whether payload crosses host memory, and why: the CPU cannot map the region, the exporter wants
  // it so, or the importer cannot follow memory that moves.
  bool staged() const { return !stage_reason_.empty(); }
  absl::string_view stage_reason() const { return stage_reason_; }

  // Whether the pages are kept in memory. Where not, the attachment works, but under memory
  // pressure an access may wait for swap; lock_note() then says the limit, the bytes wanted and the
  // remedy. Empty when locked.
  bool locked() const { return lock_note_.empty(); }
  absl::string_view lock_note() const { return lock_note_; }

  // The importer's door to the bytes; not for a staged attachment. Lives as long as the attachment.
  DmaMapping& mapping();

  // For a staged attachment: an engine that copies from `staging`, which outlives it, into
  // `region`, the one that is attached. One for each rx queue; it lives as long as the attachment,
  // or until EndEngine(). Control thread. Errors: the provider's; kAborted.
  absl::StatusOr<DmaEngine*> CreateEngine(const Region& region, DmaMapping& staging);
  // Waits until the engine copies nothing any more, and destroys it.
  void EndEngine(DmaEngine* engine);

  // OK while the region can be used: RegionLife::status(). Any thread.
  absl::Status status() const { return life_->status(); }
  RegionPhase phase() const { return life_->phase(); }
  // Whether anything of this is no longer as it was at Create(): a NIC's thread asks it often.
  bool going() const { return !life_->live() || revoked(); }

  // Ends this importer's access to the memory, whatever it is doing: DmaMapping::Revoke().
  void Revoke() { TakeAway(); }
  bool revoked() const { return revoked_.load(std::memory_order_acquire); }

 private:
  Attachment(const Region& region, const Importer& importer, std::string stage_reason);

  absl::Status MapMemory(const Region& region);

  // RegionUser, under the life's lock.
  void TakeAway() override;
  void Withdraw(uint64_t offset, uint64_t bytes) override;
  absl::Status PutBack(const RegionPlace& place) override;
  void Notify() override;

  const uint32_t region_id_;
  const uint64_t size_bytes_;
  const uint64_t page_bytes_;
  const AttachmentKind kind_;
  const Importer importer_;
  const std::string stage_reason_;
  const std::shared_ptr<RegionLife> life_;
  // Set by Create() before anybody else knows the attachment.
  std::string lock_note_;
  std::unique_ptr<DmaMapping> mapping_;  // Null where the CPU cannot map the region.
  bool joined_ = false;

  std::atomic<bool> revoked_{false};
  std::mutex engines_mutex_;                         // The control thread adds, a revoke halts.
  std::vector<std::unique_ptr<DmaEngine>> engines_;  // Guarded by engines_mutex_.
};

}  // namespace devmem
