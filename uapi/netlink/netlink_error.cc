// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/netlink_error.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace devmem {

std::string ErrnoName(int error) {
  const char* const name = strerrorname_np(error);
  return name != nullptr ? std::string(name) : absl::StrCat("errno ", error);
}

std::string NetlinkError::ToString() const {
  std::string text = ErrnoName(error);
  if (!message.empty()) absl::StrAppend(&text, ", \"", message, "\"");
  if (!attribute.empty()) absl::StrAppend(&text, ", attribute ", attribute);
  if (!missing.empty()) absl::StrAppend(&text, ", missing ", missing);
  return text;
}

}  // namespace devmem
