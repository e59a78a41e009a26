// SPDX-License-Identifier: Apache-2.0
//
// The harness's bookkeeping.

#include "selftests/testing/engine_harness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "provider/check.h"

namespace devmem::testing {
namespace {

std::unique_ptr<PagePool> MakePool(uint64_t bytes, bool device) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(
      MemoryProvider{.region_id = device ? 1u : 0u, .bytes = bytes, .device = device},
      kFramePayloadBytesMax);
  DEVMEM_CHECK(pool.ok(), "the harness's pool sizes are wrong");
  return *std::move(pool);
}

}  // namespace

uint32_t SeenSegment::length() const {
  return static_cast<uint32_t>(payload.size()) + ((flags & kTcpSyn) != 0 ? 1u : 0u) +
         ((flags & kTcpFin) != 0 ? 1u : 0u);
}

std::string SeenSegment::ToString() const {
  std::string text = "<";
  for (const auto& [flag, name] :
       {std::pair{kTcpSyn, "SYN,"}, {kTcpFin, "FIN,"}, {kTcpRst, "RST,"}, {kTcpAck, "ACK,"}}) {
    if ((flags & flag) != 0) absl::StrAppend(&text, name);
  }
  absl::StrAppend(&text, " seq ", seq.value(), " ack ", ack.value(), " bytes ", payload.size(),
                  " window ", window);
  for (const SackBlock& block : options.sacks()) {
    absl::StrAppend(&text, " sack ", block.left.value(), "-", block.right.value());
  }
  return absl::StrCat(text, ">");
}

void CollectingSink::Emit(const OutSegment& segment) {
  if (observer) observer(segment);
  if (edges != nullptr) edges->OnEmit(segment);
  segments.push_back(SeenSegment{
      segment.flow, segment.seq, segment.ack, segment.flags, segment.window, segment.options,
      std::vector<uint8_t>(segment.payload.begin(), segment.payload.end()),
      segment.gso_segment_bytes, segment.ecn});
}

EngineHarness::EngineHarness(const HarnessSetup& setup)
    : host(MakePool(setup.host_bytes, false)),
      device(MakePool(setup.device_bytes, true)),
      array(setup.piece_count),
      store(std::make_unique<PieceStore>(host.get(), device.get(), &array)),
      host_shadow_(setup.host_bytes),
      device_shadow_(setup.device_bytes) {
  absl::StatusOr<std::unique_ptr<TcpEngine>> created =
      TcpEngine::Create(setup.tcp, store.get(), &sink);
  DEVMEM_CHECK(created.ok(), "the harness's engine configuration is wrong");
  engine = *std::move(created);
  sink.edges = std::make_unique<EdgeWatch>(engine.get());
  const absl::Status attached = engine->AttachDevice(setup.device_reserve_bytes);
  DEVMEM_CHECK(attached.ok(), "the harness's reserve is wrong");
}

void EngineHarness::AddPayload(Segment* segment, uint32_t bytes, bool on_device, uint32_t stamp) {
  PagePool& pool = on_device ? *device : *host;
  LazyArray<uint32_t>& shadow = on_device ? device_shadow_ : host_shadow_;
  (void)pool.Posted();
  const uint32_t fitting = std::min(bytes, pool.posted_bytes());
  const uint32_t count = pool.Take(fitting, pieces_);
  uint32_t number = segment->seq.value();
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t* place = &shadow[pool.RangeOffset(pieces_[i])];
    for (uint32_t n = 0; n < pieces_[i].length_bytes; ++n) *place++ = number++ ^ stamp;
  }
  segment->payload_bytes = count == 0 ? 0 : fitting;
  segment->cut = segment->payload_bytes < bytes;
  segment->pieces = std::span(pieces_).first(count);
}

void EngineHarness::RunUntil(Nanos deadline) {
  engine->Flush(now);
  while (engine->NextDeadline() <= deadline) {
    now = std::max(now, engine->NextDeadline());
    engine->Expire(now);
    engine->Flush(now);
  }
  now = deadline;
  engine->Flush(now);
}

void EngineHarness::CheckBytes(const Piece& piece, SeqNum* next, uint32_t stamp) {
  const bool on_device = piece.netmem.is_device();
  const LazyArray<uint32_t>& shadow = on_device ? device_shadow_ : host_shadow_;
  const uint32_t* place = &shadow[store->PoolOf(piece.netmem).RangeOffset(piece)];
  for (uint32_t n = 0; n < piece.length_bytes; ++n, ++place, ++*next) {
    const uint32_t found = *place ^ stamp;
    if (found == next->value() || !fault.empty()) continue;
    fault = absl::StrCat("stream byte ", next->value(), " expected, found ", found);
  }
}

uint64_t EngineHarness::Read(TcpConnection& connection, SeqNum* next, uint64_t bytes_max,
                             uint32_t stamp) {
  uint64_t taken = 0;
  Piece piece;
  while (taken < bytes_max && engine->TakePiece(connection, &piece)) {
    CheckBytes(piece, next, stamp);
    store->OnHandedOut(piece);
    held.push_back(piece);
    taken += piece.length_bytes;
  }
  if (taken != 0) engine->OnConsumed(connection, now);
  return taken;
}

void EngineHarness::Release(size_t count) {
  for (; count != 0 && !held.empty(); --count) {
    store->OnReturned(held.front());
    store->Put(held.front());
    held.pop_front();
  }
  engine->OnMemoryReturned(now);
}

uint64_t EngineHarness::OutstandingBytes(bool bound) const {
  uint64_t sum = 0;
  engine->VisitConnections([&](const TcpConnection& connection) {
    if (connection.bound == bound && connection.joined_ledger) {
      sum += connection.receiver.outstanding_bytes();
    }
  });
  return sum;
}

std::string EngineHarness::CheckAccount(bool nothing_left) const {
  for (const PagePool* pool : {host.get(), device.get()}) {
    const absl::Status audit = pool->Audit();
    if (!audit.ok()) return std::string(audit.message());
    if (!pool->account().balanced()) return pool->account().ToString();
    if (nothing_left && !pool->account().idle()) {
      return absl::StrCat("something is still in use: ", pool->account().ToString());
    }
  }
  for (const bool bound : {false, true}) {
    if (engine->promised_bytes(bound) != OutstandingBytes(bound)) {
      return absl::StrCat("the ledger says ", engine->promised_bytes(bound),
                          " bytes are promised, the connections say ", OutstandingBytes(bound));
    }
  }
  if (nothing_left && store->device_payload_bytes() != 0) {
    return absl::StrCat(store->device_payload_bytes(), " bytes are still counted as held");
  }
  if (nothing_left && array.in_use() != 0) return absl::StrCat(array.in_use(), " pieces are left");
  if (nothing_left && engine->ranges().in_use() != 0) {
    return absl::StrCat(engine->ranges().in_use(), " ranges are left");
  }
  return fault.empty() ? sink.edges->fault() : fault;
}

}  // namespace devmem::testing
