// SPDX-License-Identifier: Apache-2.0
// ImportPolicy: the exporter's word on who may use a region. Set when the region is allocated,
// asked by every attachment, on the control thread. DESIGN rule: the exporter decides.
#pragma once

#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace devmem {

// A set of importer names (a NIC's device name, as a rule), or all importers. A plain value; it
// does not change during the life of a region.
class ImportPolicy {
 public:
  // Everybody may import.
  static ImportPolicy Everyone();

  // Only the named importers may. An empty set allows nobody.
  static ImportPolicy Only(std::set<std::string> importers);

  bool Allows(absl::string_view importer) const;

  // For messages: "everyone", "nobody" or "only dm0, dm1" (in the order of the alphabet).
  std::string Describe() const;

 private:
  ImportPolicy(bool everyone, std::set<std::string> importers);

  bool everyone_;
  std::set<std::string> importers_;  // Read only when everyone_ is false.
};

}  // namespace devmem
