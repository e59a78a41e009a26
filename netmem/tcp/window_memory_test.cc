// SPDX-License-Identifier: Apache-2.0
// A window is memory: a peer that keeps to what it was told finds room for every byte, at any
// segment size, in any order, whatever the user holds; what was acknowledged is never lost; the
// entries for pieces and ranges stay within their bounds; and an empty pool makes progress.

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

enum class Order {
  kInOrder,
  kReversed,     // A flight arrives back to front.
  kEveryOther,   // First the odd segments, so that each leaves a hole, then the even ones.
  kOverlapping,  // Each begins in the middle of the one before.
  kTwice,
};
enum class Owner {
  kReturnsAtOnce,
  kHoldsAll,         // Until the window is shut.
  kHoldsEveryOther,  // So that slabs stay half used.
  kReadsLate,        // Nothing is read before the window is shut.
};

struct Case {
  uint32_t segment_bytes;
  Order order;
  Owner owner;
};

class WindowMemoryTest : public EngineFixture {
 protected:
  static constexpr uint64_t kPoolBytes = 1u << 20;
  static constexpr uint32_t kFlight = 32;

  void Begin(uint64_t window_bytes) {
    HarnessSetup setup;
    setup.device_bytes = kPoolBytes;
    setup.tcp.window_bytes_max = window_bytes;
    // As a binding has it.
    setup.piece_count =
        static_cast<uint32_t>((kPoolBytes + setup.host_bytes) / 4096 * kPiecesPerNetIov);
    Make(setup);
    Established();
    told_ = receiver().right_edge();
    sent_ = receiver().rcv_nxt();
    first_ = sent_;
  }

  // How far the peer may send: what it heard last.
  void Listen() {
    for (const SeenSegment& seen : TakeSeen()) {
      told_ = seen.ack + (uint32_t{seen.window} << c().rcv_scale);
    }
  }

  // The reserve is for data at rcv_nxt, and the floor of two segments for each connection goes
  // beyond the pool: only there may what was promised find no room.
  void Piece(SeqNum seq, uint32_t bytes) {
    const uint64_t available = h().device->available_bytes();
    const uint64_t refused = drops(TcpDrop::kNoMemory) + drops(TcpDrop::kMemoryReserve);
    Deliver({.seq = seq, .ack = our_nxt_, .bytes = bytes});
    if (drops(TcpDrop::kNoMemory) + drops(TcpDrop::kMemoryReserve) != refused) {
      EXPECT_LE(available, HarnessSetup().device_reserve_bytes + bytes);
    }
    EXPECT_LE(h().array.in_use(), h().array.capacity());
    EXPECT_LE(receiver().reassembly().range_count(), kReassemblyRangesMax);
    // What lies below rcv_nxt is there or was read.
    const uint32_t below = receiver().rcv_nxt().value() - read_nxt_.value();
    EXPECT_EQ(receiver().in_order().bytes(), below);
  }

  // The next flight of segments, as far as the peer may send.
  void Flight(uint32_t size, Order order) {
    struct Part {
      SeqNum seq;
      uint32_t bytes;
    };
    std::vector<Part> parts;
    for (uint32_t n = 0; n < kFlight && sent_ < told_; ++n) {
      const uint32_t bytes = std::min(size, told_.value() - sent_.value());
      parts.push_back({sent_, bytes});
      sent_ += bytes;
    }
    if (order == Order::kReversed) std::reverse(parts.begin(), parts.end());
    if (order == Order::kEveryOther) {
      std::stable_partition(parts.begin(), parts.end(), [&](const Part& part) {
        return (part.seq.value() - parts[0].seq.value()) / size % 2 == 1;
      });
    }
    for (const Part& part : parts) {
      const uint32_t again = order == Order::kOverlapping && part.seq != first_ ? size / 2 : 0;
      Piece(part.seq - std::min(again, part.seq.value() - first_.value()),
            std::min(part.bytes + again, kFramePayloadBytesMax));
      if (order == Order::kTwice) Piece(part.seq, part.bytes);
    }
    h().Flush();
    Listen();
  }

  // Holes that were not remembered are filled again, from the left. Tiny segments may use up the
  // pool while their window is open, since each rounds it up, and so may bytes that come twice,
  // which no window reckons with. Then the peer must wait, too.
  void FillHoles(uint32_t size) {
    stuck_ = false;
    while (receiver().rcv_nxt() < sent_ && receiver().rcv_nxt() < told_ && !stuck_) {
      const SeqNum from = receiver().rcv_nxt();
      const SeqNum to = std::min(sent_, told_);
      Piece(from, std::min(size, to.value() - from.value()));
      h().Flush();
      Listen();
      stuck_ = receiver().rcv_nxt() == from && told_ != from;
      if (stuck_) ++stuck_count_;
      ASSERT_TRUE(!stuck_ || !every_byte_counts_) << "no progress, and no push back";
    }
  }

  void Serve(Owner owner) {
    const bool shut = sent_ >= told_ || stuck_;
    if (owner != Owner::kReadsLate || shut) (void)h().Read(c(), &read_nxt_);
    if (owner == Owner::kReturnsAtOnce || shut) h().Release();
    if (owner == Owner::kHoldsEveryOther) ReturnEveryOther();
    h().Flush();
    Listen();
    EXPECT_EQ(h().fault, "");
  }

  void ReturnEveryOther() {
    std::deque<devmem::Piece> kept;
    for (size_t i = 0; i < h().held.size(); ++i) {
      if (i % 2 == 0) kept.push_back(h().held[i]);
    }
    for (size_t i = 1; i < h().held.size(); i += 2) {
      h().store->OnReturned(h().held[i]);
      h().store->Put(h().held[i]);
    }
    h().held = kept;
    engine().OnMemoryReturned(h().now);
  }

  SeqNum first_;
  SeqNum sent_;
  SeqNum told_;
  bool stuck_ = false;
  int stuck_count_ = 0;
  bool every_byte_counts_ = true;
};

class WindowIsMemoryTest : public WindowMemoryTest, public ::testing::WithParamInterface<Case> {};

TEST_P(WindowIsMemoryTest, WhoKeepsToItsWindowFindsRoomForEveryByte) {
  const Case& what = GetParam();
  Begin(4u << 20);
  const uint32_t total = std::clamp(what.segment_bytes * 6000, 40'000u, 4u << 20);
  const bool twice = what.order == Order::kOverlapping || what.order == Order::kTwice;
  every_byte_counts_ = !twice && what.segment_bytes >= (kRoundingDivisor - 1) << c().rcv_scale;
  int shut = 0;
  for (uint32_t turn = 0; sent_.value() - first_.value() < total; ++turn) {
    ASSERT_LT(turn, 100'000u) << "the window does not open again";
    const SeqNum edge = receiver().right_edge();
    Flight(what.segment_bytes, what.order);
    FillHoles(what.segment_bytes);
    if (sent_ >= told_) ++shut;
    Serve(what.owner);
    ASSERT_GE(receiver().right_edge(), edge);
    ASSERT_EQ(h().CheckAccount(false), "");
  }
  for (int turn = 0; turn < 100 && read_nxt_ != sent_; ++turn) {
    (void)h().Read(c(), &read_nxt_);
    h().Release();
    h().Flush();
    Listen();
    FillHoles(what.segment_bytes);
  }
  EXPECT_EQ(read_nxt_, sent_);
  if (stuck_count_ == 0) {
    EXPECT_EQ(drops(TcpDrop::kSackedGivenUp), 0u);
  }
  EXPECT_EQ(drops(TcpDrop::kBeyondWindow), 0u);
  if (what.owner == Owner::kReturnsAtOnce && !twice) {
    EXPECT_EQ(drops(TcpDrop::kNoMemory) + drops(TcpDrop::kMemoryReserve), 0u);
    EXPECT_EQ(drops(TcpDrop::kPieceArray), 0u);
  }
  if (what.owner == Owner::kHoldsAll && what.segment_bytes > 100) {
    EXPECT_GT(shut + stuck_count_, 0);
  }
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const uint32_t bytes : {1u, 3u, 64u, 536u, 1448u, 4096u, 9000u, 32'768u, 65'495u}) {
    for (const Order order : {Order::kInOrder, Order::kReversed, Order::kEveryOther,
                              Order::kOverlapping, Order::kTwice}) {
      for (const Owner owner :
           {Owner::kReturnsAtOnce, Owner::kHoldsAll, Owner::kHoldsEveryOther, Owner::kReadsLate}) {
        cases.push_back({bytes, order, owner});
      }
    }
  }
  return cases;
}

std::string NameOf(const ::testing::TestParamInfo<Case>& one) {
  constexpr const char* kOrders[] = {"InOrder", "Reversed", "EveryOther", "Overlapping", "Twice"};
  constexpr const char* kOwners[] = {"ReturnsAtOnce", "HoldsAll", "HoldsEveryOther", "ReadsLate"};
  return absl::StrCat("Bytes", one.param.segment_bytes,
                      kOrders[static_cast<size_t>(one.param.order)],
                      kOwners[static_cast<size_t>(one.param.owner)]);
}

INSTANTIATE_TEST_SUITE_P(Sizes, WindowIsMemoryTest, ::testing::ValuesIn(AllCases()), NameOf);

// Somebody else's data takes the whole pool; of ours, some lies behind a hole. Each time data at
// rcv_nxt finds nothing, one range of that must go, until it fits.
TEST_F(WindowMemoryTest, AnEmptyPoolMakesProgressByGivingUpWhatLiesBehindAHole) {
  Begin(256u << 10);
  for (uint32_t n = 0; n < 20; ++n) Piece(sent_ + (2 * n + 1) * 4096, 4096);
  std::vector<devmem::Piece> others;
  for (NetmemRef netmem = h().device->Alloc(); !netmem.is_null(); netmem = h().device->Alloc()) {
    others.push_back(devmem::Piece{netmem, 0, h().device->net_iov_bytes()});
  }
  h().Flush();
  Listen();
  const uint64_t behind = receiver().reassembly().bytes();
  for (uint32_t n = 0; n < 64 && receiver().rcv_nxt() == sent_; ++n) {
    Piece(sent_, 4096);
    h().Flush();
  }
  EXPECT_GT(receiver().rcv_nxt(), sent_);
  EXPECT_LT(receiver().reassembly().bytes(), behind);
  EXPECT_GT(drops(TcpDrop::kSackedGivenUp), 0u);
  for (const devmem::Piece& piece : others) h().device->Put(piece);
  engine().OnMemoryReturned(h().now);
  h().Flush();
  Listen();
  sent_ += 41 * 4096;
  FillHoles(4096);
  (void)h().Read(c(), &read_nxt_);
  EXPECT_EQ(read_nxt_, sent_);
}

// With nothing left at all, what was promised finds no room; the promise stays, and one net_iov
// that comes back is enough.
TEST_F(WindowMemoryTest, AnEmptyPoolMakesProgressAsSoonAsAnythingComesBack) {
  Begin(4u << 20);
  const SeqNum edge = told_;
  std::vector<devmem::Piece> others;
  for (NetmemRef netmem = h().device->Alloc(); !netmem.is_null(); netmem = h().device->Alloc()) {
    others.push_back(devmem::Piece{netmem, 0, h().device->net_iov_bytes()});
  }
  Piece(sent_, 1000);
  h().Flush();
  EXPECT_EQ(receiver().rcv_nxt(), sent_);
  EXPECT_EQ(drops(TcpDrop::kNoMemory), 1u);
  ASSERT_EQ(h().sink.segments.size(), 1u);
  Listen();
  // In the first segment that is scaled, the window is rounded up.
  EXPECT_GE(told_, edge);
  EXPECT_LT(told_, edge + (1u << c().rcv_scale));
  h().device->Put(others.back());
  others.pop_back();
  engine().OnMemoryReturned(h().now);
  h().Flush();
  Piece(sent_, 1000);
  EXPECT_EQ(receiver().rcv_nxt(), sent_ + 1000u);
  for (const devmem::Piece& piece : others) h().device->Put(piece);
}

// Opened while the pool was empty, a connection has no promise yet: the first memory brings one.
TEST_F(WindowMemoryTest, AConnectionThatWasOpenedIntoAnEmptyPoolGetsItsWindowLater) {
  Make({});
  std::vector<devmem::Piece> others;
  for (NetmemRef netmem = h().device->Alloc(); !netmem.is_null(); netmem = h().device->Alloc()) {
    others.push_back(devmem::Piece{netmem, 0, h().device->net_iov_bytes()});
  }
  Established();
  EXPECT_EQ(receiver().outstanding_bytes(), 0u);
  for (const devmem::Piece& piece : others) h().device->Put(piece);
  Send({.seq = peer_nxt_ - 1u});  // A probe.
  ASSERT_EQ(h().sink.segments.size(), 1u);
  EXPECT_GT(h().sink.segments[0].window, 0u);
}

// Tiny segments behind a hole lie side by side in the pool: they are one piece, however many.
TEST_F(WindowMemoryTest, NeighboursBehindAHoleTakeOneEntry) {
  Begin(4u << 20);
  for (uint32_t n = 1; n <= 10'000; ++n) Piece(sent_ + n, 1);
  EXPECT_LE(h().array.in_use(), 10'000 / h().device->net_iov_bytes() + 2);
  EXPECT_EQ(receiver().reassembly().bytes(), 10'000u);
  Piece(sent_, 1);
  EXPECT_EQ(receiver().rcv_nxt(), sent_ + 10'001u);
  EXPECT_EQ(drops(TcpDrop::kPieceArray), 0u);
  h().Flush();
  (void)h().Read(c(), &read_nxt_);
}

// A piece array of eight entries, a hole in front of every segment: the array is full at once, and
// the data at rcv_nxt takes its entry from what lies behind.
TEST_F(WindowMemoryTest, AFullPieceArrayMakesProgress) {
  HarnessSetup setup;
  setup.piece_count = 8;
  Make(setup);
  Established();
  sent_ = first_ = receiver().rcv_nxt();
  for (uint32_t n = 40; n > 0; --n) Piece(sent_ + n * 200, 100);
  EXPECT_EQ(h().array.in_use(), 8u);
  EXPECT_GT(drops(TcpDrop::kPieceArray), 0u);
  sent_ += 40 * 200 + 100;
  while (receiver().rcv_nxt() < sent_) {
    const SeqNum from = receiver().rcv_nxt();
    Piece(from, std::min(100u, sent_.value() - from.value()));
    (void)h().Read(c(), &read_nxt_);
    ASSERT_GT(receiver().rcv_nxt(), from);
  }
  EXPECT_EQ(h().fault, "");
}

// Scaled by 14, a window of less than 16 KiB cannot be said: what is free is told when it can be.
TEST_F(WindowMemoryTest, LessMemoryThanOneUnitOfTheWindowIsNotToldAgainAndAgain) {
  HarnessSetup setup;
  setup.tcp.window_bytes_max = 1000u << 20;
  Make(setup);
  Established();
  ASSERT_EQ(c().rcv_scale, kWindowScaleMax);
  // All but one promise of the pool goes to others, and then the promise is used up.
  std::vector<devmem::Piece> others;
  while (h().device->available_bytes() > 5 * 16'384) {
    others.push_back(devmem::Piece{h().device->Alloc(), 0, h().device->net_iov_bytes()});
  }
  while (receiver().outstanding_bytes() != 0) Send({.bytes = 16'384});
  EXPECT_EQ(TakeSeen().back().window, 0u);
  size_t told = 0;
  while (!others.empty()) {
    h().device->Put(others.back());
    others.pop_back();
    engine().OnMemoryReturned(h().now);
    h().Flush();
    h().Flush();  // One more turn of the ring, as long as that helps anybody.
    EXPECT_GT(engine().NextDeadline(), h().now);
    for (const SeenSegment& seen : TakeSeen()) {
      EXPECT_GT(seen.window, 0u);
      ++told;
    }
  }
  EXPECT_GT(told, 0u);
}

// Each acknowledgment rounds the promise up to the unit, also for one byte.
TEST_F(WindowMemoryTest, TinySegmentsDoNotCarryAConnectionPastItsBound) {
  constexpr uint64_t kWindowBytes = 128u << 10;
  HarnessSetup setup;
  setup.tcp.window_bytes_max = kWindowBytes;
  Make(setup);
  Established();
  while (receiver().outstanding_bytes() >= 1000) Send({.bytes = 1000});
  for (uint32_t n = 0; n < 2 * kWindowBytes && drops(TcpDrop::kNoMemory) == 0; ++n) {
    Send({.bytes = 1});
    Forget();
  }
  EXPECT_EQ(drops(TcpDrop::kNoMemory), 1u);
  EXPECT_LE(receiver().in_order().bytes(), 2 * kWindowBytes + 1);
  const SeqNum unread = receiver().rcv_nxt();
  ReadAll();
  peer_nxt_ = unread;
  Send({.bytes = 1000});
  EXPECT_EQ(receiver().rcv_nxt(), unread + 1000u);
}

}  // namespace
}  // namespace devmem::testing
