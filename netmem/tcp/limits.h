// SPDX-License-Identifier: Apache-2.0
// Every bound of netmem/tcp/ in one place, with the assertions that relate them. Sizes have their
// unit in the name; times are Nanos. Where a value departs from its RFC, the comment says why.
#pragma once

#include <cstddef>
#include <cstdint>

#include "netmem/limits.h"
#include "netmem/tcp/time.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

// Maximum segment size, in payload bytes. The default is what a SYN without the option means for
// IPv4 (RFC 9293 section 3.7.1). The minimum is Linux's: a peer that asks for less would make each
// of our segments mostly header.
inline constexpr uint32_t kMssBytesDefault = 536;
inline constexpr uint32_t kMssBytesMin = 88;
inline constexpr uint32_t kMssBytesMaxIpv4 = 65535 - 20 - 20;
inline constexpr uint32_t kMssBytesMaxIpv6 = 65535 - 20;

// The smallest path MTU that an ICMP message may tell: Linux's ip_rt.min_pmtu, and what every IPv6
// link takes (RFC 8200 section 5). Less would let a stranger cut our segments to mostly header.
inline constexpr uint32_t kPathMtuMinIpv4 = 552;
inline constexpr uint32_t kPathMtuMinIpv6 = 1280;

// Retransmission timeout. RFC 6298 (2.4) says that it SHOULD be at least 1 s; we take 200 ms, as
// Linux does, because clocks are fine enough and data centres are fast (RtoTest names the case).
inline constexpr Nanos kRtoMin = 200 * kMillisecond;
inline constexpr Nanos kRtoInitial = 1 * kSecond;
inline constexpr Nanos kRtoMax = 60 * kSecond;  // RFC 6298 (2.5): at least 60 s.
// RFC 6298 (5.7): what data starts with when the handshake had to be sent again.
inline constexpr Nanos kRtoAfterSynLoss = 3 * kSecond;
// The G of RFC 6298 (2.3): the tick of the timer wheel and of our timestamps.
inline constexpr Nanos kClockTick = 1 * kMillisecond;
// The tail loss probe goes two round trips after the last segment, and for a single one leaves the
// peer as long to acknowledge it as RFC 8985 section 7.2 has it, its TLP.max_ack_delay; else the
// timers of both ends some slack, as Linux does.
inline constexpr Nanos kLossProbeAckDelayMax = 200 * kMillisecond;
inline constexpr Nanos kLossProbeSlack = 2 * kClockTick;

// Retransmissions before we give up: about 127 s for a SYN (1 s doubling six times), and the RFC
// 9293 section 3.8.3 R2 of at least 100 s for data (15 minutes and more, as Linux).
inline constexpr uint32_t kSynRetriesMax = 6;
// A SYN-ACK goes again five times, so a half-open connection lasts 63 s; as Linux.
inline constexpr uint32_t kSynAckRetriesMax = 5;
inline constexpr uint32_t kDataRetriesMax = 15;
// With the second retry in vain the neighbour is asked for again.
inline constexpr uint32_t kRetriesBeforeDoubt = 2;

// The longest that an acknowledgment waits for company. RFC 9293 section 3.8.6.3: below 500 ms.
inline constexpr Nanos kDelayedAckMax = 40 * kMillisecond;
// One acknowledgment per batch up to this much payload, then one at once.
inline constexpr uint32_t kAckBatchBytesMax = 256u << 10;
// Segments at the start of a connection that are acknowledged without delay.
inline constexpr uint8_t kQuickAckSegments = 16;
// Acknowledgments after the last segment out of order that go out for every second segment, also
// within a batch. At a loss of one in a hundred and sixteen segments in flight, this is a quarter
// of all segments, and at one in twenty nearly every one.
inline constexpr uint8_t kCarefulAcks = 8;

// 2 MSL (RFC 9293 section 3.4.2 sets MSL to 2 minutes); 60 s as Linux, since no packet of today's
// networks lives longer. FIN-WAIT-2 without anyone left to read is cut off after as long.
inline constexpr Nanos kTimeWaitPeriod = 60 * kSecond;
inline constexpr Nanos kFinWait2Max = 60 * kSecond;

// Timers that expire in one turn; a crowd of them must not keep segments waiting.
inline constexpr uint32_t kTimersPerTurn = 1024;

// Keepalive (RFC 9293 section 3.8.4): off by default, and then not before two idle hours.
inline constexpr Nanos kKeepaliveIdle = 7200 * kSecond;
inline constexpr Nanos kKeepaliveInterval = 75 * kSecond;
inline constexpr uint32_t kKeepaliveProbesMax = 9;

// PAWS (RFC 7323 section 5.5): a remembered timestamp older than this says nothing any more. It
// must lie below half the circle of 2^32 ticks.
inline constexpr Nanos kPawsIdleMax = 24 * 24 * 3600 * kSecond;
// An echo that says more than this was not made by a segment of this connection.
inline constexpr Nanos kRttMax = kRtoMax;

// Holes are what a peer can make us remember: at most this many separate ranges per connection.
inline constexpr uint32_t kReassemblyRangesMax = 256;
inline constexpr size_t kSackBlocksMax = kTcpSackBlocksMax;
// Ranges that a peer has SACKed of what we sent; more are not remembered, and go again.
inline constexpr size_t kScoreboardRangesMax = 64;

// Connections looked at, per segment that finds no memory, for one that holds out-of-order data.
// The segment comes again, and the search goes on where it stopped.
inline constexpr uint32_t kRoomScanMax = 256;

// Connections that wait for window credit and are looked at when memory comes back, per call.
inline constexpr uint32_t kCreditGrantsPerCall = 64;

// RFC 5961 section 7: challenge ACKs of one worker per second, over all connections.
inline constexpr uint32_t kChallengeAcksPerSecondMax = 1000;
// Of one connection, one in this time; also of other answers to segments without payload that are
// not acceptable, or two ends that disagree would answer each other for ever. Linux's
// tcp_invalid_ratelimit.
inline constexpr Nanos kInvalidAnswerInterval = 500 * kMillisecond;

inline constexpr uint8_t kWindowScaleMax = kTcpWindowScaleMax;
inline constexpr uint64_t kWindowBytesMax = uint64_t{65535} << kWindowScaleMax;

// Every connection may be promised this many segments, whatever the ledger says.
inline constexpr uint32_t kWindowFloorSegments = 2;
// A window that is scaled is rounded up to its unit with each acknowledgment, also when it gets no
// new credit. Of what may be promised this part is kept back for that: it lasts for segments of
// seven units and more. New credit for the floor leaves so many units of the pool alone: the
// remnant of a window goes in a few steps.
inline constexpr uint32_t kRoundingDivisor = 8;
inline constexpr uint32_t kRoundingUnits = 4;
// What a connection is promised at the start, and how dynamic right-sizing goes on: twice as much
// when half of it was consumed within a round, half as much when that took four rounds.
inline constexpr uint64_t kWindowStartBytesDefault = 128u << 10;
inline constexpr Nanos kRightSizingRound = 500 * kMillisecond;
// While its peer has so much to go on with, a connection whose user reads leaves it to the next
// acknowledgment to say more.
inline constexpr uint32_t kWindowQuietBytes = 32u << 10;
// The ledger is asked for more when a window has used this part of what it may have.
inline constexpr uint32_t kWindowStepDivisor = 16;
// The perfectly packed payload that the ledger counts as held beside what really is: one slab.
inline constexpr uint64_t kWastePriorBytes = kSlabBytesDefault;
// The largest pool of one ledger: its fixed-point products stay below 2^63.
inline constexpr uint64_t kLedgerCapacityBytesMax = uint64_t{1} << 46;

// Connections of one listener: as many may be half-open, and one more may wait to be accepted.
inline constexpr uint32_t kBacklogDefault = 128;
inline constexpr uint32_t kBacklogMax = 65535;
inline constexpr uint32_t kListenersMax = 4096;  // Of one worker.
// A SYN cookie is valid for one of these to two, so for two minutes at most.
inline constexpr Nanos kSynCookiePeriod = 60 * kSecond;
// Half-open connections together may take this part of the slots: a flood of SYNs leaves the rest
// to others.
inline constexpr uint32_t kHalfOpenSlotsDivisor = 2;

// What we send: a ring that starts small and doubles up to its capacity.
inline constexpr size_t kSendBufferBytesDefault = 256u << 10;
inline constexpr size_t kSendBufferBytesMax = 64u << 20;
inline constexpr size_t kSendBufferBytesFirst = 4096;
// The longest stretch that is in one piece even where the ring wraps: one largest super-frame.
inline constexpr size_t kSendBufferOverlapBytes = 64u << 10;

// Congestion control of what we send, in segments unless the name says bytes.
inline constexpr uint32_t kInitialWindowSegments = 10;  // RFC 6928 section 2.
inline constexpr uint32_t kInitialWindowBytesMax = 14600;
inline constexpr uint32_t kDuplicateAckThreshold = 3;  // RFC 5681 section 3.2.
inline constexpr uint32_t kCongestionWindowBytesMax = 1u << 30;

inline constexpr uint32_t kConnectionsMax = 1u << 24;  // Of one worker.
inline constexpr uint32_t kTimersMax = 1u << 27;       // Of one timer wheel.

// The dynamic port range of RFC 6335 section 6.
inline constexpr uint16_t kEphemeralPortFirst = 49152;
inline constexpr uint16_t kEphemeralPortLast = 65535;

static_assert(kMssBytesMin < kMssBytesDefault && kMssBytesDefault < kMssBytesMaxIpv4);
static_assert(kMssBytesMin + 20 + 20 + 12 < kPathMtuMinIpv4);
static_assert(kRtoMin <= kRtoInitial && kRtoInitial <= kRtoAfterSynLoss);
static_assert(kRtoAfterSynLoss <= kRtoMax && kRtoMax >= 60 * kSecond);
static_assert(kClockTick < kDelayedAckMax && kDelayedAckMax < 500 * kMillisecond);
static_assert(kDelayedAckMax < kRtoMin, "a peer as patient as us must not time out on our delay");
static_assert(kPawsIdleMax < (int64_t{1} << 31) * kClockTick, "half the timestamp circle");
static_assert(kRttMax < kPawsIdleMax);
static_assert(kWindowBytesMax < uint64_t{1} << 30, "RFC 7323 section 2.3");
static_assert(kWindowFloorSegments * kMssBytesMaxIpv6 < kWindowBytesMax);
static_assert(kAckBatchBytesMax <= kWindowBytesMax);
static_assert(kWindowStartBytesDefault >= 65535, "a handshake promises as much");
static_assert(kBindingBytesMax <= kLedgerCapacityBytesMax);
static_assert(kBacklogDefault <= kBacklogMax && kBacklogMax <= kConnectionsMax);
static_assert(kSendBufferBytesFirst <= kSendBufferBytesDefault);
static_assert(kSendBufferBytesDefault <= kSendBufferBytesMax);
static_assert(kSendBufferBytesMax < kCongestionWindowBytesMax);
static_assert(kCongestionWindowBytesMax <= uint32_t{1} << 30, "additions stay below 2^31");
static_assert(kEphemeralPortFirst < kEphemeralPortLast);

}  // namespace devmem
