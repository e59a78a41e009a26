// SPDX-License-Identifier: Apache-2.0
//
// Building the network of a gvnicd, and passing packets on between rounds of the event loop.

#include "tools/gvnicd_network.h"

#include <utility>

namespace devmem {

absl::StatusOr<std::unique_ptr<GvnicdNetwork>> GvnicdNetwork::Create(
    const GvnicdOptions& options, EventLoop& loop, const std::vector<GvnicDevice*>& devices) {
  std::unique_ptr<GvnicdNetwork> network(new GvnicdNetwork());
  size_t next = 0;
  for (const GvnicdLink& link : options.links) {
    if (link.kind != GvnicdLink::Kind::kPair) {
      return absl::UnimplementedError("this gvnicd joins devices in pairs only; use --link pair");
    }
    network->AddPair(*devices[next], *devices[next + 1]);
    next += link.device_count();
  }
  loop.AddAfterRound([raw = network.get()] { raw->Deliver(); });
  return network;
}

void GvnicdNetwork::AddPair(GvnicDevice& first, GvnicDevice& second) {
  auto pair = std::make_unique<PairLink>();
  uint32_t end = 0;
  for (GvnicDevice* device : {&first, &second}) {
    device_ports_.push_back(std::make_unique<DevicePort>(device->data_path()));
    pair->SetReceiver(end, device_ports_.back().get());
    device->data_path().SetPort(&pair->end(end));
    ++end;
  }
  pairs_.push_back(std::move(pair));
}

// A delivery wakes the guest, which answers in a later round: once is enough.
void GvnicdNetwork::Deliver() {
  for (const auto& pair : pairs_) pair->Deliver();
}

absl::Status GvnicdNetwork::Finish() { return absl::OkStatus(); }

std::vector<JsonObject> GvnicdNetwork::Statistics() const {
  std::vector<JsonObject> links;
  for (const auto& pair : pairs_) {
    JsonObject json;
    json.Text("kind", "pair");
    for (uint32_t end = 0; end < 2; ++end) {
      const std::string prefix = end == 0 ? "first_" : "second_";
      json.Number(prefix + "packets", pair->stats(end).packets);
      json.Number(prefix + "drops", pair->stats(end).drops);
    }
    links.push_back(std::move(json));
  }
  return links;
}

}  // namespace devmem
