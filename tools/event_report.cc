// SPDX-License-Identifier: Apache-2.0
//
// See event_report.h.

#include "tools/event_report.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace devmem {

std::string ToText(const NetlinkEvent& event) {
  std::string text = absl::StrCat(event.ifname.empty() ? "-" : event.ifname, " ", event.event);
  for (const auto& [key, value] : event.attributes) absl::StrAppend(&text, " ", key, " ", value);
  return text;
}

JsonObject ToJson(const NetlinkEvent& event, uint64_t time_ns) {
  JsonObject attributes;
  for (const auto& [key, value] : event.attributes) {
    uint64_t number = 0;
    if (absl::SimpleAtoi(value, &number)) {
      attributes.Number(key, number);
    } else {
      attributes.Text(key, value);
    }
  }
  JsonObject json;
  json.Number("time_ns", time_ns).Text("family", event.family).Text("event", event.event);
  if (event.ifindex != 0) json.Text("ifname", event.ifname).Number("ifindex", event.ifindex);
  json.Object("attributes", std::move(attributes));
  return json;
}

}  // namespace devmem
