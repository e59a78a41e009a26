// SPDX-License-Identifier: Apache-2.0
//
// `--name value` options for the small programs of this folder, which are not worth a command line
// library. Called at start-up.

#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"

namespace devmem {

// What to do with an option's value.
using LongOptions = std::map<std::string, std::function<absl::Status(const std::string&)>>;

// Reads the whole command line. Errors: kInvalidArgument for an option that is not in `options` or
// has no value, and what the handlers return.
absl::Status ParseLongOptions(int argc, const char* const* argv, const LongOptions& options);

}  // namespace devmem
