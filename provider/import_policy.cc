// SPDX-License-Identifier: Apache-2.0
// See import_policy.h.
#include "provider/import_policy.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace devmem {

ImportPolicy ImportPolicy::Everyone() { return ImportPolicy(true, {}); }

ImportPolicy ImportPolicy::Only(std::set<std::string> importers) {
  return ImportPolicy(false, std::move(importers));
}

ImportPolicy::ImportPolicy(bool everyone, std::set<std::string> importers)
    : everyone_(everyone), importers_(std::move(importers)) {}

bool ImportPolicy::Allows(absl::string_view importer) const {
  return everyone_ || importers_.count(std::string(importer)) > 0;
}

std::string ImportPolicy::Describe() const {
  if (everyone_) return "everyone";
  if (importers_.empty()) return "nobody";
  return absl::StrCat("only ", absl::StrJoin(importers_, ", "));
}

}  // namespace devmem
