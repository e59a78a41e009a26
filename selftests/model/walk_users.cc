// SPDX-License-Identifier: Apache-2.0
//
// What the users of a walk do, and whether they are content at its end.

#include <algorithm>
#include <cerrno>

#include "selftests/model/walk_world.h"

namespace devmem::testing {

TcpConnection* WalkWorld::Held(uint32_t side, uint32_t slot) {
  return sides_[side]->engine->Find(users_[side][slot].id);
}

// Packets of an incarnation whose sender is gone. Without TIME-WAIT on the other side nothing
// would keep them out of the next one, and no packet lives that long.
void WalkWorld::ForgetOldPackets(uint32_t slot) {
  for (uint32_t to = 0; to < 2; ++to) {
    bool time_wait = false;
    bool sender_lives = false;
    sides_[to]->engine->VisitConnections([&](const TcpConnection& connection) {
      time_wait |= connection.flow == WalkFlow(to, slot) && connection.state == TcpState::kTimeWait;
    });
    sides_[1 - to]->engine->VisitConnections([&](const TcpConnection& connection) {
      sender_lives |=
          connection.flow == WalkFlow(1 - to, slot) && connection.state != TcpState::kClosed;
    });
    if (time_wait || sender_lives) continue;
    std::erase_if(queues_[to], [&](const Packet& packet) { return packet.slot == slot; });
  }
}

void WalkWorld::Connect(uint32_t side, uint32_t slot) {
  const bool passive = slot == 1 ? side == 0 : slot != 2 && side == 1;
  if (passive) return;
  if (TcpConnection* connection = Held(side, slot)) {
    if (connection->state != TcpState::kClosed) return;
    Detach(side, slot);
  }
  if (sides_[side]->engine->InUse(WalkFlow(side, slot))) return;
  ForgetOldPackets(slot);
  const absl::StatusOr<ConnectionId> id =
      sides_[side]->engine->Connect(WalkFlow(side, slot), bound_[side], now_);
  if (!id.ok()) return;
  users_[side][slot] = User{*id, false};
  const bool nobody_listens = slot == 2 || listeners_[1 - side][slot == 3 ? 1 : 0] == 0;
  if (nobody_listens) model_.Excuse(slot);
}

void WalkWorld::Listen(uint32_t side, uint32_t slot, bool open) {
  ListenerId& listener = listeners_[side][slot == 3 ? 1 : 0];
  TcpEngine& engine = *sides_[side]->engine;
  if (open && listener == 0) {
    constexpr std::array<uint8_t, 16> kAny6 = {};
    const IpAddress any = slot == 3 ? IpAddress::FromV6(kAny6) : IpAddress::FromV4(0);
    listener = engine.Listen(any, 80, 3, bound_[side]).value_or(0);
  } else if (!open && listener != 0) {
    model_.ExcuseAll();
    (void)engine.CloseListener(listener, now_);
    listener = 0;
  }
}

void WalkWorld::Accept(uint32_t side) {
  TcpEngine& engine = *sides_[side]->engine;
  for (const ListenerId listener : listeners_[side]) {
    const std::optional<ConnectionId> id = engine.Accept(listener);
    if (!id.has_value()) continue;
    const uint32_t slot = WalkSlotOf(side, engine.Find(*id)->flow);
    // He had one of the same name: it is over, or its peer would not have come again.
    if (Held(side, slot) != nullptr) Detach(side, slot);
    users_[side][slot] = User{*id, false};
  }
}

void WalkWorld::Send(uint32_t side, uint32_t slot, uint32_t bytes) {
  TcpConnection* connection = Held(side, slot);
  if (connection == nullptr || connection->state == TcpState::kClosed) return;
  const uint32_t stamp = StampOf(side, slot, connection->sender.iss());
  const uint64_t offset = model_.Queued(side, *connection);
  std::vector<uint8_t> data(bytes);
  for (uint32_t i = 0; i < bytes; ++i) data[i] = WalkByte(stamp, offset + i);
  model_.OnQueued(side, *connection, sides_[side]->engine->Send(*connection, data, now_));
}

void WalkWorld::Read(uint32_t side, uint32_t slot, uint64_t bytes_max) {
  TcpConnection* connection = Held(side, slot);
  if (connection == nullptr || connection->receiver.in_order().empty()) return;
  const uint32_t stamp = model_.PeerStamp(side, *connection);
  SeqNum* next = model_.ReadNext(side, *connection);
  const uint64_t read = sides_[side]->Read(*connection, next, bytes_max, stamp);
  model_.OnRead(side, *connection, read);
  outcome_.bytes_read += read;
}

void WalkWorld::End(uint32_t side, uint32_t slot) {
  TcpConnection* connection = Held(side, slot);
  if (connection == nullptr || users_[side][slot].ended) return;
  if (connection->state == TcpState::kClosed) return;
  users_[side][slot].ended = true;
  model_.OnEnded(side, *connection);
  sides_[side]->engine->Shutdown(*connection, now_);
}

void WalkWorld::Abort(uint32_t side, uint32_t slot) {
  TcpConnection* connection = Held(side, slot);
  if (connection == nullptr || connection->state == TcpState::kClosed) return;
  model_.Excuse(slot);
  model_.OnCleared(side, *connection);
  sides_[side]->engine->Abort(*connection, now_);
}

// Unread data makes it an abort.
void WalkWorld::Detach(uint32_t side, uint32_t slot) {
  TcpConnection* connection = Held(side, slot);
  if (connection == nullptr) return;
  model_.Excuse(slot);
  model_.OnEnded(side, *connection);
  if (!connection->receiver.in_order().empty()) model_.OnCleared(side, *connection);
  sides_[side]->engine->Detach(*connection, now_);
  users_[side][slot] = User();
}

void WalkWorld::Unbind(uint32_t side) {
  if (!bound_[side] || !hogged_[side].empty()) return;
  model_.ExcuseAll();
  EngineHarness& h = *sides_[side];
  h.engine->VisitConnections([&](const TcpConnection& connection) {
    if (connection.bound) model_.OnCleared(side, connection);
  });
  h.engine->DetachDevice(now_);
  bound_[side] = false;
  // Its bound listeners went with it.
  for (ListenerId& listener : listeners_[side]) {
    if (listener == 0) continue;
    const absl::Status closed = h.engine->CloseListener(listener, now_);
    (void)closed;
    listener = 0;
  }
}

// About the segment that was sent last, or one that is not in flight.
void WalkWorld::Icmp(uint32_t side, const WalkOp& op) {
  const TcpConnection* connection = Held(side, op.slot);
  if (connection == nullptr) return;
  model_.Excuse(op.slot);
  IcmpError error{.flow = connection->flow, .seq = connection->sender.snd_max() - op.x % 3};
  error.kind = (op.y & 1) != 0 ? IcmpErrorKind::kUnreachable : IcmpErrorKind::kTooBig;
  error.mtu_bytes = op.x;
  error.system_error = EHOSTUNREACH;
  sides_[side]->engine->InputIcmp(error, now_);
}

// Everybody takes what is there and gives it back at once.
void WalkWorld::ServeUsers() {
  for (uint32_t side = 0; side < 2; ++side) {
    Accept(side);
    for (uint32_t slot = 0; slot < kWalkSlots; ++slot) Read(side, slot, UINT64_MAX);
    sides_[side]->Release();
  }
}

bool WalkWorld::AllComplete() {
  for (uint32_t side = 0; side < 2; ++side) {
    for (uint32_t slot = 0; slot < kWalkSlots; ++slot) {
      const TcpConnection* connection = Held(side, slot);
      if (connection == nullptr || connection->state == TcpState::kClosed) continue;
      if (!IsSynchronized(connection->state)) return false;
      if (!model_.Complete(side, *connection)) return false;
    }
    if (sides_[side]->engine->HasPending(listeners_[side][0])) return false;
  }
  return true;
}

bool WalkWorld::AllEnded() {
  for (uint32_t side = 0; side < 2; ++side) {
    for (uint32_t slot = 0; slot < kWalkSlots; ++slot) {
      const TcpConnection* connection = Held(side, slot);
      if (connection == nullptr || connection->state == TcpState::kClosed) continue;
      if (!connection->sender.all_acked()) return false;
      // Whoever waits for a FIN of a peer that is gone, and whose RST was lost, waits for ever.
      if (!HasReceivedFin(connection->state) && model_.HasPeer(side, *connection)) return false;
      if (!model_.Complete(side, *connection)) return false;
    }
  }
  return true;
}

}  // namespace devmem::testing
