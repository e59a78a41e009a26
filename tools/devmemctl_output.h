// SPDX-License-Identifier: Apache-2.0
//
// What devmemctl's commands have in common when they tell something: tables, JSON documents, and
// refusals in either form.

#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tools/devmemctl_options.h"
#include "tools/exit_codes.h"
#include "tools/json_object.h"

namespace devmem {

// What a command leaves: texts for both streams, and the status to exit with.
struct CommandOutcome {
  std::string output;
  std::string error;
  int exit_code = kCtlOk;
};

// "usage", "refused", "partly" or "unsupported".
absl::string_view ExitWord(int exit_code);

// Columns as wide as their widest cell, two spaces between them, nothing behind the last. Rows may
// differ in length.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// A document with its end of line.
std::string FormatJson(const DevmemctlOptions& options, const JsonObject& object);
std::string FormatJson(const DevmemctlOptions& options, std::vector<JsonObject> objects);

// A refusal: a line on stderr, or with -j an object on stdout, so that whoever reads the one
// document of a run finds it there.
CommandOutcome Refuse(const DevmemctlOptions& options, int exit_code, const absl::Status& status);

// For commands that go on: prints at once. False when stdout takes no more.
bool WriteNow(absl::string_view text);

// How a command ends whose stdout is gone: it has nobody to tell, and nothing more to do.
CommandOutcome OutputGone();

}  // namespace devmem
