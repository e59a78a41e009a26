// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/nic_planner.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/netlink/nic_steps.h"

namespace devmem {
namespace {

constexpr char kNtuple[] = "rx-ntuple-filter";
constexpr char kGroHw[] = "rx-gro-hw";

// One run over one NIC. Each Plan... and Check... reads one thing and adds steps or refuses.
class Planner {
 public:
  Planner(NicControl& control, const PlanRequest& request)
      : control_(control), request_(request), device_(request.device) {}

  absl::StatusOr<NicPlan> Run() {
    using Part = absl::Status (Planner::*)();
    constexpr Part kParts[] = {
        &Planner::CheckLink, &Planner::PlanChannels,  &Planner::CheckNumbers, &Planner::CheckQueues,
        &Planner::PlanSplit, &Planner::CheckSteering, &Planner::PlanRss,      &Planner::PlanNtuple};
    for (const Part part : kParts) {
      const absl::Status status = (this->*part)();
      if (!status.ok()) return status;
    }
    return std::move(plan_);
  }

 private:
  absl::Status CheckLink() {
    const absl::StatusOr<LinkInfo> link = control_.Link();
    if (!link.ok()) return link.status();
    plan_.device = device_;
    plan_.ifindex = link->ifindex;
    plan_.mtu_bytes = link->mtu_bytes;
    plan_.queues = request_.queues;
    std::sort(plan_.queues.begin(), plan_.queues.end());
    if (const absl::StatusOr<DriverInfo> driver = control_.Driver(); driver.ok()) {
      plan_.driver = driver->driver;
    }
    if (!link->up) {
      return absl::FailedPreconditionError(
          absl::StrCat(device_, " is down, and its queues exist only while it is up; ",
                       "ip link set dev ", device_, " up"));
    }
    if (link->xdp_attached) {
      return absl::FailedPreconditionError(absl::StrCat(
          "an XDP program is attached to ", device_,
          ", and programs cannot read device memory; ip link set dev ", device_, " xdp off"));
    }
    return absl::OkStatus();
  }

  absl::Status PlanChannels() {
    const absl::StatusOr<ChannelsInfo> channels = control_.Channels();
    if (absl::IsUnimplemented(channels.status())) return CountQueues();
    if (!channels.ok()) return channels.status();
    plan_.rx_queue_count = channels->rx_queue_count();
    const bool apart = channels->apart();
    const absl::string_view which = apart ? "rx" : "combined";
    const uint32_t now = apart ? channels->rx : channels->combined;
    const uint32_t max = apart ? channels->rx_max : channels->combined_max;
    // Rx queues are those of the rx channels, then those of the combined ones.
    const uint32_t below = apart ? 0 : channels->rx;
    const uint32_t highest = plan_.queues.empty() ? 0 : plan_.queues.back();
    const uint32_t needed = highest >= below ? highest + 1 - below : 0;
    const uint32_t wanted = request_.channels.value_or(std::max(now, needed));
    if (wanted == now) return absl::OkStatus();
    if (wanted > max) {
      return absl::OutOfRangeError(absl::StrCat(
          device_, " has ", now, " ", which, " channels and can have ", max, ", not the ", wanted,
          " that ",
          request_.channels ? "were asked for" : absl::StrCat("queue ", highest, " needs"),
          "; take lower queues"));
    }
    plan_.rx_queue_count = below + wanted;
    AddStep(NicStepKind::kChannels, std::string(which), absl::StrCat(now), absl::StrCat(wanted),
            absl::StrCat("channels-set", Header(), " ", which, "-count=", wanted),
            absl::StrCat("ethtool -L ", device_, " ", which, " ", wanted));
    return absl::OkStatus();
  }

  // A driver with a fixed number of channels does not tell it; its queues do.
  absl::Status CountQueues() {
    const absl::StatusOr<std::vector<NetdevQueue>> queues = control_.Queues();
    if (!queues.ok()) return queues.status();
    plan_.rx_queue_count = static_cast<uint32_t>(
        std::count_if(queues->begin(), queues->end(),
                      [](const NetdevQueue& queue) { return queue.type == QueueType::kRx; }));
    if (!request_.channels) return absl::OkStatus();
    return absl::UnimplementedError(
        absl::StrCat(device_, " has a fixed number of channels; leave the number out"));
  }

  absl::Status CheckNumbers() {
    const std::vector<uint32_t>& queues = plan_.queues;
    if (std::adjacent_find(queues.begin(), queues.end()) != queues.end()) {
      return absl::InvalidArgumentError(absl::StrCat("queues ", absl::StrJoin(queues, ","),
                                                     ": one is named twice; name each once"));
    }
    if (!queues.empty() && queues.front() == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("queue 0 of ", device_,
                       " cannot be set apart: it keeps everyone else's traffic, and some drivers "
                       "cannot restart it; take another queue"));
    }
    if (!queues.empty() && queues.back() >= plan_.rx_queue_count) {
      return absl::OutOfRangeError(absl::StrCat(
          device_, " has ", plan_.rx_queue_count, " rx queues, so there is no queue ",
          queues.back(), "; take one below, or have more: ethtool -L ", device_, " combined N"));
    }
    if (plan_.rx_queue_count < 2) {
      return absl::FailedPreconditionError(absl::StrCat(
          device_, " has ", plan_.rx_queue_count,
          " rx queue, and one must stay for everyone else's traffic; have more: ethtool -L ",
          device_, " combined 2"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckQueues() {
    const absl::StatusOr<std::vector<NetdevQueue>> queues = control_.Queues();
    if (!queues.ok()) return queues.status();
    for (const NetdevQueue& queue : *queues) {
      if (queue.type != QueueType::kRx || !Wanted(queue.id) || IsOurs(queue.id)) continue;
      const std::string name = absl::StrCat("queue ", queue.id, " of ", device_);
      if (queue.provider()) {
        return absl::AlreadyExistsError(absl::StrCat(
            name,
            queue.io_uring ? " is io_uring's" : absl::StrCat(" fills binding ", *queue.dmabuf),
            "; take another queue, or end its owner (devmemctl queue show)"));
      }
      if (queue.af_xdp) {
        return absl::FailedPreconditionError(
            absl::StrCat(name, " has an AF_XDP socket; take another queue, or end its owner"));
      }
      if (queue.lease) {
        return absl::FailedPreconditionError(
            absl::StrCat(name, " is lent to interface ", queue.lease->ifindex,
                         "; take another queue, or bind it there"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status PlanSplit() {
    const absl::StatusOr<RingsInfo> rings = control_.Rings();
    if (absl::IsUnimplemented(rings.status())) {
      return absl::UnimplementedError(absl::StrCat(
          device_, Driven(), " cannot split headers from payload; take a NIC that can (bnxt_en, ",
          "fbnic, gve, mlx5_core), or the stack or copy backend"));
    }
    if (!rings.ok()) return rings.status();
    if (plan_.driver == "mlx5_core") {
      const absl::Status planned = PlanFeature(kGroHw);
      if (!planned.ok()) return planned;
    }
    // Said even where the driver reports it: bindings test what was set, not what is.
    if (!request_.split_is_set || rings->tcp_data_split != DataSplit::kEnabled) {
      AddStep(NicStepKind::kSplit, "tcp-data-split", std::string(ToString(rings->tcp_data_split)),
              std::string(ToString(DataSplit::kEnabled)),
              absl::StrCat("rings-set", Header(), " tcp-data-split=enabled"),
              absl::StrCat("ethtool -G ", device_, " tcp-data-split on"));
    }
    if (rings->hds_thresh_bytes.value_or(0) != 0) {
      AddStep(NicStepKind::kHdsThresh, "hds-thresh", absl::StrCat(*rings->hds_thresh_bytes), "0",
              absl::StrCat("rings-set", Header(), " hds-thresh=0"),
              absl::StrCat("ethtool -G ", device_, " hds-thresh 0"));
    }
    return absl::OkStatus();
  }

  // Rules and RSS contexts of others that lead to a queue would end up in device memory.
  absl::Status CheckSteering() {
    const absl::StatusOr<std::vector<NtupleRule>> rules = control_.Rules();
    if (rules.ok()) {
      for (const NtupleRule& rule : *rules) {
        const bool own = std::count(request_.own_locations.begin(), request_.own_locations.end(),
                                    rule.location.value_or(0)) != 0;
        if (own || rule.drop || rule.rss_context || !Wanted(rule.queue)) continue;
        const absl::Status refused =
            Foreign(absl::StrCat("somebody's flow rule at location ", rule.location.value_or(0),
                                 " (", rule.ToString(), ") leads to queue ", rule.queue));
        if (!refused.ok()) return refused;
      }
    }
    const absl::StatusOr<std::vector<RssTable>> tables = control_.RssTables();
    if (!tables.ok()) return absl::OkStatus();  // PlanRss() says so where it matters.
    for (const RssTable& table : *tables) {
      const auto leads = std::find_if(table.queues.begin(), table.queues.end(),
                                      [&](uint32_t queue) { return Wanted(queue); });
      if (table.context == 0 || leads == table.queues.end()) continue;
      const absl::Status refused = Foreign(
          absl::StrCat("somebody's RSS context ", table.context, " leads to queue ", *leads));
      if (!refused.ok()) return refused;
    }
    return absl::OkStatus();
  }

  absl::Status Foreign(const std::string& what) {
    if (request_.foreign_steering_allowed) {
      plan_.notes.push_back(absl::StrCat(what, "; it is left alone"));
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(
        absl::StrCat(what, " of ", device_,
                     ", so that traffic would land in device memory; take another queue, ",
                     "or delete it (devmemctl rule list)"));
  }

  absl::Status PlanRss() {
    if (plan_.queues.empty()) return absl::OkStatus();
    const absl::StatusOr<std::vector<RssTable>> tables = control_.RssTables();
    if (!tables.ok()) return tables.status();
    if (tables->empty() || tables->front().queues.empty()) {
      return absl::UnimplementedError(absl::StrCat(
          device_, Driven(), " has no RSS table, so other traffic cannot be kept out of queue ",
          plan_.queues.front()));
    }
    const uint32_t queues_now = QueuesNow();
    const std::string before = RssText(tables->front().queues, queues_now);
    std::vector<uint32_t> table = tables->front().queues;
    // With other channels the driver spreads its default over all of them.
    for (size_t at = 0; at < table.size() && before == "default"; ++at) {
      table[at] = static_cast<uint32_t>(at % plan_.rx_queue_count);
    }
    const std::vector<uint32_t> without = TableWithout(table, plan_.queues, plan_.rx_queue_count);
    if (without.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "all ", plan_.rx_queue_count, " queues of ", device_,
          " would be set apart, and one must stay for everyone else's traffic; take fewer"));
    }
    if (without == table) return absl::OkStatus();
    const std::string after = absl::StrJoin(without, ",");
    AddStep(NicStepKind::kRss, "rss", before, after,
            absl::StrCat("rss-set", Header(), " indir=", after),
            absl::StrCat("ethtool -X ", device_, " ", Weights(without)));
    return absl::OkStatus();
  }

  uint32_t QueuesNow() {
    const absl::StatusOr<ChannelsInfo> channels = control_.Channels();
    return channels.ok() ? channels->rx_queue_count() : plan_.rx_queue_count;
  }

  // "equal 3" for an even spread over the first queues, else each queue's weight.
  std::string Weights(const std::vector<uint32_t>& table) const {
    const uint32_t highest = *std::max_element(table.begin(), table.end());
    if (RssText(table, highest + 1) == "default") return absl::StrCat("equal ", highest + 1);
    std::vector<size_t> weights(highest + 1);
    for (const uint32_t queue : table) ++weights[queue];
    return absl::StrCat("weight ", absl::StrJoin(weights, " "));
  }

  absl::Status PlanNtuple() {
    const absl::Status planned = PlanFeature(kNtuple);
    if (planned.ok()) return planned;
    if (request_.steering_needed) return planned;
    plan_.notes.emplace_back(planned.message());
    return absl::OkStatus();
  }

  absl::Status PlanFeature(const std::string& name) {
    const absl::StatusOr<std::vector<FeatureState>> features = control_.Features();
    if (!features.ok()) return features.status();
    const auto found = std::find_if(features->begin(), features->end(),
                                    [&](const FeatureState& each) { return each.name == name; });
    if (found != features->end() && found->active) return absl::OkStatus();
    if (found == features->end() || !found->changeable) {
      return absl::UnimplementedError(absl::StrCat(
          device_, Driven(), " cannot turn ", name,
          name == kNtuple
              ? " on, so no flow can be steered to a queue; take a NIC with flow rules, "
                "or the stack or copy backend"
              : " on, which its header split needs; update its firmware"));
    }
    AddStep(NicStepKind::kFeature, name, "off", "on",
            absl::StrCat("features-set", Header(), " wanted=+", name),
            absl::StrCat("ethtool -K ", device_, " ", name == kNtuple ? "ntuple" : name, " on"));
    return absl::OkStatus();
  }

  bool Wanted(uint32_t queue) const {
    return std::binary_search(plan_.queues.begin(), plan_.queues.end(), queue);
  }
  bool IsOurs(uint32_t queue) const {
    return std::count(request_.own_queues.begin(), request_.own_queues.end(), queue) != 0;
  }
  std::string Header() const { return absl::StrCat(" dev-name=", device_); }
  std::string Driven() const {
    return plan_.driver.empty() ? std::string() : absl::StrCat(" (", plan_.driver, ")");
  }
  void AddStep(NicStepKind kind, std::string name, std::string before, std::string after,
               std::string netlink, std::string ethtool) {
    plan_.steps.push_back({kind, std::move(name), std::move(before), std::move(after),
                           std::move(netlink), std::move(ethtool)});
  }

  NicControl& control_;
  const PlanRequest& request_;
  const std::string& device_;
  NicPlan plan_;
};

}  // namespace

absl::StatusOr<NicPlan> PlanNic(NicControl& control, const PlanRequest& request) {
  return Planner(control, request).Run();
}

std::vector<uint32_t> TableWithout(const std::vector<uint32_t>& table,
                                   const std::vector<uint32_t>& queues, uint32_t rx_queue_count) {
  const auto wanted = [&](uint32_t queue) {
    return std::count(queues.begin(), queues.end(), queue) != 0;
  };
  // The queues that the table leads to already; if none would be left, all the others.
  std::set<uint32_t> remaining;
  for (const uint32_t queue : table) {
    if (!wanted(queue)) remaining.insert(queue);
  }
  for (uint32_t queue = 0; remaining.empty() && queue < rx_queue_count; ++queue) {
    if (!wanted(queue)) remaining.insert(queue);
  }
  if (remaining.empty()) return {};
  const std::vector<uint32_t> others(remaining.begin(), remaining.end());
  std::vector<uint32_t> without = table;
  // The even spread that drivers start with stays an even spread.
  const bool even =
      RssText(table, static_cast<uint32_t>(*std::max_element(table.begin(), table.end()) + 1)) ==
      "default";
  size_t next = 0;
  for (size_t at = 0; at < without.size(); ++at) {
    if (even) without[at] = others[at % others.size()];
    if (!even && wanted(without[at])) without[at] = others[next++ % others.size()];
  }
  return without;
}

}  // namespace devmem
