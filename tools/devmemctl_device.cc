// SPDX-License-Identifier: Apache-2.0
//
// See devmemctl_device.h.

#include "tools/devmemctl_device.h"

#include <net/if.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/exit_codes.h"

namespace devmem {

std::vector<std::string> DeviceNames() {
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> all(if_nameindex(),
                                                                                 if_freenameindex);
  std::vector<std::string> names;
  for (const struct if_nameindex* one = all.get(); one != nullptr && one->if_index != 0; ++one) {
    names.emplace_back(one->if_name);
  }
  return names;
}

absl::StatusOr<std::optional<uint32_t>> ChosenDevice(const DevmemctlOptions& options) {
  if (options.device.empty()) return std::optional<uint32_t>();
  const uint32_t ifindex = if_nametoindex(options.device.c_str());
  if (ifindex != 0) return std::optional<uint32_t>(ifindex);
  return absl::NotFoundError(absl::StrCat("there is no network device \"", options.device,
                                          "\" in this network namespace; there are ",
                                          absl::StrJoin(DeviceNames(), ", ")));
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnavailable: return kCtlUnsupported;
    default: return kCtlRefused;
  }
}

}  // namespace devmem
