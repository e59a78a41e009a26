// SPDX-License-Identifier: Apache-2.0
//
// Building the network of a gvnicd, and passing packets on between rounds of the event loop.

#include "tools/gvnicd_network.h"

#include <sys/epoll.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "netmem/gvnic/device_port.h"
#include "netmem/gvnic/recorder_port.h"
#include "netmem/nic/tap_device.h"

namespace devmem {
namespace {

// A recording is read beside the logs of other machines.
Nanos WallClock() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<Nanos>(now.tv_sec) * 1'000'000'000 + static_cast<Nanos>(now.tv_nsec);
}

void PutWire(const FaultyWire& wire, const std::string& prefix, JsonObject& json) {
  const FaultyWireStats& stats = wire.stats();
  json.Number(prefix + "lost", stats.lost).Number(prefix + "duplicated", stats.duplicated);
  json.Number(prefix + "reordered", stats.reordered).Number(prefix + "corrupted", stats.corrupted);
  json.Number(prefix + "delivered", stats.delivered).Number(prefix + "dropped", stats.dropped);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GvnicdNetwork>> GvnicdNetwork::Create(
    const GvnicdOptions& options, EventLoop& loop, const std::vector<GvnicDevice*>& devices) {
  std::unique_ptr<GvnicdNetwork> network(new GvnicdNetwork(options, loop));
  if (!options.record_path.empty()) {
    auto recorder = PcapngRecorder::Create(options.record_path);
    if (!recorder.ok()) return recorder.status();
    network->recorder_ = *std::move(recorder);
  }
  const absl::Status connected = network->Connect(devices);
  if (!connected.ok()) return connected;
  return network;
}

GvnicdNetwork::~GvnicdNetwork() {
  for (const auto& tap : taps_) loop_.Unwatch(tap->fd());
}

absl::Status GvnicdNetwork::Connect(const std::vector<GvnicDevice*>& devices) {
  size_t next = 0;
  for (const GvnicdLink& link : options_.links) {
    if (link.kind == GvnicdLink::Kind::kTap) {
      const absl::Status added = AddTap(link, *devices[next]);
      if (!added.ok()) return added;
    } else {
      AddPair(link, *devices[next], *devices[next + 1]);
    }
    next += link.device_count();
  }
  // A delivery wakes the guest, which answers in a later round: once is enough.
  loop_.AddAfterRound([this] {
    for (const auto& pair : pairs_) pair->link.Deliver();
  });
  return absl::OkStatus();
}

void GvnicdNetwork::AddPair(const GvnicdLink& link, GvnicDevice& first, GvnicDevice& second) {
  pairs_.push_back(std::make_unique<Pair>());
  Pair& pair = *pairs_.back();
  uint32_t end = 0;
  for (GvnicDevice* const device : {&first, &second}) {
    Port* out = &pair.link.end(end);
    if (link.kind == GvnicdLink::Kind::kWire) {
      pair.wires.push_back(AddWire(*out));
      out = pair.wires.back();
    }
    device->data_path().SetPort(Recorded(*device, PacketDirection::kOutbound, out));
    pair.link.SetReceiver(end, DevicePortOf(*device));
    ++end;
  }
}

absl::Status GvnicdNetwork::AddTap(const GvnicdLink& link, GvnicDevice& device) {
  auto tap = TapDevice::Create({.name = link.tap_name,
                                .queue_count = 1,
                                .mtu = std::max(device.options().mtu_bytes, kMtuMin),
                                .kernel_address = link.tap_address});
  if (!tap.ok()) return tap.status();
  taps_.push_back(std::make_unique<TapPort>(*std::move(tap)));
  TapPort* const port = taps_.back().get();
  port->SetReceiver(DevicePortOf(device));
  device.data_path().SetPort(Recorded(device, PacketDirection::kOutbound, port));
  return loop_.Watch(port->fd(), EPOLLIN, [port](uint32_t) { port->OnReadable(); });
}

Port* GvnicdNetwork::Recorded(const GvnicDevice& device, PacketDirection direction, Port* next) {
  if (recorder_ == nullptr) return next;
  const auto [interface, is_new] = interfaces_.try_emplace(&device, 0);
  if (is_new) interface->second = recorder_->AddInterface(device.options().name);
  ports_.push_back(
      std::make_unique<RecorderPort>(*recorder_, interface->second, direction, WallClock, *next));
  return ports_.back().get();
}

// Where what arrives for a device goes.
Port* GvnicdNetwork::DevicePortOf(GvnicDevice& device) {
  ports_.push_back(std::make_unique<DevicePort>(device.data_path()));
  return Recorded(device, PacketDirection::kInbound, ports_.back().get());
}

FaultyWire* GvnicdNetwork::AddWire(Port& next) {
  auto wire =
      std::make_unique<FaultyWire>(options_.wire_faults, options_.seed, wire_count_++, next);
  FaultyWire* const raw = wire.get();
  ports_.push_back(std::move(wire));
  loop_.AddTimed({.next_due = [raw] { return raw->NextDue(); },
                  .advance = [raw](Nanos now) { raw->Advance(now); }});
  return raw;
}

absl::Status GvnicdNetwork::Finish() {
  return recorder_ == nullptr ? absl::OkStatus() : recorder_->Close();
}

std::vector<JsonObject> GvnicdNetwork::Statistics() const {
  std::vector<JsonObject> links;
  for (const auto& pair : pairs_) {
    JsonObject json;
    json.Text("kind", pair->wires.empty() ? "pair" : "wire");
    for (uint32_t end = 0; end < 2; ++end) {
      const std::string prefix = end == 0 ? "first_" : "second_";
      json.Number(prefix + "packets", pair->link.stats(end).packets);
      json.Number(prefix + "drops", pair->link.stats(end).drops);
      if (!pair->wires.empty()) PutWire(*pair->wires[end], prefix, json);
    }
    links.push_back(std::move(json));
  }
  for (const auto& tap : taps_) {
    const TapPortStats& stats = tap->stats();
    JsonObject json;
    json.Text("kind", "tap").Text("name", tap->device().name());
    json.Number("to_host", stats.to_host).Number("to_host_bytes", stats.to_host_bytes);
    json.Number("to_host_super_frames", stats.to_host_super_frames);
    json.Number("from_host", stats.from_host).Number("from_host_bytes", stats.from_host_bytes);
    json.Number("from_host_super_frames", stats.from_host_super_frames);
    json.Number("to_host_super_frames", stats.to_host_super_frames);
    json.Number("from_host_super_frames", stats.from_host_super_frames);
    json.Number("drop_full", stats.drop_full).Number("drop_refused", stats.drop_refused);
    json.Number("drop_unreadable", stats.drop_unreadable);
    links.push_back(std::move(json));
  }
  return links;
}

}  // namespace devmem
