// SPDX-License-Identifier: Apache-2.0
//
// Every bound of the backends behind the public interface, with its unit in its name and the
// assertions that relate them. Documentation/limits.md has the reasons.

#pragma once

#include <cstdint>

namespace devmem {

// The most that one recvmsg() of the kernel backend takes, in bytes.
inline constexpr uint32_t kKernelReceiveBytesMax = 256u << 10;

// Control messages of one recvmsg(): more than 256 KiB in pages of 4 KiB are, so that streams of
// smaller pieces are received in few calls too.
inline constexpr uint32_t kControlMessagesMax = 512;

// The unit in which a session's host region is handed out and taken back. A call of recvmsg() needs
// contiguous room for all that it may bring, so a slot holds two of the largest.
inline constexpr uint32_t kHostSlotBytes = 512u << 10;

// A frag of the host region for every so many bytes of it, at most.
inline constexpr uint32_t kHostBytesPerToken = 256;

// The kernel binds whole pages: the net_iov of a devmem binding.
inline constexpr uint32_t kKernelNetIovBytes = 4096;

// Chunks of a large area that frags may not hold, because the NIC's ring (1024 on most) and what
// waits in sockets (tcp_rmem's 6 MiB) live on them. Of a small area it is the half.
inline constexpr uint32_t kZcrxReserveChunks = 4096;

// What one connection is let receive at a time: when it has come, and the frags that are held leave
// room, it is let receive as much again. Between the two, an eighth of the area.
inline constexpr uint32_t kZcrxCreditBytesMin = 64u << 10;
inline constexpr uint32_t kZcrxCreditBytesMax = 1u << 20;

// Turns of one Drive(): each hands over requests that the one before made necessary.
inline constexpr uint32_t kZcrxTurnsPerDrive = 4;

// Looks at a ring for the end of a cancelled request before its connection is left to end later.
inline constexpr uint32_t kZcrxTurnsPerCancel = 8;

// Times in a row that recv() may find nothing where the kernel said that bytes lie in host memory.
inline constexpr uint32_t kZcrxHostRefusalsMax = 3;

// How long a queue may need to become ordinary again after its ring was closed, in milliseconds.
inline constexpr uint32_t kZcrxUnbindMilliseconds = 5000;

// The file in which a session publishes its figures: a header, and a record of 192 bytes for each
// queue, the session and its host region. 84 are more than 64 queues need.
inline constexpr uint32_t kStatsRecordsMax = 84;
inline constexpr uint32_t kStatsPageBytes = 16u << 10;

// Files of one folder that are looked at: the folder may be everybody's.
inline constexpr uint32_t kStatsFilesMax = 4096;

// Further looks at records of a page that were just being written, before they are taken as they
// are: their writer may have died.
inline constexpr uint32_t kStatsLooksMax = 64;

// Turns of a busy worker between two times that its figures are published. Before it sleeps they
// always are.
inline constexpr uint32_t kStatsTurnsPerLook = 64;

// What is read of the kernel's list of locks.
inline constexpr uint32_t kLockListBytesMax = 1u << 20;

static_assert(kZcrxCreditBytesMin <= kZcrxCreditBytesMax);
static_assert(kHostSlotBytes >= 2 * kKernelReceiveBytesMax);
static_assert(kControlMessagesMax >= kKernelReceiveBytesMax / kKernelNetIovBytes);

}  // namespace devmem
