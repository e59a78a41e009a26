// SPDX-License-Identifier: Apache-2.0
//
// See setup_report.h.

#include "tools/setup_report.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/devmemctl_output.h"

namespace devmem {
namespace {

void AppendEach(absl::string_view word, const std::vector<std::string>& sentences,
                std::string* text) {
  for (const std::string& sentence : sentences) {
    absl::StrAppend(text, word, ": ", sentence, "\n");
  }
}

JsonObject StepToJson(const NicStep& step) {
  JsonObject json;
  json.Text("name", step.name).Text("before", step.before).Text("after", step.after);
  json.Text("netlink", step.netlink).Text("ethtool", step.ethtool);
  return json;
}

// A table of queues is long and repeats itself: people get its beginning, JSON has it all.
std::string Shortened(const std::string& operation) {
  constexpr size_t kColumns = 96;
  if (operation.size() <= kColumns) return operation;
  const size_t comma = operation.rfind(',', kColumns - 4);
  if (comma == std::string::npos) return operation;
  return absl::StrCat(operation.substr(0, comma + 1), "...");
}

}  // namespace

std::string PlanText(const NicPlan& plan, bool applied) {
  std::string text = absl::StrCat("# ", plan.device, ": ", plan.driver, ", ", plan.rx_queue_count,
                                  " rx queues, MTU ", plan.mtu_bytes, "; set apart: rx queue ",
                                  absl::StrJoin(plan.queues, ","), "\n");
  for (const NicStep& step : plan.steps) {
    absl::StrAppend(&text, "# ", Shortened(step.netlink), "\n", step.ethtool, "\n");
  }
  if (plan.steps.empty()) absl::StrAppend(&text, "# everything is as it should be\n");
  for (const std::string& note : plan.notes) absl::StrAppend(&text, "# ", note, "\n");
  if (applied) absl::StrAppend(&text, "# done; `devmemctl restore ", plan.device, "` undoes it\n");
  return text;
}

JsonObject PlanToJson(const NicPlan& plan, bool applied) {
  std::vector<JsonObject> steps;
  for (const NicStep& step : plan.steps) steps.push_back(StepToJson(step));
  JsonObject json;
  json.Text("ifname", plan.device).Number("ifindex", plan.ifindex).Text("driver", plan.driver);
  json.Number("mtu", plan.mtu_bytes).Number("rx_queues", plan.rx_queue_count);
  json.Numbers("queues", plan.queues).Bool("applied", applied);
  json.List("steps", std::move(steps)).Texts("notes", plan.notes);
  return json;
}

std::string RestoreText(const RestoreReport& report) {
  std::string text;
  AppendEach("undone", report.undone, &text);
  AppendEach("left", report.skipped, &text);
  AppendEach("in use", report.in_use, &text);
  AppendEach("failed", report.failed, &text);
  return text.empty() ? "nothing to restore\n" : text;
}

int RestoreExitCode(const RestoreReport& report) {
  if (report.complete()) return kCtlOk;
  return report.undone.empty() ? kCtlRefused : kCtlPartly;
}

JsonObject RestoreToJson(const RestoreReport& report, int exit_code) {
  JsonObject json;
  json.Texts("undone", report.undone).Texts("left", report.skipped);
  if (!report.in_use.empty()) json.Texts("in_use", report.in_use);
  if (!report.failed.empty()) json.Texts("failed", report.failed);
  if (!report.complete()) {
    std::vector<std::string> all = report.in_use;
    all.insert(all.end(), report.failed.begin(), report.failed.end());
    JsonObject error;
    error.Text("kind", ExitWord(exit_code)).Text("message", absl::StrJoin(all, "; "));
    json.Object("error", std::move(error));
  }
  return json;
}

}  // namespace devmem
