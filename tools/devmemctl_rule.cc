// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl rule`: the flow rules of NICs, as ethtool -N sets them.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tools/devmemctl_commands.h"
#include "tools/devmemctl_device.h"
#include "tools/netdev_report.h"
#include "uapi/netlink/ethtool_ioctl.h"
#include "uapi/netlink/ntuple_rule.h"

namespace devmem {
namespace {

struct DeviceRules {
  std::string device;
  std::vector<NtupleRule> rules;
};

// A device without such rules is passed over when nobody asked for it by name.
absl::StatusOr<std::vector<DeviceRules>> ReadRules(const DevmemctlOptions& options,
                                                   EthtoolIoctl& ethtool) {
  std::vector<DeviceRules> all;
  const std::vector<std::string> devices =
      options.device.empty() ? DeviceNames() : std::vector<std::string>{options.device};
  for (const std::string& device : devices) {
    absl::StatusOr<std::vector<NtupleRule>> rules = ethtool.Rules(device);
    if (!rules.ok() && !options.device.empty()) return rules.status();
    if (rules.ok()) all.push_back({device, *std::move(rules)});
  }
  return all;
}

// The rule without its place, which stands beside it.
std::string WithoutLocation(NtupleRule rule) {
  rule.location.reset();
  return rule.ToString();
}

std::string ToText(const std::vector<DeviceRules>& all) {
  TableRows rows = {{"DEVICE", "LOCATION", "RULE"}};
  for (const DeviceRules& one : all) {
    for (const NtupleRule& rule : one.rules) {
      rows.push_back({one.device, absl::StrCat(rule.location.value_or(0)), WithoutLocation(rule)});
    }
  }
  return FormatTable(rows);
}

JsonObject ToJson(const std::string& device, const NtupleRule& rule) {
  JsonObject json;
  json.Text("ifname", device).Number("location", rule.location.value_or(0));
  json.Text("rule", WithoutLocation(rule));
  if (rule.drop) {
    json.Null("queue");
  } else if (rule.rss_context.has_value()) {
    json.Number("context", *rule.rss_context);
  } else {
    json.Number("queue", rule.queue);
  }
  json.Bool("foreign", rule.foreign);
  return json;
}

}  // namespace

CommandOutcome ListRules(const DevmemctlOptions& options) {
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  const absl::StatusOr<std::unique_ptr<EthtoolIoctl>> ethtool = EthtoolIoctl::Open();
  if (!ethtool.ok()) return Refuse(options, ExitCodeOf(ethtool.status()), ethtool.status());
  const absl::StatusOr<std::vector<DeviceRules>> all = ReadRules(options, **ethtool);
  if (!all.ok()) return Refuse(options, ExitCodeOf(all.status()), all.status());
  CommandOutcome outcome;
  if (!options.json) {
    outcome.output = ToText(*all);
    return outcome;
  }
  std::vector<JsonObject> objects;
  for (const DeviceRules& one : *all) {
    for (const NtupleRule& rule : one.rules) objects.push_back(ToJson(one.device, rule));
  }
  outcome.output = FormatJson(options, std::move(objects));
  return outcome;
}

CommandOutcome AddRule(const DevmemctlOptions& options) {
  absl::StatusOr<NtupleRule> rule = ParseRule(options.rule);
  if (!rule.ok()) return Refuse(options, kCtlUsage, rule.status());
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  const absl::StatusOr<std::unique_ptr<EthtoolIoctl>> ethtool = EthtoolIoctl::Open();
  if (!ethtool.ok()) return Refuse(options, ExitCodeOf(ethtool.status()), ethtool.status());
  const absl::StatusOr<uint32_t> location = (*ethtool)->InsertRule(options.device, *rule);
  if (!location.ok()) return Refuse(options, ExitCodeOf(location.status()), location.status());
  rule->location = *location;
  CommandOutcome outcome;
  outcome.output = options.json ? FormatJson(options, ToJson(options.device, *rule))
                                : absl::StrCat(options.device, " ", rule->ToString(), "\n");
  return outcome;
}

CommandOutcome DeleteRule(const DevmemctlOptions& options) {
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  const absl::StatusOr<std::unique_ptr<EthtoolIoctl>> ethtool = EthtoolIoctl::Open();
  if (!ethtool.ok()) return Refuse(options, ExitCodeOf(ethtool.status()), ethtool.status());
  const absl::StatusOr<NtupleRule> rule = (*ethtool)->Rule(options.device, options.location);
  if (!rule.ok()) return Refuse(options, ExitCodeOf(rule.status()), rule.status());
  const absl::Status deleted = (*ethtool)->DeleteRule(options.device, options.location);
  if (!deleted.ok()) return Refuse(options, ExitCodeOf(deleted), deleted);
  CommandOutcome outcome;
  if (options.json) outcome.output = FormatJson(options, ToJson(options.device, *rule));
  return outcome;
}

}  // namespace devmem
