// SPDX-License-Identifier: Apache-2.0
//
// Receive coalescing (RSC, what Linux calls HW-GRO) of one rx queue of a virtual gVNIC: TCP frames
// that arrive one by one and continue each other become one packet, which the guest's driver turns
// into a super-frame again. The rx ring offers it every packet of a queue with hardware GRO, on
// the thread of the device. What may be merged is what Linux's own GRO merges (net/ipv4/
// tcp_offload.c, net/ipv4/af_inet.c), so that cutting the packet gives back the frames; what the
// driver is told is of gve_rx_dqo.c: one segment size, of which only the last segment falls short.
//
//   frame -> is it plain TCP data? -> does it continue its flow's packet? -> appended
//              no: ends the flow's packet, passes   no: ends it, begins another

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "netmem/gvnic/data_path_stats.h"
#include "netmem/gvnic/ring_config.h"
#include "netmem/gvnic/rx_packet.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

// Where packets go from here: the rx ring.
class RxSink {
 public:
  // Buffers that a packet would find now; 0 while others wait before it.
  virtual uint32_t free_buffers() const = 0;
  virtual void Take(RxPacket packet) = 0;

 protected:
  ~RxSink() = default;
};

// Why a packet grows no more. Each has a count in DataPathStats.
enum class RscEnd : uint8_t {
  kPush,         // Its last segment asks for delivery.
  kSegmentSize,  // Its last segment fell short, or the next one is longer than its segments.
  kOrder,        // The next segment does not begin where it ends.
  kHeaders,      // The next segment says something else in its headers.
  kNotData,      // What came next in its flow is no plain data: an acknowledgment, a FIN, damage.
  kFull,         // The next segment exceeds what IP can count, or the buffers that are there.
  kEvicted,      // Another flow needed its place.
  kBatch,        // The end of the burst.
  kStop,         // The queue is being destroyed.
};

// Invariants:
//   1. Packets of a flow reach the sink in the order in which they were offered.
//   2. Nothing is kept beyond EndAll(), and so beyond the burst in which it arrived.
//   3. Every frame of a merged packet had a verified checksum; the packet's own is right as well.
//   4. A merged packet finds its buffers, or needs no more of them than its first frame does alone.
class RxCoalescer {
 public:
  // All outlive this object.
  RxCoalescer(const RxRingConfig& queue, DataPathStats& stats, RxSink& sink);

  // Takes a packet: merged with what came before, or kept as the beginning of a merge, or passed.
  void Offer(RxPacket packet);
  // Passes on everything that is kept.
  void EndAll(RscEnd why);

  // Frames that are kept.
  uint64_t open_frames() const;

 private:
  // A packet that may still grow, and what the next frame of its flow must be.
  struct Context {
    RxPacket packet;
    uint32_t segment_bytes = 0;  // Payload of each frame so far.
    uint32_t frame_count = 1;
    SeqNum next_seq = {};
    uint16_t last_id = 0;                  // Of IPv4: the last frame's identification.
    std::optional<uint16_t> id_step = {};  // How far it went from frame to frame.
    uint64_t used = 0;                     // The time of the last frame, counted in frames.
  };

  std::optional<size_t> Find(const RxPacket& packet) const;
  std::optional<RscEnd> WhyNot(const Context& context, const RxPacket& packet) const;
  bool HasRoom(const Context& context, const RxPacket& packet) const;
  void Append(Context& context, const RxPacket& packet);
  void Open(RxPacket packet);
  size_t LeastUsed() const;
  void Pass(RxPacket packet);
  void EndFor(uint32_t buffers);
  void End(size_t index, RscEnd why);

  const RxRingConfig& queue_;
  DataPathStats& stats_;
  RxSink& sink_;
  std::vector<Context> open_;  // At most kRscContextsMax, in no order.
  uint32_t promised_ = 0;      // Buffers that the open packets need.
  uint64_t now_ = 0;           // Frames offered.
};

}  // namespace devmem
