// SPDX-License-Identifier: Apache-2.0
//
// The account in words, for messages and statistics.

#include "netmem/account.h"

#include "absl/strings/str_cat.h"

namespace devmem {

std::string Account::ToString() const {
  return absl::StrCat("total ", total, ": free ", free, ", returning ", returning, ", open ", open,
                      ", used ", used, ", staged ", staged, ", quarantined ", quarantined);
}

}  // namespace devmem
