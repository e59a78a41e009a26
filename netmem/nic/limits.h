// SPDX-License-Identifier: Apache-2.0
//
// Every bound of netmem/nic/, with its unit in its name and the assertions that relate them.

#pragma once

#include <cstdint>

#include "netmem/limits.h"

namespace devmem {

inline constexpr uint32_t kQueuesMax = 64;  // Per netdev.

// One poll: enough to spread its cost over, to fetch ahead, and to find frames of one flow that
// others came between; few enough that what it brings is still hot when the application looks at
// it. A poll ends at whichever bound comes first.
inline constexpr uint32_t kBatchFramesMax = 256;
inline constexpr uint32_t kBatchPiecesMax = 512;
inline constexpr uint32_t kBatchPayloadBytesMax = 512u << 10;

// Ethernet 14 + IPv4 with options 60 + TCP with options 60, and room for IPv6 extension headers.
inline constexpr uint32_t kHeaderSlotBytes = 192;

inline constexpr uint32_t kMtuMin = 576;       // RFC 791: what every IPv4 host must accept.
inline constexpr uint32_t kMtuMinIpv6 = 1280;  // RFC 8200 section 5.
inline constexpr uint32_t kMtuMax = 65521;     // The most that a TAP takes.
inline constexpr uint32_t kMtuDefault = 1500;

inline constexpr uint32_t kFlowRulesMax = 4096;  // Per netdev.

// Rules with masks of one device. They are compared one by one for each packet.
inline constexpr uint32_t kMaskedRulesMax = 1024;

// Host memory of one queue through which payload crosses to a device that a NIC cannot write: small
// enough to stay in a second-level cache, large enough for a batch that arrives and some that are
// being copied.
inline constexpr uint64_t kStagingBytesPerQueue = 2ull << 20;

// How soon a worker looks again while copies to a device are on their way: a copy of one batch over
// PCIe takes about as long. It doubles up to the second value while none completes.
inline constexpr int64_t kStagingPollNanosMin = 10'000;
inline constexpr int64_t kStagingPollNanosMax = 1'000'000;

// Frames of one queue that wait for their bytes to arrive on the device. Beyond that, and beyond
// the staging memory, frames wait in the NIC.
inline constexpr uint32_t kStagedFramesMax = 1024;

// Pieces that one frame can need: the runs of a posted window. A poll goes on only while the batch
// has room for as many, so that no frame loses bytes for want of a piece.
inline constexpr uint32_t kFramePiecesMax = kPostedRunsMax;

// The RSS indirection table (Microsoft's and most hardware's size) and its hash key.
inline constexpr uint32_t kRssTableEntries = 128;
inline constexpr uint32_t kRssKeyBytes = 40;

// The in-memory wire: frames that one end can hold, in flight and in its rings together, and the
// most payload of one GSO frame. An IPv4 or IPv6 packet with all TCP options around it stays below
// 64 KiB.
inline constexpr uint32_t kWireSlotsMax = 1u << 20;
inline constexpr uint32_t kWireGsoBytesMax = (64u << 10) - 256;

static_assert(kWireGsoBytesMax + kHeaderSlotBytes <= kFramePayloadBytesMax);
static_assert(kFramePiecesMax <= kBatchPiecesMax);
static_assert(kBatchPiecesMax >= kBatchFramesMax);
static_assert(kStagedFramesMax % kBatchFramesMax == 0 && kStagedFramesMax > 2 * kBatchFramesMax);
static_assert(kHeaderSlotBytes >= 14 + 60 + 60);

}  // namespace devmem
