// SPDX-License-Identifier: Apache-2.0
//
// Cuts super-frames into the frames that they stand for, as a NIC with TSO does before the wire.
// Called by the data path for queues without hardware GRO and by ports that take no super-frames,
// on the thread of the device. RFC 9293 section 3.8, RFC 3168 section 6.1.2 (CWR), and
// Linux, Documentation/networking/segmentation-offloads.rst.

#pragma once

#include <vector>

#include "netmem/gvnic/port.h"

namespace devmem {

// The frames of a packet, in order: itself if it is an ordinary frame. Nothing if it claims to be a
// super-frame and is none: no TCP or UDP, or headers that end elsewhere.
std::vector<Packet> CutIntoFrames(Packet packet);

}  // namespace devmem
