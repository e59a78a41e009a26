// SPDX-License-Identifier: Apache-2.0
//
// What `gvnicd --device` and `--link` take: "socket=PATH,mac=MAC,queues=4" and "tap=NAME". Called
// while the command line is read.

#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/gvnicd_options.h"

namespace devmem {

// Reads one device: `defaults` and what `text` says otherwise. The number of the device makes the
// name and the MAC address that it does not say.
//
// Errors: kInvalidArgument  a key that does not exist, a value that is none, no socket.
//         kOutOfRange       a value outside its bounds.
absl::StatusOr<GvnicdDevice> ParseGvnicdDevice(absl::string_view text, uint32_t number,
                                               const GvnicOptions& defaults);

// Errors: kInvalidArgument  no link that exists.
absl::StatusOr<GvnicdLink> ParseGvnicdLink(absl::string_view text);

}  // namespace devmem
