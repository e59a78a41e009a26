// SPDX-License-Identifier: Apache-2.0
//
// The virtio-net header that stands before every frame on a TAP: what the kernel says about a
// frame's checksum and segments, and what we say about ours. Used by TapQueue on the worker's
// thread. Layout: linux/virtio_net.h, the legacy form of 10 bytes in the machine's own byte order;
// that file itself is not valid C++.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "netmem/nic/netdev.h"

namespace devmem {

inline constexpr uint32_t kVnetHeaderBytes = 10;  // What TUNSETVNETHDRSZ is told.

// Mirrors struct virtio_net_hdr.
struct VnetFields {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t header_bytes = 0;
  uint16_t gso_segment_bytes = 0;
  uint16_t checksum_start = 0;
  uint16_t checksum_offset = 0;
};
static_assert(sizeof(VnetFields) == kVnetHeaderBytes);

// VIRTIO_NET_HDR_F_* and VIRTIO_NET_HDR_GSO_*.
inline constexpr uint8_t kVnetNeedsChecksum = 1;
inline constexpr uint8_t kVnetDataValid = 2;
inline constexpr uint8_t kVnetGsoNone = 0;
inline constexpr uint8_t kVnetGsoTcpV4 = 1;
inline constexpr uint8_t kVnetGsoTcpV6 = 4;

class VnetHeader {
 public:
  // Reads the first 10 of `bytes`, which has at least 10.
  static VnetHeader Load(const uint8_t* bytes) {
    VnetHeader header;
    std::memcpy(&header.fields_, bytes, kVnetHeaderBytes);
    return header;
  }

  // What goes before `frame`. A super-frame asks the kernel to cut it and to finish each checksum;
  // one whose payload fits into a single segment asks for the checksum only.
  static VnetHeader For(const TxFrame& frame, bool is_v6) {
    VnetHeader header;
    if (frame.gso_segment_bytes == 0) return header;
    VnetFields& fields = header.fields_;
    fields.flags = kVnetNeedsChecksum;
    fields.checksum_start = frame.l4_offset;
    fields.checksum_offset = kTcpChecksumOffset;
    if (frame.payload.size() <= frame.gso_segment_bytes) return header;
    fields.gso_type = is_v6 ? kVnetGsoTcpV6 : kVnetGsoTcpV4;
    fields.gso_segment_bytes = frame.gso_segment_bytes;
    fields.header_bytes = static_cast<uint16_t>(frame.header.size());
    return header;
  }

  // Whether the layer-4 checksum needs no look: the frame has not left this machine and holds only
  // the pseudo-header's sum (NEEDS_CSUM), or somebody summed it before us (DATA_VALID).
  bool checksum_is_good() const {
    return (fields_.flags & (kVnetNeedsChecksum | kVnetDataValid)) != 0;
  }

  // MTU-sized segments that `payload_bytes` bytes of this frame stand for; at least 1.
  uint16_t SegmentCount(uint32_t payload_bytes) const {
    const uint32_t segment_bytes = fields_.gso_segment_bytes;
    if (fields_.gso_type == kVnetGsoNone || segment_bytes == 0) return 1;
    const uint32_t segments = (payload_bytes + segment_bytes - 1) / segment_bytes;
    return static_cast<uint16_t>(std::clamp<uint32_t>(segments, 1, UINT16_MAX));
  }

  const VnetFields& fields() const { return fields_; }

 private:
  static constexpr uint16_t kTcpChecksumOffset = 16;  // RFC 9293 section 3.1.

  VnetFields fields_;
};

}  // namespace devmem
