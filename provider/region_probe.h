// SPDX-License-Identifier: Apache-2.0
// ProbeRegion: proves, step by step, that a provider's memory works as its kind promises. It does
// once, in the order of a region's life, what exporters, importers and owners do: allocate, attach,
// write, read back, ask where the bytes lie, pass the handle on, move, evict, revoke, remove. For
// `devmemctl region test`; on the calling thread, while nobody else knows the region.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "provider/provider.h"

namespace devmem {

struct RegionProbeStep {
  std::string step;     // "allocate", "move"; one word, stable.
  bool ok = false;      // It did what the kind promises: a refusal where nothing is promised.
  std::string detail;   // What happened, or what went wrong.
  uint64_t micros = 0;  // How long it took.
};

enum class RegionProbeVerdict {
  kPassed,       // Every step is ok.
  kUnsupported,  // The provider is not usable here.
  kRefused,      // It is, but does not give such a region.
  kFailed,       // A region was had, and did not keep what its kind promises.
};

struct RegionProbeResult {
  RegionProbeVerdict verdict = RegionProbeVerdict::kFailed;
  std::vector<RegionProbeStep> steps;  // Up to the first that made going on pointless.
};

// Allocates twice what `options` says, one after the other, and leaves nothing behind. The policy
// in `options` is not asked: the probe's own importer, "devmemctl", may attach.
RegionProbeResult ProbeRegion(Provider& provider, const AllocateOptions& options);

}  // namespace devmem
