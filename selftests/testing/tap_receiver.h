// SPDX-License-Identifier: Apache-2.0
//
// The least receiver that a kernel's TCP will talk to: answers ARP, accepts one connection, takes
// what comes in order and acknowledges each batch. It lets a test of a NIC use a real sender
// without the TCP engine, which stands above the NICs. Same thread as the queue.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "netmem/nic/netdev.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/tcp_header.h"

namespace devmem::testing {

class TapReceiver {
 public:
  static constexpr uint8_t kWindowScale = 9;
  static constexpr uint16_t kWindow = 0x2000;  // 4 MiB, scaled.

  // Listens on every port of `ip`. `queue` outlives the receiver.
  TapReceiver(RxQueue& queue, const MacAddress& mac, const IpAddress& ip)
      : queue_(queue), mac_(mac), ip_(ip) {}

  // Handles one polled batch: the control frames are answered; for each frame whose payload
  // continues the stream, calls `consume(frame)`, which owns its pieces then; for every other,
  // `refuse(frame)`.
  template <typename Consume, typename Refuse>
  void Handle(const RxBatch& batch, Consume consume, Refuse refuse) {
    bool owes_ack = false;
    for (const RxDescriptor& frame : std::span(batch.frames).first(batch.frame_count)) {
      if (frame.headers.kind == FrameKind::kArp) AnswerArp(frame);
      if (frame.headers.kind != FrameKind::kTcp) {
        refuse(frame);
        continue;
      }
      const TcpHeader tcp = *TcpHeader::Parse(frame.header.subspan(frame.headers.l4_offset));
      if (tcp.has(kTcpSyn)) {
        Accept(frame, tcp);
        refuse(frame);
        continue;
      }
      if (tcp.seq() != next_ || frame.placed_bytes == 0) {
        refuse(frame);
      } else {
        next_ = next_ + frame.placed_bytes;
        received_bytes_ += frame.placed_bytes;
        consume(frame);
      }
      if (tcp.has(kTcpFin) && tcp.seq() + frame.headers.payload_bytes == next_) {
        next_ = next_ + 1;
        finished_ = true;
      }
      owes_ack |= frame.headers.payload_bytes > 0 || tcp.has(kTcpFin);
    }
    if (owes_ack) Reply(kTcpAck);
  }

  uint64_t received_bytes() const { return received_bytes_; }
  bool accepted() const { return accepted_; }
  bool finished() const { return finished_; }

 private:
  void AnswerArp(const RxDescriptor& frame) {
    std::array<uint8_t, 64> reply;
    const size_t bytes = BuildArpReply(frame.header, mac_, reply);
    if (bytes > 0) queue_.Transmit({.header = std::span(reply).first(bytes), .payload = {}});
  }

  void Accept(const RxDescriptor& frame, const TcpHeader& tcp) {
    flow_ = frame.headers.flow;
    peer_mac_ = MacAddress::FromBytes(frame.header.subspan(6));
    const TcpOptions offered = ParseTcpOptions(tcp.options());
    next_ = tcp.seq() + 1;
    options_ = {};
    options_.mss = 1460;
    options_.window_scale = kWindowScale;
    if (offered.timestamps) options_.timestamps = TcpTimestamps{1, offered.timestamps->value};
    accepted_ = true;
    Reply(kTcpSyn | kTcpAck);
    options_.mss.reset();
    options_.window_scale.reset();
    sent_ = SeqNum(1);
  }

  void Reply(uint8_t flags) {
    std::array<uint8_t, kTcpFrameHeaderBytesMax> frame;
    TcpFrameSpec spec;
    spec.source_mac = mac_;
    spec.destination_mac = peer_mac_;
    spec.flow = flow_;
    spec.seq = sent_;
    spec.ack = next_;
    spec.flags = flags;
    spec.window = kWindow;
    spec.options = options_;
    const size_t bytes = BuildTcpFrame(spec, frame);
    queue_.Transmit({.header = std::span(frame).first(bytes), .payload = {}});
  }

  RxQueue& queue_;
  const MacAddress mac_;
  const IpAddress ip_;
  MacAddress peer_mac_;
  FlowKey flow_;
  TcpOptions options_;
  SeqNum sent_ = SeqNum(0);
  SeqNum next_ = SeqNum(0);
  uint64_t received_bytes_ = 0;
  bool accepted_ = false;
  bool finished_ = false;
};

}  // namespace devmem::testing
