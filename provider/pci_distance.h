// SPDX-License-Identifier: Apache-2.0
// How far two devices of one machine are from each other, in the words of nvidia-smi's topology
// matrix. A region's policy is told it, and `auto` chooses by it. Plain values; any thread.
#pragma once

#include "absl/strings/string_view.h"

namespace devmem {

// From near to far: a smaller value is never worse.
enum class PciDistance {
  kSelf,  // X: one and the same device.
  kPix,   // At most one PCIe bridge between them: behind one switch.
  kPxb,   // Several PCIe bridges, but no host bridge.
  kPhb,   // A PCIe host bridge: through the processor's root complex.
  kNode,  // Several host bridges of one NUMA node.
  kSys,   // The link between NUMA nodes.
};

// "X", "PIX", "PXB", "PHB", "NODE" or "SYS".
constexpr absl::string_view ToString(PciDistance distance) {
  switch (distance) {
    case PciDistance::kSelf: return "X";
    case PciDistance::kPix: return "PIX";
    case PciDistance::kPxb: return "PXB";
    case PciDistance::kPhb: return "PHB";
    case PciDistance::kNode: return "NODE";
    case PciDistance::kSys: return "SYS";
  }
  return "unknown";
}

}  // namespace devmem
