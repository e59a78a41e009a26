// SPDX-License-Identifier: Apache-2.0
//
// One virtual gVNIC: a PCI function whose parts are the files of this folder, joined here. A
// vfio-user server drives it as a VfioUserDevice, a Port is its network, the control socket of
// gvnicd makes faults happen in it. Everything on the thread of the event loop. Linux,
// drivers/net/ethernet/google/gve is the driver that it is for.
//
//   QEMU -> VfioUserServer -> GvnicDevice -+-> PciConfig
//                                          +-> Registers -> AdminQueue -> AdminCommands -+
//                                          +-> doorbells --------------------------------+->
//                                          DataPath
//   guest <- eventfd <- Interrupts <-----------------------------------------------------+

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/gvnic/admin_commands.h"
#include "netmem/gvnic/admin_queue.h"
#include "netmem/gvnic/data_path.h"
#include "netmem/gvnic/device_options.h"
#include "netmem/gvnic/guest_memory.h"
#include "netmem/gvnic/interrupts.h"
#include "netmem/gvnic/pci_config.h"
#include "netmem/gvnic/registers.h"
#include "netmem/gvnic/vfio_user_session.h"

namespace devmem {

class GvnicDevice : public VfioUserDevice {
 public:
  // `clock` tells the time of the event loop.
  //
  // Errors: as GvnicOptions::Check() has them.
  static absl::StatusOr<std::unique_ptr<GvnicDevice>> Create(const GvnicOptions& options,
                                                             std::function<Nanos()> clock);
  GvnicDevice(const GvnicDevice&) = delete;
  GvnicDevice& operator=(const GvnicDevice&) = delete;

  uint64_t region_bytes(uint32_t region) const override;
  void ReadRegion(uint32_t region, uint64_t offset, std::span<uint8_t> out) override;
  void WriteRegion(uint32_t region, uint64_t offset, std::span<const uint8_t> in) override;
  uint32_t vector_count() const override { return interrupts_.vector_count(); }
  void SetVector(uint32_t vector, UniqueFd eventfd) override;
  GuestMemory& memory() override { return memory_; }
  void ResetDevice() override;

  const GvnicOptions& options() const { return options_; }
  const std::string& driver_version() const { return registers_.driver_version(); }
  DataPath& data_path() { return data_path_; }
  Interrupts& interrupts() { return interrupts_; }
  AdminQueue& admin_queue() { return admin_queue_; }

  bool link_up() const { return registers_.link_up(); }
  // Tells the driver, too.
  void SetLink(bool up);
  // Asks the driver to reset the device, as firmware that is in trouble does.
  void RequestReset();

  // Every counter of the device, in a stable order.
  std::vector<NamedCount> statistics() const;

 private:
  GvnicDevice(const GvnicOptions& options, std::function<Nanos()> clock);

  void WriteRegister(uint64_t offset, std::span<const uint8_t> in);
  void WriteDoorbell(uint64_t offset, std::span<const uint8_t> in);
  void DropEverything();

  const GvnicOptions options_;
  GuestMemory memory_;
  PciConfig config_;
  Registers registers_;
  Interrupts interrupts_;
  DataPath data_path_;
  AdminCommands admin_commands_;
  AdminQueue admin_queue_;
  uint64_t resets_ = 0;  // By the driver or by the machine.
};

}  // namespace devmem
