// SPDX-License-Identifier: Apache-2.0
//
// Every bound of netmem/gvnic/, with its unit in its name and the assertions that relate them.

#pragma once

#include <cstdint>

#include "netmem/nic/limits.h"

namespace devmem {

// Ranges of guest memory that one device may be told of. A PC has about 20; what a guest maps and
// unmaps while its firmware runs never comes near it.
inline constexpr uint32_t kGuestRangesMax = 4096;

// One vfio-user message with its header. Regions are 4 KiB, so nothing sensible is longer; the
// client is told to move no more than kVfioUserTransferBytesMax at a time.
inline constexpr uint32_t kVfioUserMessageBytesMax = 128u << 10;
inline constexpr uint32_t kVfioUserTransferBytesMax = 64u << 10;
// Descriptors that come with one message: eventfds of vectors, or a range's memory.
inline constexpr uint32_t kVfioUserFdsMax = 16;
// Answers that the client does not read. QEMU waits for each one that it asks for.
inline constexpr uint32_t kVfioUserBacklogBytesMax = 1u << 20;
// Messages of one device that are handled before the other devices' turn.
inline constexpr uint32_t kVfioUserMessagesPerTurn = 256;

// Queues in each direction of one device: twice as many and a management vector are far below what
// MSI-X has, and the doorbells fit one page.
inline constexpr uint32_t kGvnicQueuesMax = 16;
inline constexpr uint32_t kGvnicNotifyBlocksMax = 2 * kGvnicQueuesMax;
inline constexpr uint32_t kGvnicVectorsMax = kGvnicNotifyBlocksMax + 1;  // One for management.

// Slots of the admin queue, and so the commands that one doorbell may announce.
inline constexpr uint32_t kAdminQueueSlots = 64;

// What a driver is offered for the size of a ring, in entries, powers of two.
inline constexpr uint32_t kOfferedRingEntriesMin = 64;
inline constexpr uint32_t kOfferedRingEntriesMax = 4096;

// Entries of a ring, a power of two. What a tx completion says of a ring's head has 15 bits.
inline constexpr uint32_t kRingEntriesMin = 2;
inline constexpr uint32_t kRingEntriesMax = 32768;

// A packet to send: data descriptors of an ordinary one, the payload and the segments of a TSO one,
// and its headers, as the DQO format bounds them.
inline constexpr uint32_t kTxDataDescriptorsMax = 10;
inline constexpr uint32_t kTsoPayloadBytesMax = 262143;
inline constexpr uint32_t kTsoSegmentBytesMin = 88;
inline constexpr uint32_t kTsoSegmentBytesMax = 9728;
inline constexpr uint32_t kTsoHeaderBytesMax = 255;
// An ordinary frame: a segment of the largest kind and its headers.
inline constexpr uint32_t kTxFrameBytesMax = kTsoSegmentBytesMax + kTsoHeaderBytesMax;

// What an rx completion has bits for: bytes in one buffer, and bytes of headers. A buffer holds at
// least the smallest Ethernet frame.
inline constexpr uint32_t kRxBufferBytesMin = 64;
inline constexpr uint32_t kRxBufferBytesMax = 16383;
inline constexpr uint32_t kRxHeaderBytesMax = 1023;

// Packets that wait for buffers of one rx queue: several windows of TCP, and no more memory than a
// guest without buffers may cost.
inline constexpr uint32_t kRxHeldPacketsMax = 8192;
inline constexpr uint32_t kRxHeldBytesMax = 16u << 20;

// Flows of one rx queue whose frames are merged at the same time, and what a merged packet may
// reach: the most that IPv4's length counts, for IPv6 as well.
inline constexpr uint32_t kRscContextsMax = 16;
inline constexpr uint32_t kRscIpBytesMax = 65535;

// What one end of a pair of devices can send before the event loop takes it to the other.
inline constexpr uint32_t kPairQueueBytesMax = 64u << 20;

// Of the virtual device's link: from the least that IPv4 asks for to Google's jumbo frames.
inline constexpr uint32_t kGvnicMtuMin = 68;
inline constexpr uint32_t kGvnicMtuMax = 9216;

// Interrupts that a fault holds back, of one device; further ones are not delayed.
inline constexpr uint32_t kDelayedInterruptsMax = 4096;

// What can be on one direction of a wire with faults.
inline constexpr uint32_t kWireFlyingBytesMax = 64u << 20;

// From a TAP: Ethernet with a VLAN tag and the largest IPv4 packet; and how many frames are read
// before the event loop looks at the guest again.
inline constexpr uint32_t kTapPortFrameBytesMax = 65553;
inline constexpr uint32_t kTapBatchFramesMax = 64;

static_assert(kVfioUserTransferBytesMax + 64 <= kVfioUserMessageBytesMax);
static_assert(kGvnicQueuesMax <= kQueuesMax);
static_assert(kRxHeldBytesMax > kTsoPayloadBytesMax + kTsoHeaderBytesMax);
static_assert(kOfferedRingEntriesMin >= kRingEntriesMin);
static_assert(kOfferedRingEntriesMax <= kRingEntriesMax);

}  // namespace devmem
