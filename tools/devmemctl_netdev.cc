// SPDX-License-Identifier: Apache-2.0
//
// `devmemctl netdev|queue|napi|page-pool show`: what the kernel's family `netdev` tells.

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/boot_time.h"
#include "tools/devmemctl_commands.h"
#include "tools/devmemctl_device.h"
#include "tools/netdev_report.h"
#include "uapi/netlink/netdev_client.h"

namespace devmem {
namespace {

template <typename Value>
using Read = absl::StatusOr<std::vector<Value>> (NetdevClient::*)(std::optional<uint32_t>);

// Asks for what `read` reads, of one device or of all, and tells it.
template <typename Value, typename Rows>
CommandOutcome Show(const DevmemctlOptions& options, Read<Value> read, Rows rows) {
  const absl::StatusOr<std::optional<uint32_t>> ifindex = ChosenDevice(options);
  if (!ifindex.ok()) return Refuse(options, kCtlRefused, ifindex.status());
  const absl::StatusOr<std::unique_ptr<NetdevClient>> client = NetdevClient::Open();
  if (!client.ok()) return Refuse(options, ExitCodeOf(client.status()), client.status());
  const absl::StatusOr<std::vector<Value>> values = ((**client).*read)(*ifindex);
  if (!values.ok()) return Refuse(options, ExitCodeOf(values.status()), values.status());
  CommandOutcome outcome;
  if (!options.json) {
    outcome.output = FormatTable(rows(*values));
    return outcome;
  }
  std::vector<JsonObject> objects;
  for (const Value& value : *values) objects.push_back(ToJson(value, InterfaceName));
  outcome.output = FormatJson(options, std::move(objects));
  return outcome;
}

}  // namespace

CommandOutcome ShowDevices(const DevmemctlOptions& options) {
  return Show<NetdevDevice>(options, &NetdevClient::Devices,
                            [](const auto& all) { return DeviceRows(all, InterfaceName); });
}

CommandOutcome ShowQueues(const DevmemctlOptions& options) {
  return Show<NetdevQueue>(options, &NetdevClient::Queues,
                           [](const auto& all) { return QueueRows(all, InterfaceName); });
}

CommandOutcome ShowNapis(const DevmemctlOptions& options) {
  return Show<NetdevNapi>(options, &NetdevClient::Napis,
                          [](const auto& all) { return NapiRows(all, InterfaceName); });
}

CommandOutcome ShowPagePools(const DevmemctlOptions& options) {
  return Show<PagePool>(options, &NetdevClient::PagePools, [](const auto& all) {
    return PagePoolRows(all, InterfaceName, SecondsSinceBoot());
  });
}

}  // namespace devmem
