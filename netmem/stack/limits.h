// SPDX-License-Identifier: Apache-2.0
//
// Every bound of netmem/stack/, with its unit in its name.

#pragma once

#include <cstdint>

#include "netmem/nic/limits.h"
#include "netmem/tcp/time.h"

namespace devmem {

// Neighbours (address to MAC) that one worker remembers: sets of ways.
inline constexpr uint32_t kNeighbourSets = 256;
inline constexpr uint32_t kNeighbourWays = 4;
inline constexpr Nanos kNeighbourAskInterval =
    1 * kSecond;  // RFC 1122 section 2.3.2.1, RFC 4861 section 7.2.2: at most 1/s.
inline constexpr uint32_t kParkedFrames = 16;  // Waiting for an answer, header-only ones.

// Peers for which a worker keeps the beginning of its acknowledgments ready; a power of two.
inline constexpr uint32_t kAckTemplates = 16;

// Where the flows of a batch are told apart; a power of two. Those that meet in one slot are merged
// less: of 64 flows one in seventeen does.
inline constexpr uint32_t kBatchFlowSlots = 4 * kBatchFramesMax;

// Frames on their way from one worker to another; more are dropped and counted.
inline constexpr uint32_t kHandoverFrames = 2 * kBatchFramesMax;
inline constexpr uint64_t kHandoverBytes = 1ull << 20;  // Of payload, of each pair of workers.

inline constexpr uint64_t kHostBytesPerQueueMin = 2ull * kFramePayloadBytesMax;
inline constexpr uint64_t kHostBytesPerQueueDefault = 8ull << 20;
inline constexpr uint64_t kHostBytesPerQueueMax = 4ull << 30;

// ICMP errors about connections that a worker does not have, which it looks at and passes on within
// a second. The errors of its own connections are not counted.
inline constexpr uint32_t kIcmpStrangersPerSecondMax = 1000;

// A ping's payload that is answered: what fits a frame without fragments.
inline constexpr uint32_t kEchoBytesMax = kMtuMax;

// How soon a worker looks again when frames wait because their memory is away: what brings it back
// wakes nobody.
inline constexpr Nanos kMemoryPollInterval = kMillisecond;

static_assert(kHandoverBytes >= 2 * kFramePayloadBytesMax);
static_assert((kNeighbourSets & (kNeighbourSets - 1)) == 0);

}  // namespace devmem
