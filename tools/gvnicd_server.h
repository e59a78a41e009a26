// SPDX-License-Identifier: Apache-2.0
//
// All that a gvnicd consists of: the event loop, the devices with their vfio-user servers, their
// network and the control socket. Made and run by main; one thread.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/event_loop.h"
#include "netmem/gvnic/gvnic_device.h"
#include "netmem/gvnic/vfio_user_server.h"
#include "provider/unique_fd.h"
#include "tools/gvnicd_control.h"
#include "tools/gvnicd_network.h"
#include "tools/gvnicd_options.h"
#include "tools/json_object.h"

namespace devmem {

class GvnicdServer {
 public:
  // Listens at every socket, or at none.
  static absl::StatusOr<std::unique_ptr<GvnicdServer>> Create(const GvnicdOptions& options);
  GvnicdServer(const GvnicdServer&) = delete;
  GvnicdServer& operator=(const GvnicdServer&) = delete;

  // Serves until SIGTERM or SIGINT, which stay blocked in this process.
  absl::Status Run() { return loop_->Run(); }

  // Writes what was asked for at the end: statistics and the rest of the recording.
  absl::Status Finish();

  // Of all devices and links.
  JsonObject Statistics() const;

 private:
  struct Device {
    std::unique_ptr<GvnicDevice> gvnic;
    std::unique_ptr<VfioUserServer> server;  // Below what it drives: it goes first.
  };

  explicit GvnicdServer(const GvnicdOptions& options) : options_(options) {}

  absl::Status Start();
  absl::Status WatchSignals();
  absl::Status AddDevice(const GvnicdDevice& described);

  const GvnicdOptions options_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd signals_;
  std::vector<Device> devices_;
  std::unique_ptr<GvnicdNetwork> network_;
  std::unique_ptr<GvnicdControl> control_;  // nullptr: not asked for.
};

}  // namespace devmem
