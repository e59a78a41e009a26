// SPDX-License-Identifier: Apache-2.0
//
// See examine_nics.h: the part that /sys tells.

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tools/doctor/examine_nics.h"

namespace devmem {
namespace {

constexpr uint32_t kInterfaceUp = 1;  // IFF_UP of netdevice(7).

NicFacts DescribeNic(const MachineFiles& files, const std::string& name) {
  const std::string folder = absl::StrCat("/sys/class/net/", name);
  NicFacts nic;
  nic.name = name;
  if (!absl::SimpleAtoi(files.ReadLine(absl::StrCat(folder, "/ifindex")), &nic.ifindex)) {
    nic.ifindex = 0;
  }
  nic.driver = files.LinkName(absl::StrCat(folder, "/device/driver"));
  nic.hardware = files.Exists(absl::StrCat(folder, "/device"));
  uint32_t flags = 0;
  nic.up = absl::SimpleHexAtoi(files.ReadLine(absl::StrCat(folder, "/flags")), &flags) &&
           (flags & kInterfaceUp) != 0;
  for (const std::string& queue : files.List(absl::StrCat(folder, "/queues"))) {
    if (absl::StartsWith(queue, "rx-")) ++nic.rx_queues;
  }
  return nic;
}

}  // namespace

std::vector<NicFacts> ListNics(const MachineFiles& files) {
  std::vector<NicFacts> nics;
  for (const std::string& name : files.List("/sys/class/net")) {
    // bonding's list of masters stands beside the devices.
    if (name != "bonding_masters") nics.push_back(DescribeNic(files, name));
  }
  std::stable_sort(nics.begin(), nics.end(),
                   [](const NicFacts& a, const NicFacts& b) { return a.ifindex < b.ifindex; });
  return nics;
}

}  // namespace devmem
