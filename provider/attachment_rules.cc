// SPDX-License-Identifier: Apache-2.0
// See attachment_rules.h. One function for each promise of an exporter, one line for each ability
// of an importer.
#include "provider/attachment_rules.h"

#include <cstdlib>

namespace devmem {
namespace {

// Memory that may vanish for good. An importer that cannot be stopped could go on writing it when
// it belongs to somebody else, so the exporter must turn it away, as dma-buf exporters do.
AttachmentDecision DecideRevocable(ImporterCaps importer) {
  switch (importer) {
    case ImporterCaps::kNeither:
      return {AttachmentVerdict::kRefuse,
              "the memory may be revoked, and the importer cannot be stopped in bounded time"};
    case ImporterCaps::kRevoke:
    case ImporterCaps::kFault:
      return {AttachmentVerdict::kAllow, "the importer stops when the memory is revoked"};
  }
  std::abort();
}

// Memory that goes on existing elsewhere. An importer that cannot follow it writes host memory; the
// copy from there takes a new look at the place each time.
AttachmentDecision DecideMovable(ImporterCaps importer) {
  switch (importer) {
    case ImporterCaps::kNeither:
      return {AttachmentVerdict::kStage,
              "the memory may move, and the importer can neither stop nor follow it"};
    case ImporterCaps::kRevoke:
      return {AttachmentVerdict::kStage,
              "the memory may move, and the importer can stop but not follow it"};
    case ImporterCaps::kFault:
      return {AttachmentVerdict::kAllow, "the importer follows the memory when it moves"};
  }
  std::abort();
}

}  // namespace

AttachmentDecision DecideAttachment(AttachmentKind exporter, ImporterCaps importer) {
  switch (exporter) {
    case AttachmentKind::kPinned:
      return {AttachmentVerdict::kAllow, "the memory stays where it is while attached"};
    case AttachmentKind::kMayRevoke: return DecideRevocable(importer);
    case AttachmentKind::kMayMove: return DecideMovable(importer);
  }
  std::abort();
}

}  // namespace devmem
