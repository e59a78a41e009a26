// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/nic_steps.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace devmem {
namespace {

constexpr char kDefault[] = "default";
constexpr char kNothing[] = "none";
constexpr char kNtuple[] = "rx-ntuple-filter";
constexpr char kRxChannels[] = "rx";

constexpr NicStepKind kKinds[] = {NicStepKind::kChannels, NicStepKind::kFeature,
                                  NicStepKind::kSplit,    NicStepKind::kHdsThresh,
                                  NicStepKind::kRss,      NicStepKind::kRule};
constexpr DataSplit kSplits[] = {DataSplit::kUnknown, DataSplit::kDisabled, DataSplit::kEnabled};

absl::Status BadState(const NicStep& step, absl::string_view state) {
  return absl::DataLossError(
      absl::StrCat("\"", state, "\" is no state of ", step.name, "; the journal is damaged"));
}

absl::StatusOr<uint32_t> NumberOf(const NicStep& step, const std::string& state) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(state, &number)) return BadState(step, state);
  return number;
}

absl::StatusOr<std::string> ReadFeature(NicControl& control, const std::string& name) {
  const absl::StatusOr<std::vector<FeatureState>> features = control.Features();
  if (!features.ok()) return features.status();
  for (const FeatureState& feature : *features) {
    if (feature.name == name) return feature.active ? "on" : "off";
  }
  return "off";
}

absl::StatusOr<std::string> ReadRss(NicControl& control) {
  const absl::StatusOr<std::vector<RssTable>> tables = control.RssTables();
  if (!tables.ok()) return tables.status();
  if (tables->empty()) return kDefault;
  uint32_t rx_queues = 0;
  if (const absl::StatusOr<ChannelsInfo> channels = control.Channels(); channels.ok()) {
    rx_queues = channels->rx_queue_count();
  }
  return RssText(tables->front().queues, rx_queues);
}

// Where the rule of a step is, or would be; unset when nobody knows and there is none like it.
absl::StatusOr<std::optional<uint32_t>> LocationOf(NicControl& control, const NicStep& step) {
  if (step.name != kAnyLocation) {
    const absl::StatusOr<uint32_t> location = NumberOf(step, step.name);
    if (!location.ok()) return location.status();
    return std::optional(*location);
  }
  // Its setup died between the driver's choice and the note of it. It had made sure that there was
  // no such rule, so the one that is there is its own.
  const absl::StatusOr<NtupleRule> ours = ParseRule(step.after);
  if (!ours.ok()) return BadState(step, step.after);
  const absl::StatusOr<std::vector<NtupleRule>> rules = control.Rules();
  if (!rules.ok()) return rules.status();
  for (const NtupleRule& rule : *rules) {
    if (SameRule(rule, *ours)) return rule.location;
  }
  return std::optional<uint32_t>();
}

absl::StatusOr<std::string> ReadRule(NicControl& control, const NicStep& step) {
  const absl::StatusOr<std::optional<uint32_t>> location = LocationOf(control, step);
  if (!location.ok()) return location.status();
  if (!location->has_value()) return kNothing;
  const absl::StatusOr<NtupleRule> rule = control.Rule(**location);
  if (absl::IsNotFound(rule.status())) return kNothing;
  if (!rule.ok()) return rule.status();
  const absl::StatusOr<NtupleRule> ours = ParseRule(step.after);
  // Drivers may give a rule back in another order; what counts is what it matches and does.
  return ours.ok() && SameRule(*rule, *ours) ? step.after : rule->ToString();
}

absl::Status SetSplit(NicControl& control, const NicStep& step, const std::string& state) {
  for (const DataSplit split : kSplits) {
    if (state != ToString(split)) continue;
    const absl::Status set = control.SetDataSplit(split);
    // Some drivers cannot be told to stop; "unknown" leaves it to them.
    const bool retry = !set.ok() && split == DataSplit::kDisabled && !absl::IsPermissionDenied(set);
    return retry ? control.SetDataSplit(DataSplit::kUnknown) : set;
  }
  return BadState(step, state);
}

absl::Status SetRss(NicControl& control, const NicStep& step, const std::string& state) {
  std::vector<uint32_t> table;
  if (state != kDefault) {
    for (const absl::string_view word : absl::StrSplit(state, ',')) {
      uint32_t queue = 0;
      if (!absl::SimpleAtoi(word, &queue)) return BadState(step, state);
      table.push_back(queue);
    }
  }
  return control.SetRssTable(table);
}

absl::Status SetRule(NicControl& control, const NicStep& step, const std::string& state) {
  if (state == kNothing) {
    const absl::StatusOr<std::optional<uint32_t>> location = LocationOf(control, step);
    if (!location.ok()) return location.status();
    return location->has_value() ? control.DeleteRule(**location) : absl::OkStatus();
  }
  const absl::StatusOr<NtupleRule> rule = ParseRule(state);
  return rule.ok() ? control.InsertRule(*rule).status() : rule.status();
}

absl::Status SetState(NicControl& control, const NicStep& step, const std::string& state) {
  switch (step.kind) {
    case NicStepKind::kFeature: return control.SetFeature(step.name, state == "on");
    case NicStepKind::kSplit: return SetSplit(control, step, state);
    case NicStepKind::kRss: return SetRss(control, step, state);
    case NicStepKind::kRule: return SetRule(control, step, state);
    case NicStepKind::kChannels:
    case NicStepKind::kHdsThresh: break;
  }
  const absl::StatusOr<uint32_t> number = NumberOf(step, state);
  if (!number.ok()) return number.status();
  if (step.kind == NicStepKind::kHdsThresh) return control.SetHdsThresh(*number);
  return step.name == kRxChannels ? control.SetRxChannels(*number)
                                  : control.SetCombinedChannels(*number);
}

// Turning flow steering off deletes every rule, whoever made it.
absl::Status RefuseToDropRules(NicControl& control, const NicStep& step) {
  if (step.kind != NicStepKind::kFeature || step.name != kNtuple || step.before != "off") {
    return absl::OkStatus();
  }
  const absl::StatusOr<std::vector<NtupleRule>> rules = control.Rules();
  if (!rules.ok() || rules->empty()) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(
      kNtuple, " stays on: somebody has made ", rules->size(),
      " flow rules since (the first: ", rules->front().ToString(), "), which would go with it"));
}

}  // namespace

absl::string_view ToString(NicStepKind kind) {
  switch (kind) {
    case NicStepKind::kChannels: return "channels";
    case NicStepKind::kFeature: return "feature";
    case NicStepKind::kSplit: return "split";
    case NicStepKind::kHdsThresh: return "hds-thresh";
    case NicStepKind::kRss: return "rss";
    case NicStepKind::kRule: return "rule";
  }
  return "";
}

std::optional<NicStepKind> ParseStepKind(absl::string_view text) {
  for (const NicStepKind kind : kKinds) {
    if (text == ToString(kind)) return kind;
  }
  return std::nullopt;
}

absl::string_view ToString(DataSplit split) {
  switch (split) {
    case DataSplit::kUnknown: return "unknown";
    case DataSplit::kDisabled: return "disabled";
    case DataSplit::kEnabled: return "enabled";
  }
  return "";
}

std::string RssText(std::span<const uint32_t> table, uint32_t rx_queue_count) {
  bool is_default = rx_queue_count != 0;
  for (size_t at = 0; at < table.size() && is_default; ++at) {
    is_default = table[at] == at % rx_queue_count;
  }
  return is_default ? kDefault : absl::StrJoin(table, ",");
}

absl::StatusOr<std::string> ReadStepState(NicControl& control, const NicStep& step) {
  switch (step.kind) {
    case NicStepKind::kFeature: return ReadFeature(control, step.name);
    case NicStepKind::kRss: return ReadRss(control);
    case NicStepKind::kRule: return ReadRule(control, step);
    case NicStepKind::kChannels: {
      const absl::StatusOr<ChannelsInfo> channels = control.Channels();
      if (!channels.ok()) return channels.status();
      return absl::StrCat(step.name == kRxChannels ? channels->rx : channels->combined);
    }
    case NicStepKind::kSplit:
    case NicStepKind::kHdsThresh: break;
  }
  const absl::StatusOr<RingsInfo> rings = control.Rings();
  if (!rings.ok()) return rings.status();
  return step.kind == NicStepKind::kSplit ? std::string(ToString(rings->tcp_data_split))
                                          : absl::StrCat(rings->hds_thresh_bytes.value_or(0));
}

absl::Status MakeStep(NicControl& control, const NicStep& step) {
  return SetState(control, step, step.after);
}

absl::Status UndoStep(NicControl& control, const NicStep& step) {
  const absl::StatusOr<std::string> now = ReadStepState(control, step);
  if (!now.ok()) return now.status();
  if (*now == step.before) return absl::OkStatus();
  if (*now != step.after) {
    return absl::AbortedError(
        absl::StrCat(ToString(step.kind), " ", step.name, " was changed by somebody else: it is \"",
                     *now, "\", we had set \"", step.after, "\", and before us it was \"",
                     step.before, "\"; it is left alone"));
  }
  const absl::Status kept = RefuseToDropRules(control, step);
  return kept.ok() ? SetState(control, step, step.before) : kept;
}

}  // namespace devmem
