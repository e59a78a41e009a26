// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl region test`: the quickest proof that a machine's memory works.

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "provider/provider.h"
#include "provider/region_probe.h"
#include "tools/devmemctl_commands.h"

namespace devmem {
namespace {

absl::string_view ToString(AttachmentKind kind) {
  switch (kind) {
    case AttachmentKind::kPinned: return "pinned";
    case AttachmentKind::kMayRevoke: return "revocable";
    case AttachmentKind::kMayMove: return "movable";
  }
  std::abort();
}

int ExitCode(RegionProbeVerdict verdict) {
  switch (verdict) {
    case RegionProbeVerdict::kPassed: return kCtlOk;
    case RegionProbeVerdict::kUnsupported: return kCtlUnsupported;
    case RegionProbeVerdict::kRefused: return kCtlRefused;
    case RegionProbeVerdict::kFailed: return kCtlPartly;
  }
  std::abort();
}

std::string LastLine(const DevmemctlOptions& options, RegionProbeVerdict verdict) {
  const std::string what = absl::StrCat(options.provider, ", ", ToString(options.kind), ", ",
                                        options.region_bytes, " bytes: ");
  switch (verdict) {
    case RegionProbeVerdict::kPassed: return what + "works";
    case RegionProbeVerdict::kUnsupported: return what + "not usable here";
    case RegionProbeVerdict::kRefused: return what + "refused";
    case RegionProbeVerdict::kFailed: return what + "does not keep what its kind promises";
  }
  std::abort();
}

std::string ToText(const DevmemctlOptions& options, const RegionProbeResult& result) {
  std::vector<std::vector<std::string>> rows;
  for (const RegionProbeStep& step : result.steps) {
    rows.push_back(
        {step.step, step.ok ? "ok" : "FAILED", absl::StrCat(step.micros, " us"), step.detail});
  }
  return absl::StrCat(FormatTable(rows), LastLine(options, result.verdict), "\n");
}

JsonObject ToJson(const DevmemctlOptions& options, const RegionProbeResult& result) {
  std::vector<JsonObject> steps;
  for (const RegionProbeStep& step : result.steps) {
    steps.emplace_back()
        .Text("step", step.step)
        .Bool("ok", step.ok)
        .Text("detail", step.detail)
        .Number("micros", step.micros);
  }
  JsonObject json;
  json.Text("provider", options.provider).Text("kind", ToString(options.kind));
  json.Number("bytes", options.region_bytes).Text("device", options.device);
  json.Text("result", ExitWord(ExitCode(result.verdict)));
  json.List("steps", std::move(steps));
  if (result.verdict != RegionProbeVerdict::kPassed) {
    JsonObject error;
    error.Text("kind", ExitWord(ExitCode(result.verdict)));
    error.Text("message", LastLine(options, result.verdict));
    json.Object("error", std::move(error));
  }
  return json;
}

}  // namespace

CommandOutcome TestRegion(const DevmemctlOptions& options) {
  const absl::StatusOr<Provider*> provider = FindProvider(options.provider);
  if (!provider.ok()) return Refuse(options, kCtlUsage, provider.status());
  const RegionProbeResult result = ProbeRegion(
      **provider, {.bytes = options.region_bytes, .kind = options.kind, .device = options.device});
  CommandOutcome outcome;
  outcome.exit_code = ExitCode(result.verdict);
  outcome.output =
      options.json ? FormatJson(options, ToJson(options, result)) : ToText(options, result);
  return outcome;
}

}  // namespace devmem
