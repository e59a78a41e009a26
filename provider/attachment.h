// SPDX-License-Identifier: Apache-2.0
// Attachment: one importer's use of a region. A NIC is given one when a range of the region is
// bound to its queues, and reaches the bytes through its mapping(). Made and destroyed on the
// control thread; Revoke() may be called from any thread. DESIGN sections 2, 4 and 9.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/attachment_rules.h"
#include "provider/region.h"

namespace devmem {

class DmaMapping;  // provider/dma_mapping.h, which only a NIC includes.

// Who wants to use a region.
struct Importer {
  std::string name;  // The NIC's device name; what the region's policy is asked about.
  ImporterCaps caps = ImporterCaps::kRevoke;
};

// Invariants:
//   1. The region's policy allowed this importer, and DecideAttachment() its abilities.
//   2. Every page was present and writable when Create() returned, so that a NIC's first access
//      does not fault.
//   3. The memory lives as long as the attachment, even when the Region has gone before it.
class Attachment {
 public:
  // Asks the region's policy, decides, maps, populates and locks.
  //
  // Errors: kPermissionDenied    the policy does not name this importer.
  //         kFailedPrecondition  the importer's abilities do not fit what the exporter promises.
  //         kResourceExhausted   the machine cannot supply the pages.
  // A lock refused by RLIMIT_MEMLOCK is no error: see locked().
  static absl::StatusOr<std::unique_ptr<Attachment>> Create(const Region& region,
                                                            const Importer& importer);

  // Unmaps. The importer has stopped using mapping() by now.
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  uint32_t region_id() const { return region_id_; }
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t page_bytes() const { return page_bytes_; }
  absl::string_view importer_name() const { return importer_name_; }
  AttachmentKind kind() const { return kind_; }

  // Whether the pages are kept in memory. Where not, the attachment works, but under memory
  // pressure an access may wait for swap; lock_note() then says the limit, the bytes wanted and the
  // remedy. Empty when locked.
  bool locked() const { return lock_note_.empty(); }
  absl::string_view lock_note() const { return lock_note_; }

  // The importer's door to the bytes. Lives as long as the attachment.
  DmaMapping& mapping() { return *mapping_; }

  // Ends the importer's access to the memory, whatever the importer is doing: DmaMapping::Revoke().
  void Revoke();
  bool revoked() const;

 private:
  Attachment(const Region& region, const Importer& importer, std::string lock_note,
             std::unique_ptr<DmaMapping> mapping);

  const uint32_t region_id_;
  const uint64_t size_bytes_;
  const uint64_t page_bytes_;
  const AttachmentKind kind_;
  const std::string importer_name_;
  const std::string lock_note_;
  const std::unique_ptr<DmaMapping> mapping_;
};

}  // namespace devmem
