// SPDX-License-Identifier: Apache-2.0
//
// See doctor_report.h: the document for programs.

#include <utility>

#include "tools/doctor/doctor_report.h"

namespace devmem {
namespace {

JsonObject KernelToJson(const Machine& machine) {
  JsonObject options;
  for (const auto& [name, value] : machine.kernel.options) options.Text(name, value);
  JsonObject json;
  json.Text("release", machine.kernel.release);
  json.Text("config_source", machine.kernel.config_source);
  json.Object("options", std::move(options));
  json.Bool("devmem_sockets", machine.devmem_errno == 0);
  json.Numbers("netdev_commands", machine.netdev_commands);
  json.Numbers("ethtool_commands", machine.ethtool_commands);
  return json;
}

JsonObject IoUringToJson(const IoUringFacts& ring) {
  JsonObject json;
  json.Bool("usable", ring.setup_errno == 0);
  if (ring.disabled.has_value()) json.Number("disabled", *ring.disabled);
  json.Bool("zcrx", ring.zcrx);
  if (ring.features.has_value()) {
    JsonObject features;
    features.Number("register_flags", ring.features->registration_flags);
    features.Number("area_flags", ring.features->area_flags);
    features.Number("control_opcodes", ring.features->control_opcodes);
    features.Number("features", ring.features->features);
    json.Object("zcrx_features", std::move(features));
  }
  return json;
}

JsonObject PermissionsToJson(const PermissionFacts& facts) {
  JsonObject json;
  json.Number("effective_user", facts.effective_user).Bool("net_admin", facts.net_admin);
  json.Bool("bpf", facts.bpf).Bool("ipc_lock", facts.ipc_lock);
  json.Bool("initial_user_namespace", facts.initial_user_namespace);
  if (facts.memlock_bytes.has_value()) {
    json.Number("memlock_bytes", *facts.memlock_bytes);
  } else {
    json.Null("memlock_bytes");
  }
  return json;
}

void AddSwitch(absl::string_view key, Switch state, JsonObject* json) {
  if (state == Switch::kAbsent) {
    json->Null(key);
  } else {
    json->Bool(key, state == Switch::kOn);
  }
}

JsonObject NicToJson(const NicFacts& nic) {
  JsonObject json;
  json.Text("name", nic.name).Number("ifindex", nic.ifindex).Text("driver", nic.driver);
  json.Text("firmware", nic.firmware).Bool("hardware", nic.hardware).Bool("up", nic.up);
  AddSwitch("header_split", nic.split, &json);
  if (nic.hds_threshold_bytes.has_value()) json.Number("hds_thresh", *nic.hds_threshold_bytes);
  AddSwitch("ntuple", nic.ntuple, &json);
  json.Number("rules", nic.rules);
  json.Number("rx_queues", nic.rx_queues).Number("rx_queues_max", nic.rx_queues_max);
  json.Numbers("rss_queues", nic.rss_queues);
  json.Bool("xdp", nic.xdp);
  std::vector<JsonObject> bound;
  for (const auto& [queue, whose] : nic.bound) {
    bound.emplace_back().Number("queue", queue).Text("by", whose);
  }
  json.List("bound", std::move(bound));
  return json;
}

JsonObject VerdictToJson(const Verdict& verdict) {
  JsonObject json;
  json.Text("name", verdict.backend).Bool("usable", verdict.usable);
  if (verdict.usable) return std::move(json.Text("detail", verdict.detail));
  std::vector<JsonObject> missing;
  for (const Missing& one : verdict.missing) {
    missing.emplace_back().Text("what", one.what).Text("fix", one.fix);
  }
  json.List("missing", std::move(missing));
  return json;
}

}  // namespace

JsonObject DoctorToJson(const Machine& machine, const std::vector<Verdict>& verdicts) {
  std::vector<JsonObject> memory;
  for (const MemoryFacts& facts : machine.memory) {
    JsonObject& one = memory.emplace_back();
    one.Text("name", facts.name).Bool("usable", facts.usable);
    one.Bool("dmabuf", facts.exports_dmabuf).Text("detail", facts.detail);
  }
  std::vector<JsonObject> nics;
  for (const NicFacts& nic : machine.nics) nics.push_back(NicToJson(nic));
  std::vector<JsonObject> backends;
  for (const Verdict& verdict : verdicts) backends.push_back(VerdictToJson(verdict));
  JsonObject json;
  json.Object("kernel", KernelToJson(machine));
  json.Object("io_uring", IoUringToJson(machine.io_uring));
  json.Object("permissions", PermissionsToJson(machine.permissions));
  json.Bool("tun", machine.tun_errno == 0);
  json.List("memory", std::move(memory)).List("nics", std::move(nics));
  json.List("backends", std::move(backends));
  return json;
}

}  // namespace devmem
