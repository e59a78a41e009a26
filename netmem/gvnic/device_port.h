// SPDX-License-Identifier: Apache-2.0
//
// A device seen from the network: the port whose packets the device receives. Last in a chain of
// ports that leads to a device. Called by the event loop's one thread.

#pragma once

#include <utility>

#include "netmem/gvnic/data_path.h"
#include "netmem/gvnic/port.h"

namespace devmem {

class DevicePort final : public Port {
 public:
  // `device` outlives this object.
  explicit DevicePort(DataPath& device) : device_(device) {}

  void Transmit(Packet packet) override { device_.Receive(std::move(packet)); }
  void EndBatch() override { device_.EndBatch(); }

 private:
  DataPath& device_;
};

}  // namespace devmem
