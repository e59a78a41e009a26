// SPDX-License-Identifier: Apache-2.0
//
// The tests of the TCP engine start here: a fixture that plays the peer. It brings a connection
// into any state by really exchanging segments, delivers segments of which a test names only what
// differs from the next one in order, and states what came out and that nothing else did. Both
// initial sequence numbers lie just below 2^32. Its tear-down closes everything and checks the
// account.

#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

#include "selftests/testing/engine_harness.h"

namespace devmem::testing {

// What one emitted segment must be. Empty: it is that; else what is wrong.
using SegmentCheck = std::function<std::string(const SeenSegment&)>;

SegmentCheck All(std::initializer_list<SegmentCheck> checks);
SegmentCheck HasFlags(uint8_t flags);  // Exactly these, PSH aside.
SegmentCheck HasSeq(SeqNum seq);
SegmentCheck HasAck(SeqNum ack);
SegmentCheck HasWindow(uint16_t window);
SegmentCheck HasPayload(size_t bytes);
SegmentCheck HasSacks(std::initializer_list<SackBlock> blocks);

SegmentCheck IsAck(SeqNum ack);  // Bare: nothing but ACK.
SegmentCheck IsSyn();
SegmentCheck IsSynAck(SeqNum ack);
SegmentCheck IsFin(SeqNum seq);
SegmentCheck IsData(SeqNum seq, size_t bytes);
SegmentCheck IsReset(SeqNum seq);

// A segment of the peer. What is not named is that of the next segment in order.
struct FromPeer {
  std::optional<SeqNum> seq = {};  // Named: the peer's own next number does not move.
  std::optional<SeqNum> ack = {};
  uint8_t flags = kTcpAck;
  std::optional<uint16_t> window = {};
  uint32_t bytes = 0;
  bool device = true;  // Where a NIC with a matching flow rule puts payload.
  uint16_t segment_count = 1;
  std::optional<uint32_t> timestamp = {};
  std::optional<TcpOptions> options = {};
  uint8_t ecn = 0;
};

inline constexpr SeqNum kOurIss{0xffffff00};
inline constexpr SeqNum kPeerIss{0xfffffe00};
inline constexpr uint16_t kListenPort = 5201;

class EngineFixture : public ::testing::Test {
 protected:
  // The default engine and listener; Make() replaces them, before anything else.
  EngineFixture() { Make({}); }
  void Make(const HarnessSetup& setup, uint32_t backlog = 8);
  void TearDown() override;

  // --- Connections, by the segments that lead there ---
  void SynReceived();
  void Established();
  void SynSent();
  void EstablishedActively();
  void FinWait1();
  void FinWait2();
  void Closing();
  void TimeWait();
  void CloseWait();
  void LastAck();
  void InState(TcpState state);

  // --- The peer ---
  void Deliver(const FromPeer& from_peer);  // Without Flush().
  void Send(const FromPeer& from_peer);     // And Flush().
  FlowKey Flow(uint16_t remote_port = 40000) const;

  // --- What came out since the last look; each forgets it ---
  void ExpectOnly(std::initializer_list<SegmentCheck> checks);
  void ExpectOnly(const SegmentCheck& check) { ExpectOnly({check}); }
  void ExpectNothing() { ExpectOnly(std::initializer_list<SegmentCheck>{}); }
  void Forget() { h().sink.segments.clear(); }
  std::vector<SeenSegment> TakeSeen();

  EngineHarness& h() { return *harness_; }
  TcpEngine& engine() { return *harness_->engine; }
  TcpConnection& c() { return engine().at(id_.index); }
  bool alive() { return engine().Find(id_) != nullptr; }
  TcpState state() { return c().state; }
  Receiver& receiver() { return c().receiver; }
  uint64_t drops(TcpDrop reason) { return engine().stats().drop(reason); }
  // Reads and returns everything; the bytes must be the stream's.
  uint64_t ReadAll();
  void SendBytes(size_t bytes);  // The user's Send() and Flush().
  void Shutdown();
  void Detach();

  uint16_t peer_port_ = 40000;
  bool bound_ = true;
  TcpOptions peer_syn_ = {.mss = 1460, .window_scale = 7, .sack_permitted = true};
  uint8_t syn_flags_ = kTcpSyn;  // Of the peer's passive open.
  uint16_t peer_window_ = 8192;  // As in the header: 1 MiB by the scale above.
  uint32_t peer_clock_ = 0xfffffff0;
  uint32_t our_clock_ = 0;  // What we sent last, for the peer to echo.
  ListenerId listener_ = 0;
  ConnectionId id_;
  SeqNum peer_nxt_ = kPeerIss;
  SeqNum our_nxt_ = kOurIss;  // What the peer acknowledges: all that it was sent.
  SeqNum read_nxt_;

 private:
  void Hear();

  std::unique_ptr<EngineHarness> harness_;
  size_t heard_ = 0;
};

}  // namespace devmem::testing
