// SPDX-License-Identifier: Apache-2.0
// See posix_error.h. The table of codes is abseil's; what is added is that 0 never reads as
// success.
#include "provider/posix_error.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {

absl::Status ErrnoToStatus(int err, const std::string& what) {
  if (err == 0) return absl::InternalError(absl::StrCat(what, ": failed with errno 0"));
  return absl::ErrnoToStatus(err, what);
}

}  // namespace devmem
