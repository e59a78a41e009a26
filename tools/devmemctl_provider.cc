// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl provider`: which kinds of memory there are, and which of them this machine has.

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "provider/provider.h"
#include "tools/devmemctl_commands.h"

namespace devmem {
namespace {

struct Probed {
  absl::string_view name;
  absl::StatusOr<std::string> found;
  std::vector<ProviderDevice> devices;
};

absl::string_view ToString(DeviceClass device_class) {
  switch (device_class) {
    case DeviceClass::kGpu: return "gpu";
    case DeviceClass::kProcessor: return "processor";
    case DeviceClass::kOther: break;
  }
  return "other";
}

Probed Probe(Provider* provider) {
  Probed probed{provider->name(), provider->Probe(), {}};
  if (probed.found.ok()) probed.devices = provider->Devices();
  return probed;
}

JsonObject DeviceToJson(const ProviderDevice& device) {
  JsonObject json;
  json.Text("name", device.name).Text("class", ToString(device.device_class));
  if (!device.description.empty()) json.Text("description", device.description);
  if (!device.pci_address.empty()) json.Text("pci", device.pci_address);
  return json;
}

JsonObject ToJson(const Probed& probed) {
  JsonObject json;
  json.Text("name", probed.name).Bool("usable", probed.found.ok());
  if (!probed.found.ok()) {
    json.Text("code", absl::StatusCodeToString(probed.found.status().code()));
    json.Text("reason", probed.found.status().message());
    return json;
  }
  json.Text("detail", *probed.found);
  std::vector<JsonObject> devices;
  for (const ProviderDevice& device : probed.devices) devices.push_back(DeviceToJson(device));
  if (!devices.empty()) json.List("devices", std::move(devices));
  return json;
}

void AppendRows(const Probed& probed, std::vector<std::vector<std::string>>* rows) {
  const bool usable = probed.found.ok();
  rows->push_back({std::string(probed.name), usable ? "usable" : "unusable",
                   usable ? *probed.found : std::string(probed.found.status().message())});
  for (const ProviderDevice& device : probed.devices) {
    const std::string pci =
        device.pci_address.empty() ? "" : absl::StrCat(", ", device.pci_address);
    rows->push_back({"", "",
                     absl::StrCat("device ", device.name, " (", ToString(device.device_class), pci,
                                  ") ", device.description)});
  }
}

}  // namespace

CommandOutcome ListProviders(const DevmemctlOptions& options) {
  CommandOutcome outcome;
  std::vector<JsonObject> objects;
  for (const Provider* const provider : AllProviders()) {
    if (options.json) {
      objects.emplace_back().Text("name", provider->name());
    } else {
      absl::StrAppend(&outcome.output, provider->name(), "\n");
    }
  }
  if (options.json) outcome.output = FormatJson(options, std::move(objects));
  return outcome;
}

CommandOutcome ProbeProviders(const DevmemctlOptions& options) {
  std::vector<Provider*> asked(AllProviders().begin(), AllProviders().end());
  if (!options.provider.empty()) {
    const absl::StatusOr<Provider*> found = FindProvider(options.provider);
    if (!found.ok()) return Refuse(options, kCtlUsage, found.status());
    asked = {*found};
  }
  CommandOutcome outcome;
  outcome.exit_code = kCtlUnsupported;
  std::vector<JsonObject> objects;
  std::vector<std::vector<std::string>> rows;
  for (Provider* const provider : asked) {
    const Probed probed = Probe(provider);
    if (probed.found.ok()) outcome.exit_code = kCtlOk;
    if (options.json) {
      objects.push_back(ToJson(probed));
    } else {
      AppendRows(probed, &rows);
    }
  }
  outcome.output = options.json ? FormatJson(options, std::move(objects)) : FormatTable(rows);
  return outcome;
}

}  // namespace devmem
