// SPDX-License-Identifier: Apache-2.0
// The frame that a receiver sends most: an acknowledgment without payload, with a timestamp and
// SACK blocks as they come. It says the same as BuildTcpFrame() (frame_builder.h) would, in a
// fraction of the time, because every checksum comes from the values that are being written. Called
// by the stack on the thread of the worker that sends; allocates nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "netmem/wire/flow_key.h"
#include "netmem/wire/mac_address.h"
#include "netmem/wire/seq_num.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {

// Ethernet, IPv6, and TCP with all its options.
inline constexpr size_t kAckFrameBytesMax = 14 + 40 + 60;

struct AckFields {
  const FlowKey* flow = nullptr;  // `local` is the source; both addresses are of one family.
  SeqNum seq = {};
  SeqNum ack = {};
  uint16_t window = 0;  // As sent: already scaled down.
  uint8_t flags = 0;
  bool has_timestamps = false;
  TcpTimestamps timestamps = {};          // Read only with has_timestamps.
  std::span<const SackBlock> sacks = {};  // At most 4, or 3 beside timestamps.
};

// Bytes of the TCP header that such a frame has.
constexpr uint32_t AckTcpBytes(const AckFields& fields) {
  const uint32_t sack_count = static_cast<uint32_t>(fields.sacks.size());
  return 20 + (fields.has_timestamps ? 12 : 0) + (sack_count != 0 ? 4 + 8 * sack_count : 0);
}

// Writes the frame to `out`, which has kAckFrameBytesMax bytes, and returns its length. Timestamps
// stand between two NOPs and in front of the SACK blocks (RFC 7323 appendix A).
size_t BuildAckFrame(const MacAddress& source, const MacAddress& destination,
                     const AckFields& fields, std::span<uint8_t, kAckFrameBytesMax> out);

// What acknowledgments of one length to one IPv4 peer begin with, Ethernet's and IP's header, and
// what that adds to TCP's checksum: only TCP's own fields remain to be written. Plain data, kept by
// the sender for the peers that it acknowledges most. (IPv6 has a flow label for each connection.)
class AckTemplate {
 public:
  // Whether frames with these fields begin so. `epoch` is the sender's, not 0: while it is the same
  // as when the template was learned, a peer's frames go to the same station.
  bool Fits(uint64_t epoch, const AckFields& fields) const {
    const FlowKey& flow = *fields.flow;
    return ((flow.local.low() ^ local_) | (flow.remote.low() ^ remote_) | flow.local.high() |
            flow.remote.high() | (epoch ^ epoch_) | (AckTcpBytes(fields) ^ tcp_bytes_)) == 0;
  }
  // Takes over the head of `frame`, which BuildAckFrame() made of these. An IPv6 frame leaves
  // nothing that fits.
  void Learn(uint64_t epoch, const AckFields& fields,
             std::span<const uint8_t, kAckFrameBytesMax> frame);
  // What BuildAckFrame() does. The fields fit.
  size_t Build(const AckFields& fields, std::span<uint8_t, kAckFrameBytesMax> out) const;

 private:
  uint64_t local_ = 0;
  uint64_t remote_ = 0;
  uint64_t sum_ = 0;  // Of the pseudo-header, in 16-bit words however wide they were added.
  uint64_t epoch_ = 0;
  uint32_t tcp_bytes_ = 0;
  std::array<uint8_t, 14 + 20> head_{};
};

}  // namespace devmem
