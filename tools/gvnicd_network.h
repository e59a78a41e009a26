// SPDX-License-Identifier: Apache-2.0
//
// What the devices of a gvnicd are connected to: pairs, wires with faults and TAPs, and a recorder
// before them. Owned by the server; the event loop drives it on its one thread.
//
//   device -> (recorder) -> (wire with faults) -> pair or TAP -> (recorder) -> device

#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/event_loop.h"
#include "netmem/gvnic/faulty_wire.h"
#include "netmem/gvnic/gvnic_device.h"
#include "netmem/gvnic/pair_link.h"
#include "netmem/gvnic/port.h"
#include "netmem/gvnic/tap_port.h"
#include "netmem/nic/pcapng_recorder.h"
#include "tools/gvnicd_options.h"
#include "tools/json_object.h"

namespace devmem {

class GvnicdNetwork {
 public:
  // Connects `devices` as the options say. The loop and the devices outlive this object.
  //
  // Errors: as PcapngRecorder::Create() and TapDevice::Create() have them.
  static absl::StatusOr<std::unique_ptr<GvnicdNetwork>> Create(
      const GvnicdOptions& options, EventLoop& loop, const std::vector<GvnicDevice*>& devices);
  ~GvnicdNetwork();
  GvnicdNetwork(const GvnicdNetwork&) = delete;
  GvnicdNetwork& operator=(const GvnicdNetwork&) = delete;

  // Ends the recording; says what it could not write.
  absl::Status Finish();

  // An object for each link.
  std::vector<JsonObject> Statistics() const;

 private:
  struct Pair {
    PairLink link;
    std::vector<FaultyWire*> wires;  // Of end 0 and of end 1; none: a perfect pair.
  };

  GvnicdNetwork(const GvnicdOptions& options, EventLoop& loop) : options_(options), loop_(loop) {}

  absl::Status Connect(const std::vector<GvnicDevice*>& devices);
  void AddPair(const GvnicdLink& link, GvnicDevice& first, GvnicDevice& second);
  absl::Status AddTap(const GvnicdLink& link, GvnicDevice& device);
  // `next`, behind a recorder if there is one.
  Port* Recorded(const GvnicDevice& device, PacketDirection direction, Port* next);
  Port* DevicePortOf(GvnicDevice& device);
  FaultyWire* AddWire(Port& next);

  const GvnicdOptions& options_;
  EventLoop& loop_;
  std::unique_ptr<PcapngRecorder> recorder_;           // nullptr: nothing is recorded.
  std::map<const GvnicDevice*, uint32_t> interfaces_;  // Their numbers in the recording.
  std::vector<std::unique_ptr<Port>> ports_;           // All that stand between devices and links.
  std::vector<std::unique_ptr<Pair>> pairs_;
  std::vector<std::unique_ptr<TapPort>> taps_;
  uint64_t wire_count_ = 0;
};

}  // namespace devmem
