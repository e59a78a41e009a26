// SPDX-License-Identifier: Apache-2.0
//
// The admin queue's ring: takes commands out of the guest's memory when the doorbell announces
// them, has each executed, writes its status back and counts it as done. What commands mean is
// admin_commands.h. Here is also the place where a test makes commands fail. Runs inside the
// doorbell's write, on the thread of the device, so that the driver finds its answer at the first
// look. Linux, drivers/net/ethernet/google/gve/gve_adminq.h.

#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "netmem/gvnic/guest_memory.h"
#include "netmem/gvnic/limits.h"
#include "netmem/wire/byte_order.h"

namespace devmem {

inline constexpr uint32_t kAdminSlotBytes = 64;
inline constexpr uint32_t kAdminQueueBytes = kAdminQueueSlots * kAdminSlotBytes;
inline constexpr uint32_t kAdminBodyBytes = kAdminSlotBytes - 8;

// One command, copied out of the guest's reach before anything of it is judged.
struct AdminCommand {
  uint32_t opcode = 0;
  std::array<uint8_t, kAdminBodyBytes> body = {};

  // Fields of the body, by their offsets in it.
  uint8_t Byte(size_t offset) const { return body[offset]; }
  uint16_t Be16(size_t offset) const { return LoadBe16(&body[offset]); }
  uint32_t Be32(size_t offset) const { return LoadBe32(&body[offset]); }
  uint64_t Be64(size_t offset) const { return LoadBe64(&body[offset]); }
};

// Which commands fail, and how: `count` of them from the `nth` on that this fault concerns.
struct AdminFault {
  std::optional<uint32_t> opcode = std::nullopt;  // Only commands with it; of 0xff the inner one.
  uint64_t nth = 1;
  uint64_t count = 1;
  absl::StatusCode status = absl::StatusCode::kInternal;  // kOk: done, and nothing happens.
  bool never_answered = false;  // The queue stands still from then on, until the next reset.
};

struct AdminQueueStats {
  uint64_t commands = 0;
  uint64_t refused = 0;  // For what they say.
  uint64_t failed_by_fault = 0;
  uint64_t bad_doorbells = 0;  // More commands announced than the ring has slots, or no ring.
};

class AdminQueue {
 public:
  using Execute = std::function<absl::Status(const AdminCommand& command)>;

  // `memory` outlives this object.
  AdminQueue(GuestMemory& memory, Execute execute)
      : memory_(memory), execute_(std::move(execute)) {}

  // Commands are in the page at `address` from now on, and none has been executed.
  void Start(uint64_t address);
  // No commands from now on, as before the first Start().
  void Stop() { address_.reset(), completed_ = 0; }

  // Executes what the driver has announced: `announced` commands in all since Start(), modulo 2^32.
  void Announce(uint32_t announced);
  uint32_t completed() const { return completed_; }

  // Replaces the fault before. Its count begins now.
  void SetFault(const AdminFault& fault) { fault_ = fault; }
  void ClearFault() { fault_.reset(); }
  bool has_fault() const { return fault_.has_value(); }

  const AdminQueueStats& stats() const { return stats_; }
  // How often each opcode was executed, inner opcodes of extended commands included.
  const std::map<uint32_t, uint64_t>& executed() const { return executed_; }
  const std::string& last_refusal() const { return last_refusal_; }

  // What the driver reads as a command's status.
  static uint32_t StatusWord(const absl::Status& status);

 private:
  absl::Status ExecuteOne(const AdminCommand& command);
  // The status by which a fault answers this command, or nothing.
  std::optional<absl::Status> TakeFault(uint32_t opcode);

  GuestMemory& memory_;
  const Execute execute_;
  std::optional<uint64_t> address_;  // Nothing: stopped.
  uint32_t completed_ = 0;
  std::optional<AdminFault> fault_;
  AdminQueueStats stats_;
  std::map<uint32_t, uint64_t> executed_;
  std::string last_refusal_;
};

}  // namespace devmem
