// SPDX-License-Identifier: Apache-2.0
//
// A worker and its link: segments become frames, neighbours are asked and answered by ARP (RFC 826)
// and neighbour discovery (RFC 4861), and frames that belong to another worker are handed over.

#include <algorithm>

#include "netmem/nic/host_delivery.h"
#include "netmem/stack/worker.h"
#include "netmem/wire/arp.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame_builder.h"

namespace devmem {
void Worker::Emit(const OutSegment& segment) {
  SendAcks();
  TcpFrameSpec& spec = tx_spec_;
  spec.source_mac = netdev_->info().mac;
  spec.flow = segment.flow;
  spec.seq = segment.seq;
  spec.ack = segment.ack;
  spec.flags = segment.flags;
  spec.ecn = segment.ecn;
  spec.flow_label = FlowLabel(segment.flow);
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
  const IpAddress* source = addresses_->SourceFor(next_hop);
  if (source == nullptr) return;
  std::array<uint8_t, 128> buffer;
  const MacAddress& mac = netdev_->info().mac;
  const size_t bytes = next_hop.is_v4()
                           ? BuildArpRequest(mac, *source, next_hop, buffer)
                           : BuildNeighbourSolicitation(mac, *source, next_hop, buffer);
  queue_->Transmit(TxFrame{std::span(buffer).first(bytes), {}});
}

// RFC 1122 section 2.3.2.1 (4), RFC 4861 section 7.3.1: entries do not age, so it is TCP's silence
// that casts doubt on one. It is used on until there is an answer. What a SYN taught of a peer
// beyond the subnets was the gateway's address, and goes after that.
void Worker::OnUnanswered(const FlowKey& flow) {
  const std::optional<IpAddress> next_hop = addresses_->NextHop(flow.remote);
  if (!next_hop.has_value()) return;
  if (!(*next_hop == flow.remote)) {
    const MacAddress* const gateway = neighbours_.Find(*next_hop);
    if (gateway != nullptr) (void)neighbours_.Hear(flow.remote, MacAddress(*gateway), true);
  }
  if (neighbours_.MayAsk(*next_hop, now_)) Ask(*next_hop);
}

// RFC 826, "Packet Reception": a question for one of our addresses is answered, and what concerns
// us is remembered. Of what is said to others an announcement (RFC 5227 section 3) is heard: who
// has moved, or taken a gateway's address over, may have nothing to ask us. `first_hand` is false
// for a copy that another worker passed on.
void Worker::HandleArp(std::span<const uint8_t> header, bool first_hand) {
  const std::optional<ArpPacket> arp = ArpPacket::Parse(header.subspan(kEthernetHeaderBytes));
  if (!arp.has_value() || arp->sender_mac().is_multicast()) return;
  if (addresses_->IsOurs(arp->sender_ip())) {
    if (first_hand) ++stats_.address_conflicts;
    return;
  }
  const bool announces = arp->sender_ip() == arp->target_ip();
  if (!announces && !addresses_->IsOurs(arp->target_ip())) return;
  if (arp->operation() == kArpRequest && !announces) {
    neighbours_.Learn(arp->sender_ip(), arp->sender_mac());
    SendParked(arp->sender_ip(), arp->sender_mac());
  } else if (neighbours_.Hear(arp->sender_ip(), arp->sender_mac(), true)) {
    SendParked(arp->sender_ip(), arp->sender_mac());
  }
  if (!first_hand) return;
  if (arp->operation() == kArpRequest && !announces) {
    std::array<uint8_t, 64> buffer;
    const size_t bytes = BuildArpReply(header, netdev_->info().mac, buffer);
    if (bytes != 0 && queue_->Transmit(TxFrame{std::span(buffer).first(bytes), {}})) {
      ++stats_.arp_replies;
    }
  }
  RxDescriptor copy;
  copy.header = header;
  copy.headers.frame_bytes_expected = static_cast<uint32_t>(header.size());
  CopyToOthers(copy);
}

// The same for IPv6 (RFC 4861 sections 7.2.3 to 7.2.5). The message is header as a whole.
void Worker::HandleNeighbour(const RxDescriptor& frame, bool first_hand) {
  if (first_hand) ++stats_.neighbour_in;
  const std::optional<NeighbourMessage> message =
      ParseNeighbourMessage(frame.header, frame.headers);
  if (!message.has_value()) {
    ++stats_.neighbour_refused;
    return;
  }
  if (message->is_solicitation) return OnSolicitation(*message, frame, first_hand);
  if (addresses_->IsOurs(message->target)) {
    if (first_hand) ++stats_.address_conflicts;
    return;
  }
  if (!message->link_address.has_value()) return;
  if (neighbours_.Hear(message->target, *message->link_address, message->overrides)) {
    SendParked(message->target, *message->link_address);
  }
  // Whoever asked may be another worker.
  if (first_hand) CopyToOthers(frame);
}

void Worker::OnSolicitation(const NeighbourMessage& message, const RxDescriptor& frame,
                            bool first_hand) {
  if (!addresses_->IsOurs(message.target)) return;
  if (addresses_->IsOurs(message.source)) {
    if (first_hand) ++stats_.address_conflicts;
    return;
  }
  if (message.link_address.has_value()) {
    neighbours_.Learn(message.source, *message.link_address);
    SendParked(message.source, *message.link_address);
  }
  if (!first_hand) return;
  const MacAddress asker =
      message.link_address.value_or(EthernetHeader::Parse(frame.header)->source());
  std::array<uint8_t, 128> buffer;
  const size_t bytes = BuildNeighbourAdvertisement(message, asker, netdev_->info().mac, buffer);
  if (bytes != 0 && queue_->Transmit(TxFrame{std::span(buffer).first(bytes), {}})) {
    ++stats_.neighbour_replies;
  }
  if (message.link_address.has_value()) CopyToOthers(frame);
}

// Neighbours are every worker's business. The copies are for looking only: nobody passes them on.
void Worker::CopyToOthers(const RxDescriptor& frame) {
  for (uint32_t to = 0; to < rings_->workers(); ++to) {
    if (to != config_.queue) HandOver(frame, rings_->workers(), to);
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
    if (!reader_.CopyOut(piece, 0, room.first(piece.length_bytes))) return;
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
      // What stayed behind the engine takes as cut off, and the peer sends it again.
      if (handed->payload_bytes != 0) {
        (void)DeliverFromMemory(ring.payload(*handed), host_, *batch_, frame, handed_stats_);
      }
      HandleHandedOver(frame, handed->visited, now);
      ring.Pop(*handed);
      ++frames;
    }
  }
  return frames;
}

// `visited` is never 0 here.
void Worker::HandleHandedOver(const RxDescriptor& frame, uint32_t visited, Nanos now) {
  switch (frame.headers.kind) {
    case FrameKind::kTcp: HandleTcp(frame, visited, now); return;
    case FrameKind::kArp: HandleArp(frame.header, false); break;
    case FrameKind::kIcmp:
    case FrameKind::kIcmpV6: HandleIcmp(frame, visited, now); break;
    case FrameKind::kOther:
    case FrameKind::kMalformed: break;
  }
  store_.Put(batch_->PiecesOf(frame));
}

}  // namespace devmem
