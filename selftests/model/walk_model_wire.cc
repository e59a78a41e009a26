// SPDX-License-Identifier: Apache-2.0
//
// The names of a walk's streams, and what the model checks on each segment while it is emitted.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "selftests/model/walk_model.h"
#include "selftests/model/walk_script.h"

namespace devmem::testing {
namespace {

constexpr Nanos kPatienceMin = 100 * kSecond;

}  // namespace

FlowKey WalkFlow(uint32_t side, uint32_t slot) {
  const bool v6 = slot == 3;
  std::array<uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
  const auto address = [&](uint8_t last) {
    bytes[15] = last;
    return v6 ? IpAddress::FromV6(bytes) : IpAddress::FromV4(0xc0000200u + last);
  };
  const IpAddress a = address(1);
  const IpAddress b = address(2);
  const uint16_t port_a = static_cast<uint16_t>(slot == 1 ? 80 : 1000 + slot);
  const uint16_t port_b = static_cast<uint16_t>(slot == 1 || slot == 2 ? 2000 + slot : 80);
  return side == 0 ? FlowKey{a, b, port_a, port_b} : FlowKey{b, a, port_b, port_a};
}

uint32_t WalkSlotOf(uint32_t side, const FlowKey& flow) {
  for (uint32_t slot = 0; slot < kWalkSlots; ++slot) {
    if (WalkFlow(side, slot) == flow) return slot;
  }
  return kWalkSlots;
}

uint32_t StampOf(uint32_t side, uint32_t slot, SeqNum iss) {
  uint64_t word = uint64_t{iss.value()} << 8 | slot << 1 | side;
  word = (word ^ word >> 23) * 0x9e3779b97f4a7c15;
  return static_cast<uint32_t>(word >> 32);
}

uint8_t WalkByte(uint32_t stamp, uint64_t offset) {
  return static_cast<uint8_t>(offset * 31 + (offset >> 8) + stamp);
}

void WalkModel::OnEmit(uint32_t side, const OutSegment& segment) {
  if ((segment.flags & kTcpSyn) != 0) {
    (void)streams_[StampOf(side, WalkSlotOf(side, segment.flow), segment.seq)];
  }
  if ((segment.flags & kTcpRst) != 0) return EmitReset(side, segment);
  const TcpConnection* connection = Live(side, segment.flow);
  if (connection == nullptr) return;
  EmitPayload(side, *connection, segment);
  if ((segment.flags & kTcpAck) == 0 || connection->state == TcpState::kSynSent) return;
  if (segment.ack != connection->receiver.rcv_nxt()) Fail("lost: an ACK is not of rcv_nxt");
  EmitWindow(side, *connection, segment);
  EmitSacks(side, *connection, segment);
}

void WalkModel::EmitPayload(uint32_t side, const TcpConnection& connection,
                            const OutSegment& segment) {
  const uint32_t slot = WalkSlotOf(side, connection.flow);
  const uint32_t stamp = StampOf(side, slot, connection.sender.iss());
  const Stream& stream = streams_[stamp];
  const uint64_t end = segment.payload.size() + ((segment.flags & kTcpFin) != 0 ? 1u : 0u);
  if (end == 0 || (segment.flags & kTcpSyn) != 0) return;
  const uint32_t offset = segment.seq.value() - (connection.sender.iss() + 1).value();
  if (offset + end > stream.queued + (stream.ended ? 1 : 0)) {
    return Fail(absl::StrCat("stream: ", offset + end, " numbers were sent of ", stream.queued));
  }
  if ((segment.flags & kTcpFin) != 0 && (!stream.ended || offset + end != stream.queued + 1)) {
    return Fail("stream: a FIN is not at the end");
  }
  for (size_t i = 0; i < segment.payload.size(); ++i) {
    if (segment.payload[i] == WalkByte(stamp, offset + i)) continue;
    return Fail(absl::StrCat("stream: byte ", offset + i, " was sent wrong"));
  }
  const uint32_t piece_bytes = segment.gso_segment_bytes != 0
                                   ? segment.gso_segment_bytes
                                   : static_cast<uint32_t>(segment.payload.size());
  if (piece_bytes > connection.sender.mss_bytes()) Fail("stream: a segment exceeds the MSS");
  const TcpConnection* peer = PeerOf(side, connection);
  if (peer == nullptr || segment.payload.empty()) return;
  // A cookie does not remember how much it promised.
  if (sides_[1 - side]->engine->stats().cookies_sent.value() != 0) return;
  const SeqNum data_end = segment.seq + static_cast<uint32_t>(segment.payload.size());
  if (data_end > peer->receiver.right_edge()) Fail("edge: data was sent beyond what was promised");
}

void WalkModel::EmitWindow(uint32_t side, const TcpConnection& connection,
                           const OutSegment& segment) {
  const uint8_t scale = (segment.flags & kTcpSyn) != 0 ? uint8_t{0} : connection.rcv_scale;
  const SeqNum edge = segment.ack + DecodeWindow(segment.window, scale);
  Watch& watch = WatchOf(side, connection);
  if (watch.told && edge < watch.told_edge) Fail("edge: a window was taken back");
  // The FIN has a number of its own, and behind it nothing is promised any more.
  if (!HasReceivedFin(connection.state) && edge > connection.receiver.right_edge()) {
    Fail("edge: more is announced than was promised");
  }
  if (!watch.told || edge > watch.told_edge) watch.told_edge = edge;
  watch.told = true;
}

// The first block may tell of a duplicate (RFC 2883 section 4): it lies below the ACK, or inside
// the second. All others name what is held.
void WalkModel::EmitSacks(uint32_t side, const TcpConnection& connection,
                          const OutSegment& segment) {
  const std::span<const SackBlock> blocks = segment.options.sacks();
  Watch& watch = WatchOf(side, connection);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const SeqRange range{blocks[i].left, blocks[i].right};
    if (range.right <= range.left) return Fail("sack: a block is empty or turned round");
    const bool below = range.right <= segment.ack;
    if (i == 0 && range.left < segment.ack) continue;
    const bool inside = i == 0 && blocks.size() > 1 && blocks[1].left <= range.left &&
                        range.right <= blocks[1].right;
    if (below || !Holds(*sides_[side]->engine, connection, range)) {
      return Fail(absl::StrCat("sack: block ", range.left.value(), "-", range.right.value(),
                               " names what is not held"));
    }
    if (inside) continue;
    if (watch.sacked.size() < 32) watch.sacked.push_back(range);
  }
}

void WalkModel::EmitReset(uint32_t side, const OutSegment& segment) {
  const TcpConnection* connection = Live(side, segment.flow);
  const uint32_t slot = WalkSlotOf(side, segment.flow);
  if (connection == nullptr || slot == kWalkSlots || excused_[slot]) return;
  if (connection->state == TcpState::kSynSent || connection->state == TcpState::kTimeWait) return;
  const Watch& watch = WatchOf(side, *connection);
  if (now_ - watch.quiet_since >= kPatienceMin || now_ - watch.heard_at >= kPatienceMin) return;
  Fail(absl::StrCat("reset: one was sent without a cause in ", ToString(connection->state)));
}

}  // namespace devmem::testing
