// SPDX-License-Identifier: Apache-2.0
// See peer_to_peer.h. A switch carries transfers between its ports by itself; where the way leads
// through a processor, somebody has to know that its root complex forwards them. Linux keeps such a
// list, and so it is our measure too.
#include "provider/peer_to_peer.h"

#include <array>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace devmem {
namespace {

constexpr uint16_t kIntel = 0x8086;
constexpr uint16_t kGoogle = 0x1ae0;
// Processors of AMD from Zen on forward between all their root ports.
constexpr uint32_t kZenFamily = 0x17;

// Root complexes that Linux 6.18 lets peers talk through, by the first device of the root bus. The
// accelerators inside of some processors, which stand in Linux's list too, are no NIC and no GPU.
struct RootComplex {
  uint16_t device;
  bool same_host_bridge;  // Only between ports of one host bridge.
};
constexpr std::array<RootComplex, 10> kIntelRootComplexes = {{{0x3c00, true},
                                                              {0x3c01, true},
                                                              {0x2f00, true},
                                                              {0x2f01, true},
                                                              {0x2030, false},
                                                              {0x2031, false},
                                                              {0x2032, false},
                                                              {0x2033, false},
                                                              {0x2020, false},
                                                              {0x09a2, false}}};

bool Forwards(const PciHostBridge& bridge, bool same_host_bridge) {
  if (bridge.vendor == kGoogle) return true;
  if (bridge.vendor != kIntel) return false;
  for (const RootComplex& known : kIntelRootComplexes) {
    if (known.device == bridge.device) return same_host_bridge || !known.same_host_bridge;
  }
  return false;
}

// The names of one root complex, or of two.
std::string Names(const PciHostBridge& a, const PciHostBridge& b) {
  const auto name = [](const PciHostBridge& bridge) {
    return absl::StrFormat("%04x:%04x", bridge.vendor, bridge.device);
  };
  return name(a) == name(b) ? name(a) : absl::StrCat(name(a), " and ", name(b));
}

PeerToPeerAnswer ThroughTheProcessor(const PciPlace& a, const PciPlace& b,
                                     const MachineFacts& machine, absl::string_view why) {
  if (machine.cpu_vendor == "AuthenticAMD" && machine.cpu_family >= kZenFamily) {
    return {PeerToPeer::kYes,
            absl::StrCat(why, ", and processors of this kind (AMD family ", machine.cpu_family,
                         ") forward between their ports"),
            {}};
  }
  const bool same = a.host_bridge.id == b.host_bridge.id;
  if (Forwards(a.host_bridge, same) && Forwards(b.host_bridge, same)) {
    return {PeerToPeer::kYes,
            absl::StrCat(why, ", and Linux lets peers through this root complex (",
                         Names(a.host_bridge, b.host_bridge), ")"),
            {}};
  }
  return {PeerToPeer::kPlatform,
          absl::StrCat(why, ", and Linux does not vouch for this root complex (",
                       Names(a.host_bridge, b.host_bridge),
                       "); measure whether it forwards, or place the devices behind one switch"),
          {}};
}

PeerToPeerAnswer Decide(const PciPlace& a, const PciPlace& b, PciDistance distance,
                        const MachineFacts& machine, const PathFacts& path) {
  switch (distance) {
    case PciDistance::kSelf: return {PeerToPeer::kYes, "the memory is the device's own", {}};
    case PciDistance::kPix:
    case PciDistance::kPxb:
      if (path.redirecting_ports.empty()) {
        return {PeerToPeer::kYes, "the switch carries transfers between its ports", {}};
      }
      return ThroughTheProcessor(
          a, b, machine,
          absl::StrCat("ACS at ", absl::StrJoin(path.redirecting_ports, ", "),
                       " sends transfers up to the host bridge"));
    case PciDistance::kPhb:
      return ThroughTheProcessor(a, b, machine, "transfers pass the host bridge");
    case PciDistance::kNode:
      return ThroughTheProcessor(a, b, machine, "transfers pass from one host bridge to another");
    case PciDistance::kSys:
      // Several NUMA nodes of one package are no sockets.
      if (a.package.has_value() && a.package == b.package) {
        return ThroughTheProcessor(a, b, machine, "transfers pass between NUMA nodes of a package");
      }
      return {PeerToPeer::kNo,
              "transfers would pass the link between sockets, which carries them slowly or not at "
              "all",
              {}};
  }
  std::abort();
}

}  // namespace

absl::string_view ToString(PeerToPeer verdict) {
  switch (verdict) {
    case PeerToPeer::kYes: return "yes";
    case PeerToPeer::kNo: return "no";
    case PeerToPeer::kPlatform: return "platform";
  }
  std::abort();
}

PeerToPeerAnswer DecidePeerToPeer(const PciPlace& a, const PciPlace& b, PciDistance distance,
                                  const MachineFacts& machine, const PathFacts& path) {
  PeerToPeerAnswer answer = Decide(a, b, distance, machine, path);
  if (!path.unreadable_ports.empty()) {
    answer.notes.push_back(absl::StrCat("ACS of ", absl::StrJoin(path.unreadable_ports, ", "),
                                        " cannot be read: ask as root"));
  }
  answer.notes.insert(answer.notes.end(), path.iommu_notes.begin(), path.iommu_notes.end());
  return answer;
}

}  // namespace devmem
