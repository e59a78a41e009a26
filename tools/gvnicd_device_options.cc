// SPDX-License-Identifier: Apache-2.0
//
// Lists of key=value pairs, by hand: a command line library splits no commas.

#include "tools/gvnicd_device_options.h"

#include <array>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

using Setter = std::function<absl::Status(absl::string_view)>;

template <typename Value>
Setter Number(absl::string_view key, Value* value, uint64_t min, uint64_t max,
              absl::string_view unit) {
  return [=](absl::string_view text) {
    const auto number = ParseNumber(text, {key, min, max, unit});
    if (number.ok()) *value = static_cast<Value>(*number);
    return number.status();
  };
}

Setter YesOrNo(absl::string_view key, bool* value) {
  return [=](absl::string_view text) {
    static constexpr std::array<absl::string_view, 2> kWords = {"no", "yes"};
    const auto choice = ParseChoice(text, key, kWords);
    if (choice.ok()) *value = *choice == 1;
    return choice.status();
  };
}

Setter Mac(MacAddress* value) {
  return [=](absl::string_view text) -> absl::Status {
    const auto mac = ParseMacAddress(text);
    if (!mac) {
      return absl::InvalidArgumentError(
          absl::StrCat("mac=", text, " is no MAC address; write it like 02:00:5e:10:00:01"));
    }
    *value = *mac;
    return absl::OkStatus();
  };
}

std::map<std::string, Setter> SettersOf(GvnicdDevice* device) {
  GvnicOptions* const o = &device->options;
  const auto text_into = [](std::string* value) {
    return [value](absl::string_view text) {
      *value = std::string(text);
      return absl::OkStatus();
    };
  };
  return {
      {"socket", text_into(&device->socket_path)},
      {"name", text_into(&o->name)},
      {"mac", Mac(&o->mac)},
      {"queues", Number("queues", &o->queues, 1, kGvnicQueuesMax, "queues")},
      {"mtu", Number("mtu", &o->mtu_bytes, kGvnicMtuMin, kGvnicMtuMax, "bytes")},
      {"speed", Number("speed", &o->link_mbit_per_s, 1, UINT32_MAX, "Mbit/s")},
      {"revision", Number("revision", &o->revision, 0, UINT8_MAX, "")},
      {"tx-ring", Number("tx-ring", &o->tx_ring_entries, kOfferedRingEntriesMin,
                         kOfferedRingEntriesMax, "entries")},
      {"rx-ring", Number("rx-ring", &o->rx_ring_entries, kOfferedRingEntriesMin,
                         kOfferedRingEntriesMax, "entries")},
      {"buffers", Number("buffers", &o->buffer_bytes, 2048, 4096, "bytes")},
      {"header-buffers",
       Number("header-buffers", &o->header_buffer_bytes, 0, kRxHeaderBytesMax, "bytes")},
      {"flow-rules", Number("flow-rules", &o->flow_rules_max, 0, kMaskedRulesMax, "rules")},
      {"jumbo", YesOrNo("jumbo", &o->jumbo_frames)},
      {"ring-sizes", YesOrNo("ring-sizes", &o->ring_sizes_change)},
  };
}

std::string KeysOf(const std::map<std::string, Setter>& setters) {
  return absl::StrJoin(setters, ", ", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, entry.first);
  });
}

}  // namespace

absl::StatusOr<GvnicdDevice> ParseGvnicdDevice(absl::string_view text, uint32_t number,
                                               const GvnicOptions& defaults) {
  GvnicdDevice device{.socket_path = {}, .options = defaults};
  device.options.name = absl::StrCat("gvnic", number);
  device.options.mac = MacAddress({0x02, 0, 0x5e, 0x10, 0, static_cast<uint8_t>(number + 1)});
  const std::map<std::string, Setter> setters = SettersOf(&device);
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const auto setter = setters.find(std::string(pair.first));
    if (setter == setters.end() || pair.second.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", part, "\" of --device ", text, " is no KEY=VALUE; the keys are ", KeysOf(setters)));
    }
    const absl::Status set = setter->second(pair.second);
    if (!set.ok()) return set;
  }
  if (device.socket_path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device ", text, " says no socket; write socket=PATH"));
  }
  const absl::Status checked = device.options.Check();
  if (!checked.ok()) return checked;
  return device;
}

absl::StatusOr<GvnicdLink> ParseGvnicdLink(absl::string_view text) {
  if (text == "pair") return GvnicdLink{.kind = GvnicdLink::Kind::kPair};
  if (text == "wire") return GvnicdLink{.kind = GvnicdLink::Kind::kWire};
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(',', 1));
  constexpr absl::string_view kTap = "tap=";
  constexpr absl::string_view kAddress = "address=";
  const bool has_address = parts.size() == 2;
  if (parts[0].substr(0, kTap.size()) != kTap || parts[0].size() == kTap.size() ||
      (has_address && parts[1].substr(0, kAddress.size()) != kAddress)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--link ", text, " is no link; write pair, wire, or tap=NAME[,address=192.0.2.1/24]"));
  }
  GvnicdLink link{.kind = GvnicdLink::Kind::kTap};
  link.tap_name = std::string(parts[0].substr(kTap.size()));
  if (has_address) link.tap_address = std::string(parts[1].substr(kAddress.size()));
  return link;
}

}  // namespace devmem
