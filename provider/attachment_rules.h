// SPDX-License-Identifier: Apache-2.0
// What may be attached to what: a pure function of the exporter's promise and the importer's
// abilities. Asked once for each attachment, on the control thread; providers.md and, for the
// refused case, Linux's dma-buf exporters, which turn away importers that they could not revoke.
#pragma once

#include "absl/strings/string_view.h"

namespace devmem {

// What a region's exporter promises about the memory while it is attached.
enum class AttachmentKind {
  kPinned,     // Stays where it is until the importer detaches.
  kMayRevoke,  // Stays where it is, but may be taken away for good at any time.
  kMayMove,    // May change its place at any time and goes on existing.
};

// What an importer can do when the memory under it changes.
enum class ImporterCaps {
  kNeither,  // Cannot stop using an address on demand.
  kRevoke,   // Stops in bounded time when told to; cannot start again at a new place by itself.
  kFault,    // Also looks up the new place at its next access (on-demand paging).
};

enum class AttachmentVerdict {
  kAllow,   // Peer to peer: the importer writes the region itself.
  kStage,   // The importer writes host memory, and a copy that can be stopped crosses over.
  kRefuse,  // No attachment.
};

struct AttachmentDecision {
  AttachmentVerdict verdict;
  absl::string_view reason;  // Why, in words for a person. Static storage.
};

AttachmentDecision DecideAttachment(AttachmentKind exporter, ImporterCaps importer);

}  // namespace devmem
