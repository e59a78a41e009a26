// SPDX-License-Identifier: Apache-2.0
//
// The admin queue's commands that make and destroy queues. Offsets are of the command's body. Runs
// on the thread of the device.

#include "absl/strings/str_cat.h"
#include "netmem/gvnic/admin_commands.h"
#include "netmem/gvnic/doorbells.h"

namespace devmem {
namespace {

constexpr uint32_t kNoPageList = 0xffffffff;  // Raw addressing: buffers lie anywhere.
constexpr uint32_t kQueueResourcesBytes = 64;

}  // namespace

absl::Status AdminCommands::CheckQueue(uint32_t queue, uint32_t block, uint32_t page_list) const {
  if (!is_configured_) {
    return absl::FailedPreconditionError(
        "queues need CONFIGURE_DEVICE_RESOURCES first, which tells the doorbells' numbers");
  }
  if (queue >= options_.queues || block >= block_count_) {
    return absl::OutOfRangeError(absl::StrCat("queue ", queue, " with notification block ", block,
                                              "; the device has queues 0 to ", options_.queues - 1,
                                              " and blocks 0 to ", block_count_ - 1));
  }
  if (page_list != kNoPageList) {
    return absl::UnimplementedError(absl::StrCat("page list ", page_list, "; buffers of DQO-RDA ",
                                                 "lie anywhere, which 0xffffffff says"));
  }
  return absl::OkStatus();
}

// Where the driver reads which doorbell is the queue's. The event counter beside it, 0, is unused.
absl::Status AdminCommands::WriteQueueResources(uint64_t address, uint32_t doorbell) {
  uint8_t* const resources = memory_.Write(address, kQueueResourcesBytes);
  if (resources == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the queue's resources at 0x",
                                                   absl::Hex(address), ", ", kQueueResourcesBytes,
                                                   " bytes, are not in the guest's memory"));
  }
  StoreBe32(resources, doorbell);
  StoreBe32(resources + 4, 0);
  return absl::OkStatus();
}

absl::Status AdminCommands::CreateTxQueue(const AdminCommand& command) {
  const TxRingConfig ring{.queue = command.Be32(0),
                          .descriptor_ring = command.Be64(16),
                          .completion_ring = command.Be64(32),
                          .descriptor_entries = command.Be16(40),
                          .completion_entries = command.Be16(42),
                          .notify_block = command.Be32(28)};
  absl::Status status = CheckQueue(ring.queue, ring.notify_block, command.Be32(24));
  if (status.ok()) status = WriteQueueResources(command.Be64(8), TxDoorbellOf(ring.queue));
  if (status.ok()) status = data_path_.CreateTx(ring);
  if (status.ok()) tx_queues_.insert(ring.queue);
  return status;
}

absl::Status AdminCommands::CreateRxQueue(const AdminCommand& command) {
  const RxRingConfig ring{.queue = command.Be32(0),
                          .buffer_ring = command.Be64(32),
                          .completion_ring = command.Be64(24),
                          .buffer_entries = command.Be16(48),
                          .completion_entries = command.Be16(44),
                          .buffer_bytes = command.Be16(46),
                          .header_bytes = command.Be16(52),
                          .gro_hw = command.Byte(50) != 0,
                          .notify_block = command.Be32(12)};
  absl::Status status = CheckQueue(ring.queue, ring.notify_block, command.Be32(40));
  if (!status.ok()) return status;
  if (ring.header_bytes > options_.header_buffer_bytes) {
    return absl::OutOfRangeError(absl::StrCat("header buffers of ", ring.header_bytes,
                                              " bytes; the device has offered ",
                                              options_.header_buffer_bytes));
  }
  if (ring.buffer_bytes > options_.buffer_bytes) {
    return absl::OutOfRangeError(absl::StrCat("buffers of ", ring.buffer_bytes,
                                              " bytes; the device has offered ",
                                              options_.buffer_bytes));
  }
  status = WriteQueueResources(command.Be64(16), RxDoorbellOf(ring.queue));
  if (status.ok()) status = data_path_.CreateRx(ring);
  if (status.ok()) rx_queues_.insert(ring.queue);
  return status;
}

absl::Status AdminCommands::DestroyTxQueue(const AdminCommand& command) {
  tx_queues_.erase(command.Be32(0));
  return data_path_.DestroyTx(command.Be32(0));
}

absl::Status AdminCommands::DestroyRxQueue(const AdminCommand& command) {
  rx_queues_.erase(command.Be32(0));
  return data_path_.DestroyRx(command.Be32(0));
}

}  // namespace devmem
