// SPDX-License-Identifier: Apache-2.0
//
// Set-up and rules of the TAP NIC. Control thread.

#include "netmem/nic/tap_nic.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/nic/host_delivery.h"
#include "netmem/nic/pcapng_recorder.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/flow_key.h"

namespace devmem {
namespace {

// What fits into an IP packet of 65,535 bytes behind the longest headers: IPv6, and TCP with all
// options.
constexpr uint32_t kGsoBytesMax = 65535 - 40 - 60;

// The first byte of an address that nobody bought: locally administered, and one station's.
constexpr uint8_t kLocalStation = 0x02;

MacAddress MacFromSeed(uint64_t seed) {
  std::array<uint8_t, 8> mixed;
  StoreBe64(mixed.data(), FoldedProduct(seed, 0x9e3779b97f4a7c15));
  std::array<uint8_t, MacAddress::kBytes> bytes;
  std::copy_n(mixed.begin(), bytes.size(), bytes.begin());
  bytes[0] = kLocalStation;
  return MacAddress(bytes);
}

MacAddress Neighbour(const MacAddress& mac) {
  std::array<uint8_t, MacAddress::kBytes> bytes = mac.bytes();
  bytes.back() ^= 1;
  return MacAddress(bytes);
}

absl::StatusOr<MacAddress> ChooseMac(const TapOptions& options, const MacAddress& kernel_mac) {
  if (!options.mac) {
    if (options.mac_seed == 0) return Neighbour(kernel_mac);
    const MacAddress mac = MacFromSeed(options.mac_seed);
    return mac == kernel_mac ? Neighbour(mac) : mac;
  }
  if (options.mac->is_multicast() || options.mac->is_zero() || *options.mac == kernel_mac) {
    return absl::InvalidArgumentError(
        absl::StrCat("Ethernet address ", options.mac->ToString(),
                     " is zero, a group's, or that of the kernel's side of ", options.name,
                     "; choose one like 02:00:00:00:00:01, or leave it out"));
  }
  return *options.mac;
}

}  // namespace

std::optional<TapSteering> ParseTapSteering(absl::string_view text) {
  if (text == "best") return TapSteering::kBest;
  if (text == "bpf") return TapSteering::kBpf;
  if (text == "auto") return TapSteering::kAuto;
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<TapNic>> TapNic::Create(const TapOptions& options) {
  absl::StatusOr<std::unique_ptr<TapDevice>> device =
      TapDevice::Create({.name = options.name,
                         .queue_count = options.queue_count,
                         .mtu = options.mtu,
                         .kernel_address = options.kernel_address,
                         .tun_path = options.tun_path});
  if (!device.ok()) return device.status();
  absl::StatusOr<MacAddress> mac = ChooseMac(options, (*device)->kernel_mac());
  if (!mac.ok()) return mac.status();
  std::unique_ptr<TapNic> nic(new TapNic(*std::move(device), *mac));
  absl::Status steering = nic->SetUpSteering(options.steering);
  if (!steering.ok()) return steering;
  return nic;
}

TapNic::TapNic(std::unique_ptr<TapDevice> device, const MacAddress& mac)
    : device_(std::move(device)), steering_(device_->queue_count()) {
  info_ = {.name = device_->name(),
           .kind = "tap",
           .steering = "",
           .mac = mac,
           .mtu = device_->mtu(),
           .queue_count = device_->queue_count(),
           .gso_bytes_max = kGsoBytesMax};
  for (uint32_t index = 0; index < device_->queue_count(); ++index) {
    const TapQueueOptions options{.fd = device_->queue_fd(index), .index = index};
    queues_.push_back(std::make_unique<TapQueue>(options, steering_));
  }
}

absl::Status TapNic::SetUpSteering(TapSteering wanted) {
  if (wanted != TapSteering::kAuto) {
    std::vector<uint32_t> all(info_.queue_count);
    std::iota(all.begin(), all.end(), 0u);
    absl::StatusOr<std::unique_ptr<SteeringProgram>> program =
        SteeringProgram::Attach(device_->queue_fd(0), all);
    if (program.ok()) {
      program_ = *std::move(program);
      info_.steering = "bpf";
      return absl::OkStatus();
    }
    if (wanted == TapSteering::kBpf) return program.status();
    steering_note_ = std::string(program.status().message());
  }
  steering_.history = std::make_unique<TapFlowHistory>();
  info_.steering = "auto";
  return absl::OkStatus();
}

absl::Status TapNic::Start(std::span<const QueueMemory> host) {
  if (started_) {
    return absl::FailedPreconditionError(absl::StrCat(info_.name, " has been started already"));
  }
  if (host.size() != queues_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("host memory for ", host.size(), " queues, but ",
                                                   info_.name, " has ", queues_.size(),
                                                   "; give one entry a queue"));
  }
  for (uint32_t index = 0; index < host.size(); ++index) {
    absl::Status checked = CheckQueueMemory(host[index], false, index);
    if (!checked.ok()) return checked;
  }
  for (uint32_t index = 0; index < host.size(); ++index) queues_[index]->SetHostMemory(host[index]);
  started_ = true;
  return absl::OkStatus();
}

// Our own table first: a frame that comes astray meanwhile is known to be another queue's.
absl::StatusOr<FlowRuleId> TapNic::AddRule(const FlowMatch& match, uint32_t queue) {
  absl::StatusOr<FlowRuleId> id = steering_.rules.Add(match, queue);
  if (!id.ok() || program_ == nullptr) return id;
  absl::Status added = program_->Add({.id = *id, .match = match, .queue = queue});
  if (!added.ok()) {
    (void)steering_.rules.Delete(*id);
    return added;
  }
  return id;
}

// The kernel's first: what it still queues for the rule's queue is still the rule's.
absl::Status TapNic::DeleteRule(FlowRuleId id) {
  if (program_ != nullptr) {
    const std::vector<FlowRule> rules = ListRules();
    const auto rule = std::find_if(rules.begin(), rules.end(),
                                   [id](const FlowRule& entry) { return entry.id == id; });
    if (rule != rules.end()) {
      absl::Status deleted = program_->Delete(*rule);
      if (!deleted.ok()) return deleted;
    }
  }
  return steering_.rules.Delete(id);
}

absl::Status TapNic::SetRssQueues(std::span<const uint32_t> queues) {
  if (queues.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no queue of ", info_.name, " is left for unsteered traffic; leave one of its ",
        info_.queue_count, " queues unbound"));
  }
  for (const uint32_t queue : queues) {
    if (queue >= info_.queue_count) {
      return absl::OutOfRangeError(absl::StrCat("RSS queue ", queue, " of ", info_.name,
                                                " does not exist; choose from 0 to ",
                                                info_.queue_count - 1));
    }
  }
  // Each once: the program compares with one after the other.
  std::vector<uint32_t> unique(queues.begin(), queues.end());
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
  if (program_ != nullptr) {
    absl::Status spread = program_->SpreadOver(unique);
    if (!spread.ok()) return spread;
  }
  steering_.rss_changes.fetch_add(1, std::memory_order_release);
  return absl::OkStatus();
}

void TapNic::SetRecorder(PcapngRecorder* recorder) {
  const uint32_t interface = recorder == nullptr ? 0 : recorder->AddInterface(info_.name);
  for (const std::unique_ptr<TapQueue>& queue : queues_) queue->SetRecorder(recorder, interface);
}

}  // namespace devmem
