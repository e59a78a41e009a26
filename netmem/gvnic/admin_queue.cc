// SPDX-License-Identifier: Apache-2.0
//
// Walks the admin queue's ring. Runs on the thread of the device.

#include "netmem/gvnic/admin_queue.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "netmem/gvnic/admin_commands.h"

namespace devmem {
namespace {

constexpr uint32_t kPassed = 1;

// The driver's error words are numbered in an order of their own.
constexpr uint32_t ErrorWord(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kAborted: return 0xfffffff0;
    case absl::StatusCode::kAlreadyExists: return 0xfffffff1;
    case absl::StatusCode::kCancelled: return 0xfffffff2;
    case absl::StatusCode::kDataLoss: return 0xfffffff3;
    case absl::StatusCode::kDeadlineExceeded: return 0xfffffff4;
    case absl::StatusCode::kFailedPrecondition: return 0xfffffff5;
    case absl::StatusCode::kInternal: return 0xfffffff6;
    case absl::StatusCode::kInvalidArgument: return 0xfffffff7;
    case absl::StatusCode::kNotFound: return 0xfffffff8;
    case absl::StatusCode::kOutOfRange: return 0xfffffff9;
    case absl::StatusCode::kPermissionDenied: return 0xfffffffa;
    case absl::StatusCode::kUnauthenticated: return 0xfffffffb;
    case absl::StatusCode::kResourceExhausted: return 0xfffffffc;
    case absl::StatusCode::kUnavailable: return 0xfffffffd;
    case absl::StatusCode::kUnimplemented: return 0xfffffffe;
    default: return 0xffffffff;
  }
}

}  // namespace

uint32_t AdminQueue::StatusWord(const absl::Status& status) {
  return status.ok() ? kPassed : ErrorWord(status.code());
}

void AdminQueue::Start(uint64_t address) {
  address_ = address;
  completed_ = 0;
}

void AdminQueue::Announce(uint32_t announced) {
  const uint32_t count = announced - completed_;
  if (!address_ || count > kAdminQueueSlots) {
    ++stats_.bad_doorbells;
    return;
  }
  for (uint32_t i = 0; i < count && address_; ++i) {
    const uint32_t slot = completed_ % kAdminQueueSlots;
    uint8_t* const bytes = memory_.Write(*address_ + slot * kAdminSlotBytes, kAdminSlotBytes);
    if (bytes == nullptr) {
      ++stats_.bad_doorbells;
      return;
    }
    AdminCommand command;
    command.opcode = LoadBe32(bytes);
    std::memcpy(command.body.data(), bytes + kAdminSlotBytes - kAdminBodyBytes, kAdminBodyBytes);
    const absl::Status status = ExecuteOne(command);
    // A fault may have stopped the queue, whose driver then waits in vain, as it is meant to.
    if (!address_) return;
    StoreBe32(bytes + sizeof(uint32_t), StatusWord(status));
    ++completed_;
  }
}

absl::Status AdminQueue::ExecuteOne(const AdminCommand& command) {
  const uint32_t opcode = EffectiveOpcode(command);
  ++stats_.commands;
  ++executed_[opcode];
  if (std::optional<absl::Status> injected = TakeFault(opcode)) return *injected;
  absl::Status status = execute_(command);
  if (!status.ok()) {
    ++stats_.refused;
    last_refusal_ =
        absl::StrCat(AdminOpcodeName(opcode), " (0x", absl::Hex(opcode), "): ", status.message());
  }
  return status;
}

std::optional<absl::Status> AdminQueue::TakeFault(uint32_t opcode) {
  if (!fault_ || (fault_->opcode && *fault_->opcode != opcode)) return std::nullopt;
  if (fault_->nth > 1) {
    --fault_->nth;
    return std::nullopt;
  }
  ++stats_.failed_by_fault;
  absl::Status status(fault_->status, "a fault that was asked for");
  if (fault_->never_answered) address_.reset();
  if (--fault_->count == 0) fault_.reset();
  return status;
}

}  // namespace devmem
