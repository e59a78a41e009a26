// SPDX-License-Identifier: Apache-2.0
//
// Every bound of netmem/, with its unit in its name and the assertions that relate them.

#pragma once

#include <cstdint>

namespace devmem {

inline constexpr uint32_t kNetIovBytesDefault = 4096;
inline constexpr uint32_t kNetIovBytesMin = 2048;      // Holds one MTU-sized segment.
inline constexpr uint32_t kNetIovBytesMax = 2u << 20;  // The kernel's largest niov is a huge page.
inline constexpr uint32_t kSlabBytesDefault = 64u << 10;
inline constexpr uint32_t kSlabNetIovsMax = 1u << 15;  // Its live ones are counted in 16 bits.
inline constexpr uint32_t kSlabBytesMax = 1u << 30;

// The largest payload of one received frame: an IP packet of 65,535 bytes, rounded up.
inline constexpr uint32_t kFramePayloadBytesMax = 64u << 10;

// The room that a pool can be asked to keep posted. With one slab more it still fits 32 bits.
inline constexpr uint32_t kPostBytesMax = 1u << 30;

// Contiguous runs that a posted window can be made of. A window of one largest frame over slabs of
// 64 KiB needs three at most; the slow path may build it from single net_iovs. This many always
// hold a largest frame: 32 of the smallest net_iovs, and what is left of the one under the cursor.
inline constexpr uint32_t kPostedRunsMax = kFramePayloadBytesMax / kNetIovBytesMin + 1;

// The smallest bound range: one largest frame to post and one to keep in reserve.
inline constexpr uint64_t kBindingBytesMin = 2ull * kFramePayloadBytesMax;
inline constexpr uint64_t kBindingBytesMax = 1ull << 40;

// The longest piece that merging makes; longer stretches stay in several.
inline constexpr uint32_t kPieceBytesMax = 1u << 31;

// Bookkeeping entries per net_iov: how many pieces a net_iov may be cut into before the engine
// pushes back. Also the size of the token table.
inline constexpr uint32_t kPiecesPerNetIov = 4;
inline constexpr uint32_t kPiecesMax = 1u << 28;

// Slabs that one slow-path call looks at before it gives up until the next call.
inline constexpr uint32_t kSlowPathSlabsPerCall = 256;

// A token is a lane (which table) above a serial (which frag).
inline constexpr uint32_t kTokenSerialBits = 48;
// Serials of one lane. Skipping occupied slots may go past it, but stays in 48 bits.
inline constexpr uint64_t kTokenSerialsMax = (uint64_t{1} << kTokenSerialBits) - kPiecesMax;

static_assert(kNetIovBytesMin <= kNetIovBytesDefault && kNetIovBytesDefault <= kNetIovBytesMax);
static_assert(kSlabBytesDefault % kNetIovBytesDefault == 0);
static_assert(kSlabBytesDefault / kNetIovBytesMin <= kSlabNetIovsMax);
static_assert(kBindingBytesMax / kNetIovBytesMin < (1ull << 31), "a NetmemRef holds the index");
static_assert(uint64_t{kPostBytesMax} + kSlabBytesMax <= UINT32_MAX, "a window counts in 32 bits");
static_assert(kNetIovBytesMax <= kSlabBytesMax);
static_assert(kPostBytesMax + kSlabBytesMax <= kPieceBytesMax, "a whole window can be one piece");
static_assert(uint64_t{kPieceBytesMax} + kNetIovBytesMax <= UINT32_MAX,
              "where a piece ends, counted from its first netmem, fits 32 bits");
static_assert(
    2ull * kPiecesMax + 2 <= UINT32_MAX,
    "queued and held pieces, the open reference and a cut in progress fit a reference count");

}  // namespace devmem
