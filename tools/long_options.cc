// SPDX-License-Identifier: Apache-2.0
//
// See long_options.h.

#include "tools/long_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace devmem {

absl::Status ParseLongOptions(int argc, const char* const* argv, const LongOptions& options) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const auto found = options.find(name);
    if (found == options.end()) {
      const auto key = [](std::string* out, const auto& option) { out->append(option.first); };
      return absl::InvalidArgumentError(absl::StrCat(
          "no option is called \"", name, "\"; there are ", absl::StrJoin(options, ", ", key)));
    }
    if (i + 1 == argc) return absl::InvalidArgumentError(absl::StrCat(name, " needs a value"));
    const absl::Status status = found->second(argv[i + 1]);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace devmem
