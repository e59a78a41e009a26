// SPDX-License-Identifier: Apache-2.0
//
// Every bound of the packetdrill plug-in. packetdrill locks all memory of its process, so pools are
// sized for a few connections, not for a server.

#pragma once

#include <cstddef>
#include <cstdint>

#include "netmem/tcp/time.h"

namespace devmem::packetdrill {

inline constexpr uint64_t kHostPoolBytes = 16u << 20;
inline constexpr uint32_t kHostPieces = 1u << 15;
inline constexpr uint32_t kPlugInConnectionsMax = 1024;

// What a full send buffer may hold at most, whatever SO_SNDBUF or autotuning say.
inline constexpr size_t kPlugInSendBufferBytes = 4u << 20;

// The most payload that the engine plans at once; it leaves as single segments.
inline constexpr uint32_t kGsoBytesMax = 65535 - 320;

// netdev_receive() looks this far ahead for a packet before it says that none comes: past the
// longest back-off of Linux, 120 s.
inline constexpr Nanos kReceiveWaitMax = 130 * kSecond;

// The clock starts here, so that no time of the script is near 0.
inline constexpr Nanos kStartOfTime = 1'000'000 * kSecond;

}  // namespace devmem::packetdrill
