// SPDX-License-Identifier: Apache-2.0
//
// A TcpEngine with everything it needs and nothing else: two page pools over memory that does not
// exist, a piece array, a sink that collects, and a clock that the test turns. Payload is taken
// from the pools as a NIC takes it; in place of its bytes the harness remembers which stream byte
// lies where, so that a test sees at once when the stream comes out in the wrong order. Needs no
// test framework: fixtures, the random test and the fuzz target are built on it.

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "netmem/page_pool.h"
#include "netmem/piece_store.h"
#include "netmem/tcp/engine.h"
#include "provider/lazy_array.h"
#include "selftests/testing/edge_watch.h"

namespace devmem::testing {

// An emitted segment, with its payload copied.
struct SeenSegment {
  FlowKey flow;
  SeqNum seq;
  SeqNum ack;
  uint8_t flags = 0;
  uint16_t window = 0;
  TcpOptions options;
  std::vector<uint8_t> payload;
  uint16_t gso_segment_bytes = 0;
  uint8_t ecn = 0;

  uint32_t length() const;  // SEG.LEN: payload, SYN and FIN.
  std::string ToString() const;
};

class CollectingSink final : public SegmentSink {
 public:
  void Emit(const OutSegment& segment) override;

  std::vector<SeenSegment> segments;
  // Look at each segment while the engine emits it, when the connection is as the segment says.
  std::function<void(const OutSegment&)> observer;
  std::unique_ptr<EdgeWatch> edges;
};

struct HarnessSetup {
  TcpEngine::Config tcp = {.secret = {0x0706050403020100, 0x0f0e0d0c0b0a0908}};
  uint64_t host_bytes = 1u << 20;
  uint64_t device_bytes = 1u << 20;
  uint64_t device_reserve_bytes = 64u << 10;
  uint32_t piece_count = 4096;
};

class EngineHarness {
 public:
  explicit EngineHarness(const HarnessSetup& setup);

  // Gives `segment` payload from the device pool, or the host pool, as a NIC does: stream byte
  // `seq + i` is written to the i-th place, under the `stamp` of the stream that it belongs to. A
  // pool that is short makes the segment cut. The pieces are valid until the next call.
  void AddPayload(Segment* segment, uint32_t bytes, bool device, uint32_t stamp = 0);
  void Input(const Segment& segment) { engine->Input(segment, now); }
  void Flush() { engine->Flush(now); }
  // Turns the clock to `deadline`, serving each timer on the way, and flushes.
  void RunUntil(Nanos deadline);
  void Advance(Nanos duration) { RunUntil(now + duration); }

  // Takes up to `bytes_max` received bytes, whole pieces, and holds them as a user does who has not
  // returned his tokens. `*next` is the expected number of the first byte, and moves on. Returns
  // the bytes taken; a byte out of order, or of a stream with another stamp, goes to `fault`.
  uint64_t Read(TcpConnection& connection, SeqNum* next, uint64_t bytes_max = UINT64_MAX,
                uint32_t stamp = 0);
  // That the piece's bytes are those from `*next` on, which moves behind them.
  void CheckBytes(const Piece& piece, SeqNum* next, uint32_t stamp = 0);
  // Puts back the oldest `count` pieces that are held.
  void Release(size_t count = SIZE_MAX);
  size_t held_count() const { return held.size(); }

  // What is wrong with the books, or nothing: both pools audited, and each net_iov in use held by a
  // queued piece or by the user; no peer was told a right edge left of an earlier one. With
  // `nothing_left`, no piece, range or promise may remain.
  std::string CheckAccount(bool nothing_left) const;
  // The sum of the connections' windows, which the ledger must know.
  uint64_t OutstandingBytes(bool bound) const;

  std::unique_ptr<PagePool> host;
  std::unique_ptr<PagePool> device;
  PieceArray array;
  CollectingSink sink;
  std::unique_ptr<PieceStore> store;
  std::unique_ptr<TcpEngine> engine;
  Nanos now = 0;
  std::deque<Piece> held;
  std::string fault;  // The first thing that went wrong.

 private:
  std::array<Piece, 64> pieces_;
  LazyArray<uint32_t> host_shadow_;  // Per byte of the pool: its sequence number ^ the stamp.
  LazyArray<uint32_t> device_shadow_;
};

}  // namespace devmem::testing
