// SPDX-License-Identifier: Apache-2.0
//
// See devmemctl_output.h.

#include "tools/devmemctl_output.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {

absl::string_view ExitWord(int exit_code) {
  switch (exit_code) {
    case kCtlOk: return "ok";
    case kCtlUsage: return "usage";
    case kCtlPartly: return "partly";
    case kCtlUnsupported: return "unsupported";
    default: return "refused";
  }
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    if (row.size() > widths.size()) widths.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&line, row[i], std::string(widths[i] - row[i].size() + 2, ' '));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string FormatJson(const DevmemctlOptions& options, const JsonObject& object) {
  return (options.pretty ? object.ToPrettyString() : object.ToString()) + "\n";
}

std::string FormatJson(const DevmemctlOptions& options, std::vector<JsonObject> objects) {
  return JsonObject::ArrayToString(std::move(objects), options.pretty) + "\n";
}

CommandOutcome Refuse(const DevmemctlOptions& options, int exit_code, const absl::Status& status) {
  CommandOutcome outcome;
  outcome.exit_code = exit_code;
  if (!options.json) {
    outcome.error = absl::StrCat("devmemctl: ", status.message(), "\n");
    return outcome;
  }
  JsonObject error;
  error.Text("kind", ExitWord(exit_code));
  error.Text("code", absl::StatusCodeToString(status.code()));
  error.Text("message", status.message());
  JsonObject document;
  document.Object("error", std::move(error));
  outcome.output = FormatJson(options, document);
  return outcome;
}

bool WriteNow(absl::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

CommandOutcome OutputGone() {
  CommandOutcome outcome;
  outcome.error = "devmemctl: nobody reads stdout any more\n";
  outcome.exit_code = kCtlRefused;
  return outcome;
}

}  // namespace devmem
