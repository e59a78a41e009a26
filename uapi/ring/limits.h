// SPDX-License-Identifier: Apache-2.0
//
// Every bound of uapi/ring/, with its unit in its name.

#pragma once

#include <cstdint>

namespace devmem {

// The kernel refuses a longer refill ring (io_uring/zcrx.c).
inline constexpr uint32_t kRefillEntriesMax = 32768;

// Completions that fit before a receive request ends with ENOSPC and is armed again. At 32 bytes
// each this is 256 KiB: what 16 MiB in pieces of 2048 bytes take.
inline constexpr uint32_t kRingCompletions = 8192;

// Requests that are handed to the kernel at once; more cost a system call of their own.
inline constexpr uint32_t kRingRequests = 256;

// The most that one area may be, by the kernel's word.
inline constexpr uint64_t kZcrxAreaBytesMax = 1ull << 40;

}  // namespace devmem
