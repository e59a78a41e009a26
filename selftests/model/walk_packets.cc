// SPDX-License-Identifier: Apache-2.0
//
// The packets of a walk on their way, and what may happen to them there.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "selftests/model/walk_world.h"

namespace devmem::testing {
namespace {

// Packets of the walk live no longer than the MSL that TIME-WAIT reckons with.
constexpr Nanos kPacketLifeMax = kTimeWaitPeriod / 2 - 5 * kSecond;
constexpr size_t kSplitPartsMax = 64;

}  // namespace

void WalkWorld::DoPacket(const WalkOp& op) {
  std::vector<Packet>& queue = queues_[op.side];
  if (queue.empty()) return;
  if (op.kind == WalkOpKind::kBurst) return Burst(op.side, op.x);
  const size_t index = std::min<size_t>(op.x, queue.size() - 1);
  const auto at = queue.begin() + static_cast<ptrdiff_t>(index);
  switch (op.kind) {
    case WalkOpKind::kDrop: queue.erase(at); return;
    case WalkOpKind::kSplit: return Split(op.side, index, op.y >> 1, (op.y & 1) != 0);
    case WalkOpKind::kMerge: return Merge(op.side, index, op.y);
    case WalkOpKind::kDuplicate: {
      const Packet copy = *at;
      Deliver(op.side, copy, std::nullopt, true);
      return Flush(op.side);
    }
    default: break;
  }
  const Packet packet = std::move(*at);
  queue.erase(at);
  if (op.kind == WalkOpKind::kCut) {
    Deliver(op.side, packet, op.y, true);
    return Flush(op.side);
  }
  Deliver(op.side, packet, std::nullopt, (op.y & 2) == 0, (op.y & 4) != 0);
  if ((op.y & 1) != 0) Flush(op.side);
}

void WalkWorld::Burst(uint32_t side, size_t count) {
  std::vector<Packet>& queue = queues_[side];
  count = std::min(count, queue.size());
  std::vector<Packet> taken(std::make_move_iterator(queue.begin()),
                            std::make_move_iterator(queue.begin() + static_cast<ptrdiff_t>(count)));
  queue.erase(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(count));
  for (const Packet& packet : taken) Deliver(side, packet, std::nullopt, true);
  Flush(side);
}

void WalkWorld::Deliver(uint32_t side, const Packet& packet, std::optional<uint32_t> memory_bytes,
                        bool device, bool marked) {
  ++outcome_.steps;
  EngineHarness& h = *sides_[side];
  const SeenSegment& seen = packet.seen;
  Segment segment{.seq = seen.seq, .ack = seen.ack, .flags = seen.flags, .window = seen.window};
  segment.flow = {seen.flow.remote, seen.flow.local, seen.flow.remote_port, seen.flow.local_port};
  segment.options = seen.options;
  if (marked) segment.ecn = kEcnCongestion;
  const uint32_t bytes = static_cast<uint32_t>(seen.payload.size());
  if (seen.gso_segment_bytes != 0) {
    segment.segment_count =
        static_cast<uint16_t>((bytes + seen.gso_segment_bytes - 1) / seen.gso_segment_bytes);
  }
  uint32_t stamp = packet.stamp;
  if (options_.mutant == WalkMutant::kSwapStreams && bytes > 100 && ++mutations_ % 16 == 0) ++stamp;
  if (bytes != 0) {
    const uint32_t fitting = std::min(bytes, memory_bytes.value_or(bytes));
    if (fitting != 0) h.AddPayload(&segment, fitting, device && bound_[side], stamp);
    segment.cut = segment.payload_bytes < bytes;
  }
  if (segment.cut) model_.set_starving(side, true);
  if (options_.mutant == WalkMutant::kShiftPayload && bytes > 100 && ++mutations_ % 16 == 0) {
    ++segment.seq;
  }
  if (options_.mutant == WalkMutant::kRaiseAck && segment.ack.value() % 7 == 3) ++segment.ack;
  if (options_.mutant == WalkMutant::kForgedReset && ++mutations_ % 8 == 0) {
    segment.flags = kTcpRst | kTcpAck;
  }
  model_.OnDelivered(side, segment.flow, now_);
  h.Input(segment);
  flushed_[side] = false;
}

// What a router or a NIC without segmentation would make of it.
void WalkWorld::Split(uint32_t side, size_t index, uint32_t bytes, bool reversed) {
  std::vector<Packet>& queue = queues_[side];
  const Packet whole = queue[index];
  const std::vector<uint8_t>& payload = whole.seen.payload;
  bytes = std::max<uint32_t>(bytes, static_cast<uint32_t>(payload.size() / kSplitPartsMax) + 1);
  if (payload.size() <= bytes || (whole.seen.flags & kTcpSyn) != 0) return;
  std::vector<Packet> parts;
  for (size_t at = 0; at < payload.size(); at += bytes) {
    Packet part = whole;
    const size_t end = std::min<size_t>(payload.size(), at + bytes);
    part.seen.payload.assign(payload.begin() + static_cast<ptrdiff_t>(at),
                             payload.begin() + static_cast<ptrdiff_t>(end));
    part.seen.seq += static_cast<uint32_t>(at);
    part.seen.gso_segment_bytes = 0;
    if (end != payload.size()) part.seen.flags = static_cast<uint8_t>(part.seen.flags & ~kTcpFin);
    parts.push_back(std::move(part));
  }
  if (reversed) std::reverse(parts.begin(), parts.end());
  queue.erase(queue.begin() + static_cast<ptrdiff_t>(index));
  queue.insert(queue.begin() + static_cast<ptrdiff_t>(index), parts.begin(), parts.end());
}

// What a NIC that coalesces would make of them.
void WalkWorld::Merge(uint32_t side, size_t index, uint32_t bytes_max) {
  std::vector<Packet>& queue = queues_[side];
  SeenSegment& first = queue[index].seen;
  const auto plain = [](const SeenSegment& seen) {
    return !seen.payload.empty() && (seen.flags & ~kTcpPsh) == kTcpAck;
  };
  if (!plain(first)) return;
  uint32_t segment_bytes = static_cast<uint32_t>(first.payload.size());
  if (first.gso_segment_bytes != 0) segment_bytes = first.gso_segment_bytes;
  while (index + 1 < queue.size()) {
    const SeenSegment& next = queue[index + 1].seen;
    const SeqNum end = first.seq + static_cast<uint32_t>(first.payload.size());
    const size_t together = first.payload.size() + next.payload.size();
    if (queue[index + 1].slot != queue[index].slot || !plain(next) || next.seq != end ||
        together > std::min<size_t>(bytes_max, kFramePayloadBytesMax)) {
      break;
    }
    first.payload.insert(first.payload.end(), next.payload.begin(), next.payload.end());
    first.ack = next.ack;
    first.window = next.window;
    first.options = next.options;
    first.gso_segment_bytes = static_cast<uint16_t>(segment_bytes);
    queue.erase(queue.begin() + static_cast<ptrdiff_t>(index) + 1);
  }
}

void WalkWorld::DropOld() {
  for (std::vector<Packet>& queue : queues_) {
    std::erase_if(queue,
                  [&](const Packet& packet) { return now_ - packet.sent_at > kPacketLifeMax; });
  }
}

uint32_t WalkWorld::StampOfPacket(uint32_t side, const SeenSegment& seen) {
  const uint32_t slot = WalkSlotOf(side, seen.flow);
  if ((seen.flags & kTcpSyn) != 0) iss_[side][slot] = seen.seq;
  sides_[side]->engine->VisitConnections([&](const TcpConnection& connection) {
    if (connection.flow == seen.flow && connection.state != TcpState::kClosed) {
      iss_[side][slot] = connection.sender.iss();
    }
  });
  return StampOf(side, slot, iss_[side][slot]);
}

// One lie now and then, where the script happens to be.
void WalkWorld::Mutate(const WalkOp& op) {
  EngineHarness& h = *sides_[op.side];
  TcpConnection* connection = Held(op.side, op.slot);
  if (connection == nullptr || connection->state != TcpState::kEstablished) return;
  const ReceiveMemory memory{const_cast<ReassemblyRanges*>(&h.engine->ranges()), h.store.get()};
  switch (options_.mutant) {
    case WalkMutant::kLoseAcked:
      if (connection->receiver.in_order().bytes() > 10 && ++mutations_ == 1) {
        h.store->DropBack(connection->receiver.in_order(), 1);
      }
      return;
    case WalkMutant::kLoseSacked:
      if (!connection->receiver.reassembly().empty() && ++mutations_ == 3) {
        connection->receiver.ClearOutOfOrder(memory);
      }
      return;
    case WalkMutant::kLeakPiece:
      if (++mutations_ == 5) (void)h.device->Alloc();
      return;
    case WalkMutant::kMoveEdgeLeft:
      if (connection->receiver.outstanding_bytes() > 10 && ++mutations_ == 5) {
        connection->receiver.Extend(connection->receiver.outstanding_bytes() - 1);
      }
      return;
    case WalkMutant::kStopTimer: connection->set_deadline(kTimerRetransmit, kNever); return;
    default: return;
  }
}

const char* ToString(WalkMutant mutant) {
  constexpr const char* kNames[] = {"None",      "ShiftPayload", "SwapStreams", "RaiseAck",
                                    "LoseAcked", "LoseSacked",   "LeakPiece",   "MoveEdgeLeft",
                                    "StopTimer", "NoTimers",     "ForgedReset"};
  static_assert(std::size(kNames) == static_cast<size_t>(WalkMutant::kCount));
  return kNames[static_cast<size_t>(mutant)];
}

}  // namespace devmem::testing
