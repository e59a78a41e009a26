// SPDX-License-Identifier: Apache-2.0
//
// The commands of gvnicd's control socket: faults, the link, resets, statistics. A line of words
// goes in, a line of JSON comes out. Called by the control socket on the event loop's one thread.
// Documentation/gvnic.md lists them.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "netmem/gvnic/gvnic_device.h"
#include "tools/json_object.h"

namespace devmem {

struct ControlTarget {
  std::vector<GvnicDevice*> devices;
  std::function<JsonObject()> statistics;
};

// Does what one line asks for: "VERB [device=NUMBER|NAME] [KEY=VALUE...]". Every refusal is in the
// answer: {"ok":false,"error":"..."}.
std::string RunControlCommand(absl::string_view line, const ControlTarget& target);

}  // namespace devmem
