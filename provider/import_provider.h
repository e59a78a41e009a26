// SPDX-License-Identifier: Apache-2.0
// The "import" provider: regions over memory that somebody else allocated and passed on as a file
// descriptor: a dma-buf of any exporter, or the memfd of another process's region. Control thread
// only. What the other side can still do to the memory is in Documentation/providers.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/import_policy.h"
#include "provider/provider.h"
#include "provider/system_calls.h"

namespace devmem {

// What is imported, as it came over a socket: nothing of it is trusted.
struct ImportOptions {
  int fd = -1;          // The caller's, and stays the caller's.
  uint64_t offset = 0;  // Of the region in the file, in bytes; a multiple of its page size.
  uint64_t bytes = 0;   // A multiple of the page size; 0: to the end of the file.
  ImportPolicy policy = ImportPolicy::Everyone();
};

// A region over a part of the file. Memory that could be cut off under us is not taken: a dma-buf
// never changes its size, and a memfd is sealed against shrinking, by us if its maker did not.
// A dma-buf that the processor cannot map is a region with cpu_visible() false.
//
// Errors: kInvalidArgument    the descriptor is closed, is neither a dma-buf nor a memfd (the
//                             message says what it is), or the range is not of whole pages.
//         kOutOfRange         the range leaves the file.
//         kFailedPrecondition a memfd that cannot be sealed, or that nobody may write any more.
//         kPermissionDenied   the descriptor is for reading only.
//         kResourceExhausted  no descriptor is left.
absl::StatusOr<std::unique_ptr<Region>> ImportDmabuf(
    const ImportOptions& options, const SystemCalls& calls = SystemCalls::OfThisMachine());

// Listed, so that people find it; it allocates nothing.
class ImportProvider final : public Provider {
 public:
  absl::string_view name() const override { return "import"; }
  absl::StatusOr<std::string> Probe() override;
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override;
};

}  // namespace devmem
