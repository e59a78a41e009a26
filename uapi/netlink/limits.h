// SPDX-License-Identifier: Apache-2.0
//
// Every bound of uapi/netlink/, with its unit in its name.

#pragma once

#include <cstddef>
#include <cstdint>

namespace devmem {

// How long one receive waits for the kernel. It answers while the request is being sent, so only a
// kernel that is stuck reaches this.
inline constexpr int kNetlinkTimeoutMillis = 30'000;

// How long a link may take to come back after its driver made rings anew, before it counts as lost.
// Waited for only after a binding was refused.
inline constexpr int kCarrierMillisMax = 500;

// A dump during which something changed is taken again, so many times in all.
inline constexpr uint32_t kDumpAttemptsMax = 8;

// Messages of one answer: far more than all queues of all devices of a large machine.
inline constexpr uint32_t kNetlinkMessagesMax = 1u << 20;

// What one netlink message of ours may hold: a table of 8,192 queues, and room.
inline constexpr size_t kNetlinkRequestBytesMax = 64u << 10;

// Entries of one RSS table, and rules of one NIC, that are read.
inline constexpr uint32_t kRssTableEntriesMax = 8192;
inline constexpr uint32_t kNtupleRulesMax = 65536;

// A journal is read as a whole: an RSS table of the largest size, and thousands of rules.
inline constexpr size_t kJournalBytesMax = 4u << 20;

static_assert(kRssTableEntriesMax * sizeof(uint32_t) < kNetlinkRequestBytesMax);

}  // namespace devmem
