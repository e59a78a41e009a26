// SPDX-License-Identifier: Apache-2.0
// Once an engine is created, the receive path does not allocate. This file replaces operator new
// for the whole test program and counts.

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "netmem/page_pool.h"
#include "netmem/piece_store.h"
#include "netmem/tcp/engine.h"

namespace {
uint64_t g_allocation_count = 0;

void* CountedAllocation(size_t bytes) {
  ++g_allocation_count;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(size_t bytes) { return CountedAllocation(bytes); }
void* operator new[](size_t bytes) { return CountedAllocation(bytes); }
// A sanitizer brings forms of its own for these, whose memory free() may not take back.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++g_allocation_count;
  return std::malloc(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  ++g_allocation_count;
  return std::malloc(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace devmem {
namespace {

class CountingSink final : public SegmentSink {
 public:
  void Emit(const OutSegment& segment) override {
    ++count;
    last_seq = segment.seq;
  }
  uint64_t count = 0;
  SeqNum last_seq;
};

class EngineAllocationTest : public ::testing::Test {
 protected:
  EngineAllocationTest() {
    EXPECT_TRUE(engine_->AttachDevice(kFramePayloadBytesMax).ok());
    const ListenerId listener = *engine_->Listen(IpAddress::FromV4(0), 80, 8, true);
    flow_ = {IpAddress::FromV4(0xc0000202), IpAddress::FromV4(0xc0000201), 80, 40000};
    Segment syn{.flow = flow_, .seq = next_, .flags = kTcpSyn, .window = 65535};
    syn.options = {.mss = 1460, .window_scale = 7, .sack_permitted = true};
    engine_->Input(syn, now_);
    ++next_;
    engine_->Input({.flow = flow_, .seq = next_, .ack = sink_.last_seq + 1, .flags = kTcpAck},
                   now_);
    id_ = *engine_->Accept(listener);
  }

  // One segment of `bytes`, `ahead` of the next in order.
  void Receive(uint32_t bytes, uint32_t ahead = 0) {
    (void)pool_->Posted();
    std::array<Piece, 4> pieces;
    const uint32_t count = pool_->Take(bytes, pieces);
    Segment segment{.flow = flow_, .seq = next_ + ahead, .ack = sink_.last_seq, .flags = kTcpAck};
    segment.window = window_;
    segment.payload_bytes = bytes;
    segment.pieces = std::span(pieces).first(count);
    engine_->Input(segment, now_);
  }
  void ReadAndRelease() {
    TcpConnection& connection = *engine_->Find(id_);
    Piece piece;
    while (engine_->TakePiece(connection, &piece)) store_.Put(piece);
    engine_->OnConsumed(connection, now_);
    engine_->OnMemoryReturned(now_);
    engine_->Flush(now_);
    engine_->Expire(now_);
    now_ += 20 * kMicrosecond;
  }

  std::unique_ptr<PagePool> host_ = *PagePool::Create({.bytes = 1u << 20}, kFramePayloadBytesMax);
  std::unique_ptr<PagePool> pool_ =
      *PagePool::Create({.bytes = 4u << 20, .device = true}, kFramePayloadBytesMax);
  PieceArray array_{8192};
  PieceStore store_{host_.get(), pool_.get(), &array_};
  CountingSink sink_;
  std::unique_ptr<TcpEngine> engine_ = *TcpEngine::Create({}, &store_, &sink_);
  FlowKey flow_;
  ConnectionId id_;
  SeqNum next_{0xfff00000};
  uint16_t window_ = 0;
  Nanos now_ = kSecond;
};

TEST_F(EngineAllocationTest, AMillionSegmentsInOrderAllocateNothing) {
  const uint64_t before = g_allocation_count;
  for (uint32_t i = 0; i < 1'000'000; ++i) {
    Receive(1448);
    next_ += 1448;
    if (i % 16 == 15) ReadAndRelease();
  }
  EXPECT_EQ(g_allocation_count, before);
  EXPECT_EQ(engine_->Find(id_)->payload_bytes_received, 1'448'000'000u);
  EXPECT_GE(sink_.count, 1'000'000u / 16);
}

TEST_F(EngineAllocationTest, HolesDuplicatesAndTimersAllocateNothing) {
  const uint64_t before = g_allocation_count;
  for (uint32_t i = 0; i < 20'000; ++i) {
    Receive(1448, 2896);
    Receive(1448, 1448);
    Receive(1448, 2000);
    Receive(1448);
    next_ += 3 * 1448;
    ReadAndRelease();
    if (i % 100 == 0) now_ += 50 * kMillisecond;
  }
  EXPECT_EQ(g_allocation_count, before);
  EXPECT_EQ(engine_->Find(id_)->payload_bytes_received, 60'000u * 1448);
}

// Not about allocation, but nowhere else are two gigabytes received.
TEST_F(EngineAllocationTest, AWindowIsStillNewsAfterTwoGigabytesOfOldAcks) {
  for (uint32_t i = 0; i < 40'000; ++i) {
    Receive(60'000);
    next_ += 60'000;
    ReadAndRelease();
  }
  EXPECT_GT(engine_->stats().segments_short_path, 39'000u);
  window_ = 100;
  Receive(1000);
  EXPECT_EQ(engine_->Find(id_)->sender.peer_window_bytes(), 100u << 7);
}

}  // namespace
}  // namespace devmem
