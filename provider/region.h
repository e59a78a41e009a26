// SPDX-License-Identifier: Apache-2.0
// Region: device memory with an owner, a size and its exporter's policy. Made by a provider, owned
// through its unique_ptr by whoever allocated it, attached to importers (attachment.h) and, where
// the CPU can see it, looked at by its owner (region_view.h). Control thread only; immutable after
// construction, so any thread may read it. DESIGN sections 2 and 9.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/attachment_rules.h"
#include "provider/import_policy.h"
#include "provider/mapped_memory.h"
#include "provider/unique_fd.h"

namespace devmem {

// What a provider tells about the memory that it allocated.
struct RegionTraits {
  absl::string_view provider_name;  // Static storage: the provider's own name.
  std::string label;                // The owner's word for it, for people and /proc. May be empty.
  uint64_t size_bytes = 0;          // A positive multiple of page_bytes.
  uint64_t page_bytes = 0;          // kSmallPageBytes or kHugePageBytes.
  AttachmentKind attachment_kind = AttachmentKind::kPinned;
  ImportPolicy policy = ImportPolicy::Everyone();
  UniqueFd fd;  // The file handle; owns nothing where the memory has none.
};

// Invariants:
//   1. id() is unique in this process and never used again; the first is 1.
//   2. No byte address leaves a region: Map() is for Attachment and RegionView alone.
//   3. Destroying a region does not take the memory from its attachments: each keeps what it maps
//      alive, and ends by its own destruction or by Revoke().
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

  // The file handle, or -1 for memory that is local to this process. Borrowed: it lives as long as
  // the region.
  int fd() const { return traits_.fd.get(); }

  // One line for a person: "region 3 (memfd "weights", 67108864 bytes, pages of 4096 bytes)".
  std::string Describe() const;

 protected:
  explicit Region(RegionTraits traits);

 private:
  friend class Attachment;
  friend class RegionView;

  // Maps the whole region into this process, or says why the CPU cannot see it.
  virtual absl::StatusOr<MappedMemory> Map(MapAccess access) const = 0;

  const uint32_t id_;
  const RegionTraits traits_;
};

}  // namespace devmem
