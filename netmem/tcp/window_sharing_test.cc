// SPDX-License-Identifier: Apache-2.0
// Many connections on a pool that is too small for them: each keeps its two segments, so more is
// promised than there is. What finds no memory is dropped and comes again; no right edge moves left
// (the harness looks at every segment), and all streams arrive whole.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

class WindowSharingTest : public EngineFixture {
 protected:
  struct Peer {
    uint16_t port = 0;
    ConnectionId id;
    SeqNum end;   // Of its stream.
    SeqNum una;   // What was acknowledged.
    SeqNum edge;  // How far it may send.
    SeqNum read;  // What our user has read.
  };

  void Open(uint16_t count) {
    for (uint16_t i = 0; i < count; ++i) {
      peer_port_ = static_cast<uint16_t>(40000 + i);
      Established();
      const SeqNum first = receiver().rcv_nxt();
      peers_.push_back({peer_port_, id_, first + kStream, first, receiver().right_edge(), first});
    }
  }

  // All that the peer may send, from what was acknowledged on: go-back-n.
  void Burst(Peer& peer) {
    SeqNum seq = peer.una;
    for (uint32_t n = 0; n < 4 && seq < std::min(peer.edge, peer.end); ++n) {
      const uint32_t bytes = std::min(1460u, std::min(peer.edge, peer.end).value() - seq.value());
      Segment segment{.flow = Flow(peer.port), .seq = seq, .flags = kTcpAck};
      segment.ack = engine().at(peer.id.index).sender.snd_max();
      segment.window = peer_window_;
      h().AddPayload(&segment, bytes, true, peer.port);
      h().Input(segment);
      seq += bytes;
    }
  }

  void Listen() {
    for (const SeenSegment& seen : TakeSeen()) {
      Peer& peer = peers_[seen.flow.remote_port - 40000u];
      peer.una = std::max(peer.una, seen.ack);
      peer.edge = seen.ack + DecodeWindow(seen.window, engine().at(peer.id.index).rcv_scale);
    }
  }

  bool Done() {
    return std::all_of(peers_.begin(), peers_.end(),
                       [](const Peer& peer) { return peer.read == peer.end; });
  }

  void CloseAll() {
    for (const Peer& peer : peers_) {
      engine().Abort(engine().at(peer.id.index), h().now);
      engine().Detach(engine().at(peer.id.index), h().now);
    }
    TakeSeen();
  }

  static constexpr uint32_t kStream = 30'000;
  std::vector<Peer> peers_;
};

TEST_F(WindowSharingTest, MoreIsPromisedThanThereIsAndEveryByteArrivesAllTheSame) {
  HarnessSetup setup;
  setup.device_bytes = 128u << 10;
  setup.device_reserve_bytes = 32u << 10;
  Make(setup, 128);
  Open(64);
  for (uint32_t round = 0; !Done(); ++round) {
    ASSERT_LT(round, 4000u) << "no progress";
    for (Peer& peer : peers_) Burst(peer);
    h().Flush();
    Listen();
    for (Peer& peer : peers_) {
      if ((round + peer.port) % 3 == 0) {
        (void)h().Read(engine().at(peer.id.index), &peer.read, UINT64_MAX, peer.port);
      }
    }
    // The owner sits on what he has for a while.
    if (round % 4 == 3) h().Release();
    h().Flush();
    Listen();
    h().now += 10 * kMillisecond;
    ASSERT_EQ(h().CheckAccount(false), "") << "round " << round;
  }
  EXPECT_GT(drops(TcpDrop::kNoMemory), 0u);
  CloseAll();
}

// Memory that others took is no reason to take a window back, nor is a user who wants less now.
TEST_F(WindowSharingTest, ThePromiseStaysWhenThePoolIsGoneAndWhenTheUserWantsLess) {
  Make({});
  Open(2);
  const ConnectionId id = peers_[0].id;
  Burst(peers_[0]);
  h().Flush();
  Listen();
  const SeqNum edge = peers_[0].edge;
  std::vector<Piece> others;
  for (NetmemRef netmem = h().device->Alloc(); !netmem.is_null(); netmem = h().device->Alloc()) {
    others.push_back(Piece{netmem, 0, h().device->net_iov_bytes()});
  }
  SocketOptions options = *engine().at(id.index).options;
  options.window_bytes_max = 4096;
  engine().SetOptions(engine().at(id.index), SocketOptionsRef(options), h().now);
  Burst(peers_[0]);
  h().Flush();
  Listen();
  EXPECT_EQ(peers_[0].edge, edge);
  EXPECT_LT(peers_[0].una, edge);
  for (const Piece& piece : others) h().device->Put(piece);
  engine().OnMemoryReturned(h().now);
  while (peers_[0].una < std::min(edge, peers_[0].end)) {
    const SeqNum before = peers_[0].una;
    Burst(peers_[0]);
    (void)h().Read(engine().at(id.index), &peers_[0].read, UINT64_MAX, peers_[0].port);
    h().Release();
    h().Advance(2 * kDelayedAckMax);
    Listen();
    ASSERT_GT(peers_[0].una, before);
  }
  CloseAll();
}

}  // namespace
}  // namespace devmem::testing
