// SPDX-License-Identifier: Apache-2.0
//
// A NIC of a test, behind NicControl: settings with the rules of the kernel about them, a log of
// the changes, and refusals on demand. Two controls can share one NIC, as two processes do.

#pragma once

#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/netlink/genl_channel.h"
#include "uapi/netlink/nic_control.h"
#include "uapi/netlink/nic_steps.h"
#include "uapi/netlink/refusal.h"

namespace devmem {

struct FakeNicSettings {
  LinkInfo link{.ifindex = 7, .name = "eth0", .up = true, .carrier = true, .mtu_bytes = 1500};
  DriverInfo driver{.driver = "gve", .version = "", .firmware = "", .bus = ""};
  bool rings_known = true;
  RingsInfo rings;
  ChannelsInfo channels{.combined = 4, .combined_max = 8};
  std::map<std::string, FeatureState> features{
      {"rx-ntuple-filter",
       {.name = "rx-ntuple-filter", .changeable = true, .wanted = false, .active = false}}};
  std::vector<RssTable> rss{{.context = 0, .queues = {0, 1, 2, 3, 0, 1, 2, 3}}};
  std::map<uint32_t, NtupleRule> rules;
  RuleTable rule_table{.size = 16, .placed_by_driver = false};
  std::map<uint32_t, NetdevQueue> special_queues;  // Those that are bound, lent or of AF_XDP.
  uint32_t next_binding = 1;

  std::vector<std::string> log;  // The changes that were asked for, in order.
  // Called with each change; an errno other than 0 refuses it.
  std::function<int(const std::string& change)> refuse = [](const std::string&) { return 0; };

  // What a test compares before and after.
  std::string Settings() const {
    std::string text = absl::StrCat(
        "split=", ToString(rings.tcp_data_split), " hds=", rings.hds_thresh_bytes.value_or(0),
        " channels=", channels.combined, " rss=", absl::StrJoin(rss[0].queues, ","));
    for (const auto& [name, feature] : features) {
      absl::StrAppend(&text, " ", name, "=", feature.active ? "on" : "off");
    }
    for (const auto& [location, rule] : rules) absl::StrAppend(&text, " [", rule.ToString(), "]");
    return text;
  }
};

class FakeNicControl final : public NicControl {
 public:
  explicit FakeNicControl(std::shared_ptr<FakeNicSettings> state) : nic_(std::move(state)) {}

  absl::StatusOr<LinkInfo> Link() override { return nic_->link; }
  bool AwaitCarrier() override { return nic_->link.carrier; }
  absl::StatusOr<DriverInfo> Driver() override { return nic_->driver; }
  absl::StatusOr<std::vector<NetdevQueue>> Queues() override {
    std::vector<NetdevQueue> queues;
    for (uint32_t id = 0; id < nic_->channels.rx_queue_count(); ++id) {
      const auto special = nic_->special_queues.find(id);
      queues.push_back(special != nic_->special_queues.end() ? special->second : NetdevQueue{});
      queues.back().id = id;
    }
    return queues;
  }

  absl::StatusOr<RingsInfo> Rings() override {
    if (!nic_->rings_known) return Refusal(KernelOperation::kRead, EOPNOTSUPP);
    return nic_->rings;
  }
  absl::Status SetDataSplit(DataSplit split) override {
    const absl::Status asked =
        Ask(KernelOperation::kRingsSet, absl::StrCat("split ", ToString(split)));
    if (asked.ok() && split != DataSplit::kUnknown) nic_->rings.tcp_data_split = split;
    if (asked.ok() && split == DataSplit::kUnknown) {
      nic_->rings.tcp_data_split = DataSplit::kUnknown;
    }
    return asked;
  }
  absl::Status SetHdsThresh(uint32_t bytes) override {
    const absl::Status asked = Ask(KernelOperation::kRingsSet, absl::StrCat("hds-thresh ", bytes));
    if (asked.ok()) nic_->rings.hds_thresh_bytes = bytes;
    return asked;
  }

  absl::StatusOr<ChannelsInfo> Channels() override { return nic_->channels; }
  absl::Status SetCombinedChannels(uint32_t count) override {
    const absl::Status asked = Ask(KernelOperation::kChannelsSet, absl::StrCat("channels ", count));
    if (!asked.ok()) return asked;
    const bool spread = RssText(nic_->rss[0].queues, nic_->channels.combined) == "default";
    for (const uint32_t queue : nic_->rss[0].queues) {
      // The kernel refuses to cut into a table that somebody has set.
      if (!spread && queue >= count) return Refusal(KernelOperation::kChannelsSet, EINVAL);
    }
    nic_->channels.combined = count;
    if (spread) Spread();
    return asked;
  }
  absl::Status SetRxChannels(uint32_t count) override {
    const absl::Status asked =
        Ask(KernelOperation::kChannelsSet, absl::StrCat("rx channels ", count));
    if (!asked.ok()) return asked;
    nic_->channels.rx = count;
    Spread();
    return asked;
  }

  absl::StatusOr<std::vector<FeatureState>> Features() override {
    std::vector<FeatureState> features;
    for (const auto& [name, feature] : nic_->features) features.push_back(feature);
    return features;
  }
  absl::Status SetFeature(absl::string_view name, bool on) override {
    const absl::Status asked =
        Ask(KernelOperation::kFeaturesSet, absl::StrCat(name, on ? " on" : " off"));
    if (!asked.ok()) return asked;
    nic_->features[std::string(name)].active = on;
    if (!on && name == "rx-ntuple-filter") nic_->rules.clear();
    return asked;
  }

  absl::StatusOr<std::vector<RssTable>> RssTables() override { return nic_->rss; }
  absl::Status SetRssTable(std::span<const uint32_t> queues) override {
    const absl::Status asked = Ask(
        KernelOperation::kRssSet,
        absl::StrCat("rss ", queues.empty() ? std::string("default") : absl::StrJoin(queues, ",")));
    if (!asked.ok()) return asked;
    if (queues.empty()) {
      Spread();
    } else {
      nic_->rss[0].queues.assign(queues.begin(), queues.end());
    }
    return asked;
  }

  absl::StatusOr<std::vector<NtupleRule>> Rules() override {
    std::vector<NtupleRule> rules;
    for (const auto& [location, rule] : nic_->rules) rules.push_back(rule);
    return rules;
  }
  absl::StatusOr<devmem::RuleTable> RuleTable() override { return nic_->rule_table; }
  absl::StatusOr<NtupleRule> Rule(uint32_t location) override {
    const auto found = nic_->rules.find(location);
    if (found == nic_->rules.end()) return absl::NotFoundError("no rule there");
    return found->second;
  }
  // Drivers that choose the location (bnxt, sfc) take no other; the rest know nothing of "any".
  absl::StatusOr<uint32_t> InsertRule(const NtupleRule& rule) override {
    const absl::Status asked = Ask(KernelOperation::kRuleInsert, "rule " + rule.ToString());
    if (!asked.ok()) return asked;
    if (rule.location.has_value() == nic_->rule_table.placed_by_driver) {
      return Refusal(KernelOperation::kRuleInsert, EINVAL);
    }
    if (rule.location.value_or(0) >= nic_->rule_table.size) {
      return Refusal(KernelOperation::kRuleInsert, EINVAL);
    }
    uint32_t location = rule.location.value_or(0);
    while (!rule.location && nic_->rules.count(location) != 0) ++location;
    if (location == nic_->rule_table.size) return Refusal(KernelOperation::kRuleInsert, ENOSPC);
    nic_->rules[location] = rule;
    nic_->rules[location].location = location;
    return location;
  }
  absl::Status DeleteRule(uint32_t location) override {
    const absl::Status asked =
        Ask(KernelOperation::kRuleDelete, absl::StrCat("delete rule ", location));
    if (asked.ok()) nic_->rules.erase(location);
    return asked;
  }

  absl::StatusOr<std::unique_ptr<RxBinding>> BindRx(int dmabuf_fd,
                                                    std::span<const uint32_t> queues) override {
    const absl::Status asked =
        Ask(KernelOperation::kBindRx,
            absl::StrCat("bind-rx ", dmabuf_fd, " to ", absl::StrJoin(queues, ",")));
    if (!asked.ok()) return asked;
    return std::make_unique<RxBinding>(
        nic_->next_binding++, std::vector<uint32_t>(queues.begin(), queues.end()), nullptr);
  }
  absl::StatusOr<std::unique_ptr<TxBinding>> BindTx(int dmabuf_fd) override {
    const absl::Status asked = Ask(KernelOperation::kBindTx, absl::StrCat("bind-tx ", dmabuf_fd));
    if (!asked.ok()) return asked;
    return std::make_unique<TxBinding>(nic_->next_binding++, nullptr);
  }

 private:
  absl::Status Refusal(KernelOperation operation, int error) const {
    RefusalContext context;
    context.device = nic_->link.name;
    context.driver = nic_->driver.driver;
    return ExplainRefusal(operation,
                          {.error = error, .message = "", .attribute = "", .missing = ""}, context);
  }
  absl::Status Ask(KernelOperation operation, const std::string& change) {
    nic_->log.push_back(change);
    const int error = nic_->refuse(change);
    return error == 0 ? absl::OkStatus() : Refusal(operation, error);
  }
  void Spread() {
    std::vector<uint32_t>& table = nic_->rss[0].queues;
    for (size_t at = 0; at < table.size(); ++at) {
      table[at] = static_cast<uint32_t>(at % nic_->channels.rx_queue_count());
    }
  }

  const std::shared_ptr<FakeNicSettings> nic_;
};

}  // namespace devmem
