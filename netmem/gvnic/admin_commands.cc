// SPDX-License-Identifier: Apache-2.0
//
// The commands of the admin queue, one function each, in the order in which a driver first sends
// them. Offsets are of the command's body. Runs on the thread of the device.

#include "netmem/gvnic/admin_commands.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "netmem/gvnic/device_description.h"
#include "netmem/gvnic/doorbells.h"
#include "netmem/gvnic/flow_rule_commands.h"
#include "netmem/gvnic/frame_layout.h"

namespace devmem {
namespace {

constexpr uint32_t kDescriptorVersion = 1;
constexpr uint32_t kDriverInfoBytes = 304;  // Two texts of 128 bytes end it.
constexpr uint8_t kFormatDqoRda = 3;
constexpr uint32_t kPacketTypes = 1024;
constexpr uint8_t kHashToeplitz = 1;

absl::Status OutsideMemory(absl::string_view what, uint64_t address, uint64_t bytes) {
  return absl::InvalidArgumentError(absl::StrCat(what, " at 0x", absl::Hex(address), ", ", bytes,
                                                 " bytes, is not in the guest's memory"));
}

// Copies out of the guest's memory before anything is judged: the guest may write there meanwhile.
absl::StatusOr<std::vector<uint8_t>> Fetch(const GuestMemory& memory, absl::string_view what,
                                           uint64_t address, uint64_t bytes) {
  const uint8_t* const source = memory.Read(address, bytes);
  if (source == nullptr) return OutsideMemory(what, address, bytes);
  return std::vector<uint8_t>(source, source + bytes);
}

absl::Status Store(GuestMemory& memory, absl::string_view what, uint64_t address,
                   std::span<const uint8_t> bytes) {
  uint8_t* const target = memory.Write(address, bytes.size());
  if (target == nullptr) return OutsideMemory(what, address, bytes.size());
  std::memcpy(target, bytes.data(), bytes.size());
  return absl::OkStatus();
}

}  // namespace

const char* AdminOpcodeName(uint32_t opcode) {
  switch (static_cast<AdminOpcode>(opcode)) {
    case AdminOpcode::kDescribeDevice: return "describe_device";
    case AdminOpcode::kConfigureDeviceResources: return "configure_device_resources";
    case AdminOpcode::kCreateTxQueue: return "create_tx_queue";
    case AdminOpcode::kCreateRxQueue: return "create_rx_queue";
    case AdminOpcode::kDestroyTxQueue: return "destroy_tx_queue";
    case AdminOpcode::kDestroyRxQueue: return "destroy_rx_queue";
    case AdminOpcode::kDeconfigureDeviceResources: return "deconfigure_device_resources";
    case AdminOpcode::kConfigureRss: return "configure_rss";
    case AdminOpcode::kReportStats: return "report_stats";
    case AdminOpcode::kReportLinkSpeed: return "report_link_speed";
    case AdminOpcode::kGetPacketTypeMap: return "get_packet_type_map";
    case AdminOpcode::kVerifyDriverCompatibility: return "verify_driver_compatibility";
    case AdminOpcode::kQueryFlowRules: return "query_flow_rules";
    case AdminOpcode::kExtended: return "extended";
    case AdminOpcode::kConfigureFlowRule: return "configure_flow_rule";
  }
  return "unknown";
}

uint32_t EffectiveOpcode(const AdminCommand& command) {
  return command.opcode == static_cast<uint32_t>(AdminOpcode::kExtended) ? command.Be32(0)
                                                                         : command.opcode;
}

absl::Status AdminCommands::Execute(const AdminCommand& command) {
  switch (static_cast<AdminOpcode>(command.opcode)) {
    case AdminOpcode::kVerifyDriverCompatibility: return VerifyDriver(command);
    case AdminOpcode::kDescribeDevice: return DescribeDevice(command);
    case AdminOpcode::kConfigureDeviceResources: return ConfigureResources(command);
    case AdminOpcode::kDeconfigureDeviceResources: return DeconfigureResources();
    case AdminOpcode::kGetPacketTypeMap: return GetPacketTypeMap(command);
    case AdminOpcode::kConfigureRss: return ConfigureRss(command);
    case AdminOpcode::kReportStats: return absl::OkStatus();  // The driver's numbers are its own.
    case AdminOpcode::kReportLinkSpeed: return ReportLinkSpeed(command);
    case AdminOpcode::kCreateTxQueue: return CreateTxQueue(command);
    case AdminOpcode::kCreateRxQueue: return CreateRxQueue(command);
    case AdminOpcode::kDestroyTxQueue: return DestroyTxQueue(command);
    case AdminOpcode::kDestroyRxQueue: return DestroyRxQueue(command);
    case AdminOpcode::kQueryFlowRules: return QueryRules(command);
    case AdminOpcode::kExtended: return ExecuteExtended(command);
    case AdminOpcode::kConfigureFlowRule: break;  // Comes in an extended command only.
  }
  return absl::UnimplementedError("this opcode is not of the DQO-RDA format");
}

void AdminCommands::Reset() {
  is_configured_ = false;
  tx_queues_.clear();
  rx_queues_.clear();
}

// What the driver says of itself changes nothing; only that it can be read is checked.
absl::Status AdminCommands::VerifyDriver(const AdminCommand& command) {
  const uint64_t bytes = command.Be64(0);
  if (bytes < kDriverInfoBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the driver's description of itself has ", bytes,
                                                   " bytes; it needs ", kDriverInfoBytes));
  }
  return Fetch(memory_, "the driver's description of itself", command.Be64(8), kDriverInfoBytes)
      .status();
}

absl::Status AdminCommands::DescribeDevice(const AdminCommand& command) {
  if (command.Be32(8) != kDescriptorVersion) {
    return absl::InvalidArgumentError(absl::StrCat("version ", command.Be32(8), " of the device's ",
                                                   "description does not exist, version ",
                                                   kDescriptorVersion, " does"));
  }
  const std::vector<uint8_t> description = devmem::DescribeDevice(options_);
  if (command.Be32(12) < description.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the device's description has ",
                                                   description.size(), " bytes and room for ",
                                                   command.Be32(12)));
  }
  return Store(memory_, "the device's description", command.Be64(0), description);
}

absl::Status AdminCommands::ConfigureResources(const AdminCommand& command) {
  const uint64_t array = command.Be64(8);
  const uint32_t count = command.Be32(20);
  const uint32_t stride = command.Be32(24);
  if (command.Byte(32) != kFormatDqoRda) {
    return absl::UnimplementedError(absl::StrCat("queue format ", command.Byte(32),
                                                 "; this device has DQO-RDA, ", kFormatDqoRda));
  }
  if (count > block_count_ || command.Be32(28) != 0 || stride < kDoorbellBytes) {
    return absl::OutOfRangeError(
        absl::StrCat(count, " notification blocks from vector ", command.Be32(28), ", ", stride,
                     " bytes apart; the device has ", block_count_, " from vector 0, ",
                     kDoorbellBytes, " bytes apart at least"));
  }
  for (uint32_t block = 0; block < count; ++block) {
    // The stride is below 2^32 and the block below 2^8: the product cannot wrap, the sum may, and
    // then the address is some other one, which is looked up like any.
    const uint64_t address = array + uint64_t{block} * stride;
    uint8_t* const entry = memory_.Write(address, kDoorbellBytes);
    if (entry == nullptr) return OutsideMemory("a doorbell's number", address, kDoorbellBytes);
    StoreBe32(entry, InterruptDoorbell(block));
  }
  is_configured_ = true;
  return absl::OkStatus();
}

// A driver destroys its queues first. The memory of those that it left is about to go, too.
absl::Status AdminCommands::DeconfigureResources() {
  for (const uint32_t queue : tx_queues_) data_path_.DestroyTx(queue).IgnoreError();
  for (const uint32_t queue : rx_queues_) data_path_.DestroyRx(queue).IgnoreError();
  Reset();
  return absl::OkStatus();
}

absl::Status AdminCommands::GetPacketTypeMap(const AdminCommand& command) {
  std::vector<uint8_t> map;
  map.reserve(2 * kPacketTypes);
  for (uint16_t type = 0; type < kPacketTypes; ++type) {
    const PacketTypeEntry entry = PacketTypeMeaning(type);
    map.push_back(static_cast<uint8_t>(entry.l3));
    map.push_back(static_cast<uint8_t>(entry.l4));
  }
  if (command.Be64(0) < map.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the map of packet types has ", map.size(),
                                                   " bytes and room for ", command.Be64(0)));
  }
  return Store(memory_, "the map of packet types", command.Be64(8), map);
}

// A size of 0 leaves the key or the table as it is.
absl::Status AdminCommands::ConfigureRss(const AdminCommand& command) {
  const uint16_t key_bytes = command.Be16(4);
  const uint16_t entries = command.Be16(6);
  if ((key_bytes != 0 || entries != 0) && command.Byte(2) != kHashToeplitz) {
    return absl::UnimplementedError(
        absl::StrCat("hash ", command.Byte(2), "; this device has ", "Toeplitz, ", kHashToeplitz));
  }
  std::vector<uint32_t> queues;
  if (entries != 0) {
    const auto table = Fetch(memory_, "the RSS table", command.Be64(16), 4u * entries);
    if (!table.ok()) return table.status();
    for (uint32_t i = 0; i < entries; ++i) queues.push_back(LoadBe32(&(*table)[4 * i]));
  }
  if (key_bytes != 0) {
    const auto key = Fetch(memory_, "the RSS key", command.Be64(8), key_bytes);
    if (!key.ok()) return key.status();
    const absl::Status set = data_path_.steering().SetRssKey(*key);
    if (!set.ok()) return set;
  }
  if (entries == 0) return absl::OkStatus();
  return data_path_.steering().SetRssTable(queues, options_.queues);
}

absl::Status AdminCommands::ReportLinkSpeed(const AdminCommand& command) {
  uint8_t speed[8];
  StoreBe64(speed, options_.link_mbit_per_s);
  return Store(memory_, "the link's speed", command.Be64(0), speed);
}

absl::Status AdminCommands::QueryRules(const AdminCommand& command) {
  if (options_.flow_rules_max == 0) return absl::UnimplementedError("there are no flow rules");
  const auto answer = QueryFlowRules({.operation = command.Be16(0),
                                      .first_location = command.Be32(4),
                                      .bytes_max = command.Be64(8)},
                                     options_, data_path_.steering().rules());
  if (!answer.ok()) return answer.status();
  return Store(memory_, "the answer of a flow rule query", command.Be64(16), *answer);
}

absl::Status AdminCommands::ExecuteExtended(const AdminCommand& command) {
  if (command.Be32(0) != static_cast<uint32_t>(AdminOpcode::kConfigureFlowRule) ||
      options_.flow_rules_max == 0) {
    return absl::UnimplementedError("this extended opcode is none of this device");
  }
  if (command.Be32(4) < kFlowRuleCommandBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a flow rule of ", command.Be32(4),
                                                   " bytes; it needs ", kFlowRuleCommandBytes));
  }
  const auto rule = Fetch(memory_, "a flow rule", command.Be64(8), kFlowRuleCommandBytes);
  if (!rule.ok()) return rule.status();
  return ConfigureFlowRule(*rule, options_, data_path_.steering().rules());
}

}  // namespace devmem
