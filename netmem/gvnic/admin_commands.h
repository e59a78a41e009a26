// SPDX-License-Identifier: Apache-2.0
//
// What the commands of the admin queue do to a virtual gVNIC: they describe it, give it memory for
// its doorbells' numbers, make and destroy its queues, set RSS and flow rules. Called by the admin
// queue, one command at a time, on the thread of the device. Linux,
// drivers/net/ethernet/google/gve/gve_adminq.h.

#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "netmem/gvnic/admin_queue.h"
#include "netmem/gvnic/data_path.h"
#include "netmem/gvnic/device_options.h"
#include "netmem/gvnic/guest_memory.h"

namespace devmem {

enum class AdminOpcode : uint32_t {
  kDescribeDevice = 0x01,
  kConfigureDeviceResources = 0x02,
  kCreateTxQueue = 0x05,
  kCreateRxQueue = 0x06,
  kDestroyTxQueue = 0x07,
  kDestroyRxQueue = 0x08,
  kDeconfigureDeviceResources = 0x09,
  kConfigureRss = 0x0a,
  kReportStats = 0x0c,
  kReportLinkSpeed = 0x0d,
  kGetPacketTypeMap = 0x0e,
  kVerifyDriverCompatibility = 0x0f,
  kQueryFlowRules = 0x10,
  kExtended = 0xff,  // Its own opcode and address lie in the body.
  kConfigureFlowRule = 0x101,
};

// The name of an opcode for messages, or "unknown".
const char* AdminOpcodeName(uint32_t opcode);

// Of an extended command the opcode within, of others their own.
uint32_t EffectiveOpcode(const AdminCommand& command);

class AdminCommands {
 public:
  // All outlive this object. `options` have passed Check().
  AdminCommands(const GvnicOptions& options, uint32_t block_count, GuestMemory& memory,
                DataPath& data_path)
      : options_(options), block_count_(block_count), memory_(memory), data_path_(data_path) {}

  // The status goes to the driver by its code, to people by its message.
  //
  // Errors: kUnimplemented       an opcode that is not of the DQO-RDA format, or a feature that
  // this
  //                              device was made without.
  //         kFailedPrecondition  queues before CONFIGURE_DEVICE_RESOURCES.
  //         kInvalidArgument, kOutOfRange, kNotFound, kAlreadyExists, kResourceExhausted
  //                              a field that cannot be, or an address outside the guest's memory.
  absl::Status Execute(const AdminCommand& command);

  // As before the first command. The queues are the data path's to drop.
  void Reset();

  bool is_configured() const { return is_configured_; }

 private:
  absl::Status DescribeDevice(const AdminCommand& command);
  absl::Status ConfigureResources(const AdminCommand& command);
  absl::Status DeconfigureResources();
  absl::Status CreateTxQueue(const AdminCommand& command);
  absl::Status CreateRxQueue(const AdminCommand& command);
  absl::Status DestroyTxQueue(const AdminCommand& command);
  absl::Status DestroyRxQueue(const AdminCommand& command);
  absl::Status ConfigureRss(const AdminCommand& command);
  absl::Status ReportLinkSpeed(const AdminCommand& command);
  absl::Status GetPacketTypeMap(const AdminCommand& command);
  absl::Status VerifyDriver(const AdminCommand& command);
  absl::Status QueryRules(const AdminCommand& command);
  absl::Status ExecuteExtended(const AdminCommand& command);
  absl::Status CheckQueue(uint32_t queue, uint32_t block, uint32_t page_list) const;
  absl::Status WriteQueueResources(uint64_t address, uint32_t doorbell);

  const GvnicOptions& options_;
  const uint32_t block_count_;
  GuestMemory& memory_;
  DataPath& data_path_;
  bool is_configured_ = false;
  std::set<uint32_t> tx_queues_;  // That exist, so that the end of the resources ends them.
  std::set<uint32_t> rx_queues_;
};

}  // namespace devmem
