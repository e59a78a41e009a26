// SPDX-License-Identifier: Apache-2.0
//
// A worker and its link: segments become frames, ARP (RFC 826) is asked and answered, pings (RFC
// 792) are answered, and frames that belong to another worker are handed over.

#include <algorithm>

#include "netmem/nic/host_delivery.h"
#include "netmem/stack/worker.h"
#include "netmem/wire/arp.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame_builder.h"

namespace devmem {

void Worker::Emit(const OutSegment& segment) {
  TcpFrameSpec& spec = tx_spec_;
  spec.source_mac = netdev_->info().mac;
  spec.flow = segment.flow;
  spec.seq = segment.seq;
  spec.ack = segment.ack;
  spec.flags = segment.flags;
  spec.ecn = segment.ecn;
  spec.window = segment.window;
  spec.options = segment.options;
  spec.payload_bytes = static_cast<uint32_t>(segment.payload.size());
  const bool gso = segment.gso_segment_bytes != 0;
  spec.checksum = gso ? TcpChecksum::kPseudoHeaderOnly : TcpChecksum::kFull;
  spec.payload_sum = gso || segment.payload.empty() ? 0 : PartialSum(segment.payload);
  const MacAddress* mac = neighbours_.Find(segment.flow.remote);
  std::optional<IpAddress> next_hop;
  if (mac == nullptr) [[unlikely]] {
    next_hop = addresses_->NextHop(segment.flow.remote);
    if (!next_hop.has_value()) {
      ++stats_.no_route;
      return;
    }
    mac = neighbours_.Find(*next_hop);
  }
  spec.destination_mac = mac != nullptr ? *mac : MacAddress();
  std::array<uint8_t, kTcpFrameHeaderBytesMax> buffer;
  TxFrame frame;
  frame.header = std::span(buffer).first(BuildTcpFrame(spec, buffer));
  frame.payload = segment.payload;
  frame.gso_segment_bytes = segment.gso_segment_bytes;
  frame.l4_offset =
      static_cast<uint16_t>(kEthernetHeaderBytes + (segment.flow.local.is_v4() ? 20 : 40));
  if (mac != nullptr) [[likely]] {
    queue_->Transmit(frame);
    return;
  }
  ++stats_.unresolved;
  // A frame with payload is not kept: TCP sends it again.
  if (frame.payload.empty()) neighbours_.Park(*next_hop, frame.header);
  if (neighbours_.MayAsk(*next_hop, now_)) Ask(*next_hop);
}

void Worker::Ask(const IpAddress& next_hop) {
  std::array<uint8_t, 64> buffer;
  const size_t bytes =
      BuildArpRequest(netdev_->info().mac, addresses_->SourceFor(next_hop), next_hop, buffer);
  queue_->Transmit(TxFrame{std::span(buffer).first(bytes), {}});
}

// RFC 826, "Packet Reception": a question for one of our addresses is answered, and what concerns
// us is remembered. `first_hand` is false for a copy that another worker passed on.
void Worker::HandleArp(std::span<const uint8_t> header, bool first_hand, Nanos) {
  const std::optional<ArpPacket> arp = ArpPacket::Parse(header.subspan(kEthernetHeaderBytes));
  if (!arp.has_value() || !addresses_->IsOurs(arp->target_ip()) ||
      addresses_->IsOurs(arp->sender_ip()) || arp->sender_mac().is_multicast()) {
    return;
  }
  neighbours_.Learn(arp->sender_ip(), arp->sender_mac());
  SendParked(arp->sender_ip(), arp->sender_mac());
  if (!first_hand) return;
  if (arp->operation() == kArpRequest) {
    std::array<uint8_t, 64> buffer;
    const size_t bytes = BuildArpReply(header, netdev_->info().mac, buffer);
    if (bytes != 0 && queue_->Transmit(TxFrame{std::span(buffer).first(bytes), {}})) {
      ++stats_.arp_replies;
    }
  }
  RxDescriptor copy;
  copy.header = header;
  copy.headers.frame_bytes_expected = static_cast<uint32_t>(header.size());
  for (uint32_t to = 0; to < rings_->workers(); ++to) {
    if (to != config_.queue) HandOver(copy, rings_->workers(), to);
  }
}

void Worker::SendParked(const IpAddress& address, const MacAddress& mac) {
  while (true) {
    const std::span<uint8_t> frame = neighbours_.TakeParked(address);
    if (frame.empty()) return;
    std::copy_n(mac.bytes().begin(), MacAddress::kBytes, frame.begin());
    queue_->Transmit(TxFrame{frame, {}});
  }
}

void Worker::HandleEcho(const RxDescriptor& frame) {
  if (!addresses_->IsOurs(frame.headers.flow.local)) {
    ++stats_.not_ours;
    return;
  }
  size_t bytes = frame.header.size();
  if (bytes + frame.placed_bytes > echo_in_->size()) return;
  std::copy(frame.header.begin(), frame.header.end(), echo_in_->begin());
  for (const Piece& piece : batch_->PiecesOf(frame)) {
    reader_.CopyOut(piece, 0, std::span(*echo_in_).subspan(bytes, piece.length_bytes));
    bytes += piece.length_bytes;
  }
  const size_t reply = BuildIcmpEchoReply(std::span(*echo_in_).first(bytes), frame.headers,
                                          netdev_->info().mac, *echo_out_);
  if (reply == 0) return;
  if (queue_->Transmit(TxFrame{std::span(*echo_out_).first(reply), {}})) ++stats_.echo_replies;
}

void Worker::HandOver(const RxDescriptor& frame, uint32_t visited, uint32_t to) {
  HandoverRing& ring = rings_->ring(config_.queue, to);
  HandedFrame* slot = ring.Reserve(frame.placed_bytes);
  if (slot == nullptr || frame.header.size() > slot->header.size()) {
    ++stats_.handover_overflow;
    return;
  }
  slot->frame_bytes = frame.headers.frame_bytes_expected;
  slot->header_bytes = static_cast<uint16_t>(frame.header.size());
  slot->visited = static_cast<uint16_t>(visited);
  std::copy(frame.header.begin(), frame.header.end(), slot->header.begin());
  std::span<uint8_t> room = ring.payload(*slot);
  for (const Piece& piece : batch_->PiecesOf(frame)) {
    reader_.CopyOut(piece, 0, room.first(piece.length_bytes));
    room = room.subspan(piece.length_bytes);
  }
  ring.Push(*slot);
  ++stats_.handed_over;
  stats_.handed_over_bytes.Add(frame.placed_bytes);
  rings_->Wake(to);
}

// Payload that came along goes to this worker's host memory, as if its own queue had brought it.
uint32_t Worker::TakeHandedOver(Nanos now) {
  uint32_t frames = 0;
  for (uint32_t from = 0; from < rings_->workers(); ++from) {
    HandoverRing& ring = rings_->ring(from, config_.queue);
    while (const HandedFrame* handed = ring.Front()) {
      RxDescriptor frame;
      frame.header = std::span(handed->header).first(handed->header_bytes);
      frame.headers = ParseFrame(frame.header, handed->frame_bytes);
      batch_->frame_count = 0;
      batch_->piece_count = 0;
      if (frame.headers.kind == FrameKind::kArp) {
        HandleArp(frame.header, false, now);
      } else if (frame.headers.kind == FrameKind::kTcp) {
        // What stayed behind the engine takes as cut off, and the peer sends it again.
        (void)DeliverFromMemory(ring.payload(*handed), host_, *batch_, frame, handed_stats_);
        HandleTcp(frame, handed->visited, now);
      }
      ring.Pop(*handed);
      ++frames;
    }
  }
  return frames;
}

}  // namespace devmem
