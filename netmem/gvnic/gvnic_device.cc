// SPDX-License-Identifier: Apache-2.0
//
// Takes accesses to the three regions apart and passes them on. Runs on the thread of the device.

#include "netmem/gvnic/gvnic_device.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "netmem/gvnic/doorbells.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<GvnicDevice>> GvnicDevice::Create(const GvnicOptions& options,
                                                                 std::function<Nanos()> clock) {
  absl::Status checked = options.Check();
  if (!checked.ok()) return checked;
  return std::unique_ptr<GvnicDevice>(new GvnicDevice(options, std::move(clock)));
}

GvnicDevice::GvnicDevice(const GvnicOptions& options, std::function<Nanos()> clock)
    : options_(options),
      config_(options.revision, 2 * options.queues + 1),
      registers_(options.queues, options.queues),
      interrupts_(2 * options.queues, std::move(clock)),
      data_path_(memory_, [this](uint32_t block) { interrupts_.Raise(block); }),
      admin_commands_(options_, 2 * options.queues, memory_, data_path_),
      admin_queue_(memory_, [this](const AdminCommand& command) {
        return admin_commands_.Execute(command);
      }) {}

uint64_t GvnicDevice::region_bytes(uint32_t region) const {
  if (region == kVfioConfigRegion) return kPciConfigBytes;
  const bool exists = region == kRegisterBar || region == kMsixBar || region == kDoorbellBar;
  return exists ? kBarBytes : 0;
}

void GvnicDevice::ReadRegion(uint32_t region, uint64_t offset, std::span<uint8_t> out) {
  switch (region) {
    case kVfioConfigRegion: return config_.Read(offset, out);
    case kRegisterBar: return registers_.Read(offset, out);
    // The client keeps the MSI-X table itself, and doorbells have nothing to say.
    default: std::fill(out.begin(), out.end(), uint8_t{0});
  }
}

void GvnicDevice::WriteRegion(uint32_t region, uint64_t offset, std::span<const uint8_t> in) {
  switch (region) {
    case kVfioConfigRegion: return config_.Write(offset, in);
    case kRegisterBar: return WriteRegister(offset, in);
    case kDoorbellBar: return WriteDoorbell(offset, in);
    default: return;
  }
}

void GvnicDevice::WriteRegister(uint64_t offset, std::span<const uint8_t> in) {
  switch (registers_.Write(offset, in)) {
    case Registers::Event::kNone: return;
    case Registers::Event::kRun:
      registers_.set_is_reset(false);
      registers_.set_admin_commands_completed(0);
      admin_queue_.Start(registers_.admin_queue_address());
      return;
    case Registers::Event::kReset:
      DropEverything();
      registers_.set_is_reset(true);
      return;
    case Registers::Event::kAdminDoorbell:
      admin_queue_.Announce(registers_.admin_commands_announced());
      registers_.set_admin_commands_completed(admin_queue_.completed());
      return;
  }
}

void GvnicDevice::WriteDoorbell(uint64_t offset, std::span<const uint8_t> in) {
  const std::optional<DoorbellTarget> target = DoorbellAt(offset);
  if (!target || in.size() != kDoorbellBytes) return interrupts_.CountBadDoorbell();
  uint32_t value;
  std::memcpy(&value, in.data(), sizeof(value));
  switch (target->kind) {
    case DoorbellKind::kInterrupt:
      if (target->index >= interrupts_.block_count()) return interrupts_.CountBadDoorbell();
      return interrupts_.Doorbell(target->index, value);
    case DoorbellKind::kTx: return data_path_.TxDoorbell(target->index, value);
    case DoorbellKind::kRx: return data_path_.RxDoorbell(target->index, value);
  }
}

void GvnicDevice::SetVector(uint32_t vector, UniqueFd eventfd) {
  interrupts_.SetVector(vector, std::move(eventfd));
}

void GvnicDevice::ResetDevice() {
  DropEverything();
  config_.Reset();
  registers_.set_is_reset(false);
}

void GvnicDevice::DropEverything() {
  ++resets_;
  admin_queue_.Stop();
  data_path_.Reset();
  admin_commands_.Reset();
  interrupts_.Reset();
  registers_.ForgetAdminQueue();
  registers_.set_reset_requested(false);
}

void GvnicDevice::SetLink(bool up) {
  registers_.set_link_up(up);
  data_path_.SetLinkUp(up);
  interrupts_.RaiseManagement();
}

void GvnicDevice::RequestReset() {
  registers_.set_reset_requested(true);
  interrupts_.RaiseManagement();
}

std::vector<NamedCount> GvnicDevice::statistics() const {
  const InterruptStats& interrupts = interrupts_.stats();
  const AdminQueueStats& admin = admin_queue_.stats();
  std::vector<NamedCount> counts = {
      {"resets", resets_},
      {"memory_ranges", memory_.range_count()},
      {"memory_bytes", memory_.mapped_bytes()},
      {"admin_commands", admin.commands},
      {"admin_refused", admin.refused},
      {"admin_failed_by_fault", admin.failed_by_fault},
      {"admin_bad_doorbells", admin.bad_doorbells},
      {"interrupts_sent", interrupts.sent},
      {"interrupts_management", interrupts.management},
      {"interrupts_coalesced", interrupts.coalesced},
      {"interrupts_dropped", interrupts.dropped},
      {"interrupts_delayed", interrupts.delayed},
      {"interrupt_bad_doorbells", interrupts.bad_doorbells},
      {"flow_rules", data_path_.steering().rules().size()},
  };
  const std::vector<NamedCount> data = data_path_.statistics();
  counts.insert(counts.end(), data.begin(), data.end());
  return counts;
}

}  // namespace devmem
