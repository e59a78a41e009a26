// SPDX-License-Identifier: Apache-2.0
//
// What the devices of a gvnicd are connected to: pairs, wires with faults and TAPs, and a recorder
// before them. Owned by the server; the event loop drives it on its one thread.

#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/device_port.h"
#include "netmem/gvnic/event_loop.h"
#include "netmem/gvnic/gvnic_device.h"
#include "netmem/gvnic/pair_link.h"
#include "tools/gvnicd_options.h"
#include "tools/json_object.h"

namespace devmem {

class GvnicdNetwork {
 public:
  // Connects `devices` as the options say. The loop and the devices outlive this object.
  static absl::StatusOr<std::unique_ptr<GvnicdNetwork>> Create(
      const GvnicdOptions& options, EventLoop& loop, const std::vector<GvnicDevice*>& devices);
  GvnicdNetwork(const GvnicdNetwork&) = delete;
  GvnicdNetwork& operator=(const GvnicdNetwork&) = delete;

  // Ends the recording; says what it could not write.
  absl::Status Finish();

  std::vector<JsonObject> Statistics() const;

 private:
  GvnicdNetwork() = default;

  void AddPair(GvnicDevice& first, GvnicDevice& second);
  void Deliver();

  std::vector<std::unique_ptr<DevicePort>> device_ports_;
  std::vector<std::unique_ptr<PairLink>> pairs_;
};

}  // namespace devmem
