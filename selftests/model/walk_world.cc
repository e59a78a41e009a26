// SPDX-License-Identifier: Apache-2.0
//
// Operations, time, and the kind end of every walk.

#include "selftests/model/walk_world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace devmem::testing {
namespace {

// At the end, something must move within this time: the longest retransmission timeout of both
// sides, and a SYN that nobody answers (127 s).
constexpr Nanos kStallMax = 200 * kSecond;
// All of a connection is over by then: keepalive, orphans, TIME-WAIT.
constexpr Nanos kFuneral = 3 * 3600 * kSecond;

constexpr Nanos kHop = kMillisecond;
constexpr Nanos kOpTime = 10 * kMicrosecond;

}  // namespace

WalkOutcome RunWalk(const WalkScript& script, const WalkOptions& options) {
  return WalkWorld(script, options).Run();
}

WalkWorld::WalkWorld(const WalkScript& script, const WalkOptions& options)
    : script_(script),
      options_(options),
      sides_{std::make_unique<EngineHarness>(script.sides[0].ToSetup()),
             std::make_unique<EngineHarness>(script.sides[1].ToSetup())},
      model_({sides_[0].get(), sides_[1].get()}) {
  for (uint32_t side = 0; side < 2; ++side) {
    sides_[side]->sink.observer = [this, side](const OutSegment& segment) {
      model_.OnEmit(side, segment);
    };
  }
  SetNow(now_);
}

WalkOutcome WalkWorld::Run() {
  for (const WalkOp& op : script_.ops) {
    Trace(ToText(op));
    Do(op);
    if (options_.mutant != WalkMutant::kNone) Mutate(op);
    AfterOp(options_.audit_always || outcome_.failed_at % 64 == 0);
    if (!model_.ok()) break;
    ++outcome_.failed_at;
  }
  if (model_.ok()) Settle();
  outcome_.fault = model_.fault();
  for (const auto& side : sides_) side->sink.observer = nullptr;
  return outcome_;
}

void WalkWorld::Do(const WalkOp& op) {
  ++outcome_.steps;
  // So that two incarnations of a connection never begin with the same number.
  SetNow(now_ + kOpTime);
  for (uint32_t side = 0; side < 2; ++side) {
    model_.set_starving(side, sides_[side]->array.free_count() < 64);
  }
  switch (op.kind) {
    case WalkOpKind::kDeliver:
    case WalkOpKind::kBurst:
    case WalkOpKind::kDrop:
    case WalkOpKind::kDuplicate:
    case WalkOpKind::kCut:
    case WalkOpKind::kSplit:
    case WalkOpKind::kMerge: return DoPacket(op);
    case WalkOpKind::kFlush: return Flush(op.side);
    case WalkOpKind::kTick: return Tick(Nanos{op.x} * kMillisecond);
    case WalkOpKind::kHog:
    case WalkOpKind::kUnhog:
    case WalkOpKind::kHogPieces:
    case WalkOpKind::kUnhogPieces: return DoMemory(op);
    default: DoUser(op); Flush(op.side);
  }
}

void WalkWorld::DoUser(const WalkOp& op) {
  const uint32_t side = op.side;
  EngineHarness& h = *sides_[side];
  switch (op.kind) {
    case WalkOpKind::kConnect: return Connect(side, op.slot);
    case WalkOpKind::kListen: return Listen(side, op.slot, true);
    case WalkOpKind::kUnlisten: return Listen(side, op.slot, false);
    case WalkOpKind::kAccept: return Accept(side);
    case WalkOpKind::kSend: return Send(side, op.slot, op.x);
    case WalkOpKind::kRead: return Read(side, op.slot, op.x);
    case WalkOpKind::kRelease: return h.Release(op.x);
    case WalkOpKind::kShutdown: return End(side, op.slot);
    case WalkOpKind::kAbort: return Abort(side, op.slot);
    case WalkOpKind::kDetach: return Detach(side, op.slot);
    case WalkOpKind::kKeepalive:
      if (TcpConnection* connection = Held(side, op.slot)) {
        h.engine->SetKeepalive(*connection, op.x == 0 ? kNever : op.x * kSecond, now_);
      }
      return;
    case WalkOpKind::kIcmp: return Icmp(side, op);
    case WalkOpKind::kUnbind: return Unbind(side);
    case WalkOpKind::kBind:
      if (!bound_[side]) bound_[side] = h.engine->AttachDevice(64u << 10).ok();
      return;
    default: return;
  }
}

void WalkWorld::DoMemory(const WalkOp& op) {
  EngineHarness& h = *sides_[op.side];
  std::vector<Piece>& hogged = hogged_[op.side];
  std::vector<uint32_t>& entries = hogged_pieces_[op.side];
  switch (op.kind) {
    case WalkOpKind::kHog:
      for (uint32_t i = 0; i < op.x; ++i) {
        const NetmemRef netmem = h.device->Alloc();
        if (netmem.is_null()) return;
        hogged.push_back(Piece{netmem, 0, h.device->net_iov_bytes()});
      }
      return;
    case WalkOpKind::kUnhog:
      for (const Piece& piece : hogged) h.device->Put(piece);
      hogged.clear();
      h.engine->OnMemoryReturned(now_);
      return Flush(op.side);
    case WalkOpKind::kHogPieces:
      for (uint32_t i = 0; i < op.x && h.array.free_count() != 0; ++i) {
        entries.push_back(h.array.Alloc(Piece()));
      }
      return;
    default:
      for (const uint32_t entry : entries) h.array.Free(entry);
      entries.clear();
  }
}

void WalkWorld::AfterOp(bool audit) {
  Collect();
  model_.Check(now_, flushed_, audit);
}

void WalkWorld::Flush(uint32_t side) {
  sides_[side]->Flush();
  flushed_[side] = true;
}

void WalkWorld::SetNow(Nanos now) {
  now_ = now;
  model_.set_now(now);
  for (const auto& side : sides_) side->now = now;
}

// Time never passes between the segments of a batch.
void WalkWorld::Tick(Nanos duration) {
  for (uint32_t side = 0; side < 2; ++side) Flush(side);
  const Nanos end = now_ + duration;
  while (model_.ok()) {
    Nanos next = end;
    for (const auto& side : sides_) next = std::min(next, side->engine->NextDeadline());
    SetNow(std::max(now_, next));
    if (options_.mutant == WalkMutant::kNoTimers) break;
    bool fired = false;
    for (uint32_t side = 0; side < 2; ++side) {
      if (sides_[side]->engine->NextDeadline() > now_) continue;
      fired = true;
      sides_[side]->engine->Expire(now_);
      Flush(side);
    }
    AfterOp(false);
    if (!fired) break;
  }
  SetNow(std::max(now_, end));
  DropOld();
}

void WalkWorld::Collect() {
  for (uint32_t side = 0; side < 2; ++side) {
    for (SeenSegment& seen : sides_[side]->sink.segments) {
      Note(static_cast<uint64_t>(now_) ^ seen.seq.value() ^ uint64_t{seen.ack.value()} << 32);
      Note(seen.payload.size() ^ uint64_t{seen.window} << 24 ^ uint64_t{seen.flags} << 48);
      const uint32_t slot = WalkSlotOf(side, seen.flow);
      if (options_.trace != nullptr) {
        Trace(
            absl::StrCat("    ", side == 0 ? "a>b" : "b>a", " slot ", slot, " ", seen.ToString()));
      }
      if (slot == kWalkSlots) continue;
      const uint32_t stamp = StampOfPacket(side, seen);
      queues_[1 - side].push_back(Packet{std::move(seen), slot, stamp, now_});
    }
    sides_[side]->sink.segments.clear();
  }
}

void WalkWorld::Trace(const std::string& line) {
  if (options_.trace == nullptr) return;
  absl::StrAppend(options_.trace, line, "\n");
}

// Everything that is on its way arrives, everybody reads, and time goes on to the next event.
void WalkWorld::KindTurn(bool closing) {
  for (uint32_t side = 0; side < 2; ++side) Burst(side, queues_[side].size());
  ServeUsers();
  for (uint32_t slot = 0; closing && slot < kWalkSlots; ++slot) {
    for (uint32_t side = 0; side < 2; ++side) End(side, slot);
  }
  for (uint32_t side = 0; side < 2; ++side) Flush(side);
  AfterOp(options_.audit_always);
  Nanos wait = kHop;
  if (queues_[0].empty() && queues_[1].empty()) {
    Nanos timer = kNever;
    for (const auto& side : sides_) timer = std::min(timer, side->engine->NextDeadline());
    wait = timer <= now_ ? kSecond : std::clamp(timer - now_, kHop, kSecond);
  }
  Tick(wait);
}

bool WalkWorld::RunUntilDone(bool closing) {
  Nanos moved_at = now_;
  uint64_t progress = model_.progress();
  while (model_.ok() && !(closing ? AllEnded() : AllComplete())) {
    if (model_.progress() != progress) moved_at = now_;
    progress = model_.progress();
    if (now_ - moved_at > kStallMax) {
      model_.Fail(closing ? "stall: closing makes no progress" : "stall: nothing moves any more");
    }
    KindTurn(closing);
  }
  return model_.ok();
}

// The kind end.
void WalkWorld::Settle() {
  Trace("# from here on nothing is lost");
  for (uint8_t side = 0; side < 2; ++side) {
    DoMemory(WalkOp{.kind = WalkOpKind::kUnhog, .side = side});
    DoMemory(WalkOp{.kind = WalkOpKind::kUnhogPieces, .side = side});
  }
  if (!RunUntilDone(false) || !RunUntilDone(true)) return;
  model_.ExcuseAll();
  for (uint32_t side = 0; side < 2; ++side) {
    for (uint32_t slot = 0; slot < kWalkSlots; ++slot) Detach(side, slot);
    for (const uint32_t slot : {0u, 3u}) Listen(side, slot, false);
  }
  for (int hop = 0; hop < 50 && model_.ok(); ++hop) {
    for (uint32_t side = 0; side < 2; ++side) Burst(side, queues_[side].size());
    AfterOp(false);
    Tick(kHop);
  }
  Tick(kFuneral);
  for (const auto& side : sides_) {
    side->Release();
    if (side->engine->connection_count() != 0) model_.Fail("stall: a connection outlived its user");
    const std::string wrong = side->CheckAccount(true);
    if (!wrong.empty()) model_.Fail("account: at the end, " + wrong);
  }
}

}  // namespace devmem::testing
