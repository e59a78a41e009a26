// SPDX-License-Identifier: Apache-2.0
//
// BAR2 of the virtual gVNIC: which doorbell is whose. The admin queue tells the driver these
// numbers, the device looks up what a write means. Doorbells are little endian, 4 bytes each.

#pragma once

#include <cstdint>
#include <optional>

#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/pci_config.h"

namespace devmem {

enum class DoorbellKind { kInterrupt, kTx, kRx };

// Doorbell numbers: blocks from 0, tx queues from 256, rx queues from 512.
inline constexpr uint32_t kTxDoorbellFirst = 256;
inline constexpr uint32_t kRxDoorbellFirst = 512;
inline constexpr uint32_t kDoorbellBytes = 4;
static_assert(kGvnicNotifyBlocksMax <= kTxDoorbellFirst);
static_assert(kTxDoorbellFirst + kGvnicQueuesMax <= kRxDoorbellFirst);
static_assert((kRxDoorbellFirst + kGvnicQueuesMax) * kDoorbellBytes <= kBarBytes);

constexpr uint32_t InterruptDoorbell(uint32_t block) { return block; }
constexpr uint32_t TxDoorbellOf(uint32_t queue) { return kTxDoorbellFirst + queue; }
constexpr uint32_t RxDoorbellOf(uint32_t queue) { return kRxDoorbellFirst + queue; }

struct DoorbellTarget {
  DoorbellKind kind = DoorbellKind::kInterrupt;
  uint32_t index = 0;  // A block or a queue; below the bounds of limits.h, not of one device.
};

// Whose the doorbell at this offset of BAR2 is, or nothing.
constexpr std::optional<DoorbellTarget> DoorbellAt(uint64_t offset) {
  if (offset % kDoorbellBytes != 0 || offset >= kBarBytes) return std::nullopt;
  const auto number = static_cast<uint32_t>(offset / kDoorbellBytes);
  if (number < kGvnicNotifyBlocksMax) return DoorbellTarget{DoorbellKind::kInterrupt, number};
  if (number >= kTxDoorbellFirst && number - kTxDoorbellFirst < kGvnicQueuesMax) {
    return DoorbellTarget{DoorbellKind::kTx, number - kTxDoorbellFirst};
  }
  if (number >= kRxDoorbellFirst && number - kRxDoorbellFirst < kGvnicQueuesMax) {
    return DoorbellTarget{DoorbellKind::kRx, number - kRxDoorbellFirst};
  }
  return std::nullopt;
}

}  // namespace devmem
