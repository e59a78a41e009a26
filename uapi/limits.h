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

static_assert(kHostSlotBytes >= 2 * kKernelReceiveBytesMax);
static_assert(kControlMessagesMax >= kKernelReceiveBytesMax / kKernelNetIovBytes);

}  // namespace devmem
