// SPDX-License-Identifier: Apache-2.0
//
// The peer's side of the fixture, and the checks.

#include "selftests/testing/engine_fixture.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/tcp/isn.h"

namespace devmem::testing {

SegmentCheck All(std::initializer_list<SegmentCheck> checks) {
  return [list = std::vector<SegmentCheck>(checks)](const SeenSegment& seen) {
    std::string wrong;
    for (const SegmentCheck& check : list) wrong += check(seen);
    return wrong;
  };
}

SegmentCheck HasFlags(uint8_t flags) {
  return [flags](const SeenSegment& seen) {
    return (seen.flags & ~kTcpPsh) == flags
               ? std::string()
               : absl::StrCat(" [flags ", absl::Hex(seen.flags), ", not ", absl::Hex(flags), "]");
  };
}

template <typename Get, typename Value>
static SegmentCheck Has(const char* what, Get get, Value value) {
  return [=](const SeenSegment& seen) {
    return get(seen) == value ? std::string()
                              : absl::StrCat(" [", what, " ", get(seen), ", not ", value, "]");
  };
}

SegmentCheck HasSeq(SeqNum seq) {
  return Has(
      "seq", [](const SeenSegment& seen) { return seen.seq.value(); }, seq.value());
}
SegmentCheck HasAck(SeqNum ack) {
  return Has(
      "ack", [](const SeenSegment& seen) { return seen.ack.value(); }, ack.value());
}
SegmentCheck HasWindow(uint16_t window) {
  return Has(
      "window", [](const SeenSegment& seen) { return seen.window; }, window);
}
SegmentCheck HasPayload(size_t bytes) {
  return Has(
      "payload", [](const SeenSegment& seen) { return seen.payload.size(); }, bytes);
}
SegmentCheck HasSacks(std::initializer_list<SackBlock> blocks) {
  return [list = std::vector<SackBlock>(blocks)](const SeenSegment& seen) {
    const std::span<const SackBlock> sacks = seen.options.sacks();
    return std::vector<SackBlock>(sacks.begin(), sacks.end()) == list ? std::string()
                                                                      : std::string(" [sacks]");
  };
}

SegmentCheck IsAck(SeqNum ack) { return All({HasFlags(kTcpAck), HasAck(ack), HasPayload(0)}); }
SegmentCheck IsSyn() { return All({HasFlags(kTcpSyn), HasPayload(0)}); }
SegmentCheck IsSynAck(SeqNum ack) { return All({HasFlags(kTcpSyn | kTcpAck), HasAck(ack)}); }
SegmentCheck IsFin(SeqNum seq) { return All({HasFlags(kTcpFin | kTcpAck), HasSeq(seq)}); }
SegmentCheck IsData(SeqNum seq, size_t bytes) {
  return All({HasFlags(kTcpAck), HasSeq(seq), HasPayload(bytes)});
}
SegmentCheck IsReset(SeqNum seq) {
  return All({[](const SeenSegment& seen) {
                return (seen.flags & kTcpRst) != 0 ? std::string() : std::string(" [no RST]");
              },
              HasSeq(seq)});
}

void EngineFixture::Make(const HarnessSetup& setup, uint32_t backlog) {
  harness_ = std::make_unique<EngineHarness>(setup);
  // The clock at which the passive open's initial number is the one that the tests count from; it
  // moves on by one every 4 us.
  const SeqNum at_zero = InitialSequence(Flow(), setup.tcp.secret, 0);
  h().now = Nanos{(kOurIss - at_zero.value()).value()} * 4 * kMicrosecond;
  heard_ = 0;
  listener_ = *engine().Listen(IpAddress::FromV4(0), kListenPort, backlog, bound_);
}

// Whatever a test left open is given up, and then nothing may be left.
void EngineFixture::TearDown() {
  EXPECT_EQ(h().CheckAccount(false), "");
  if (engine().Find(id_) != nullptr) {
    engine().Abort(c(), h().now);
    engine().Detach(c(), h().now);
  }
  engine().DetachDevice(h().now);
  (void)engine().CloseListener(listener_, h().now);
  h().Advance(2 * kTimeWaitPeriod);
  h().Release();
  EXPECT_EQ(engine().connection_count(), 0u);
  EXPECT_EQ(h().CheckAccount(true), "");
}

FlowKey EngineFixture::Flow(uint16_t remote_port) const {
  return {IpAddress::FromV4(0xc0000202), IpAddress::FromV4(0xc0000201), kListenPort, remote_port};
}

// The peer hears what we say: it will acknowledge all of it, and echo our clock.
void EngineFixture::Hear() {
  const std::vector<SeenSegment>& segments = h().sink.segments;
  if (heard_ > segments.size()) heard_ = 0;
  for (; heard_ < segments.size(); ++heard_) {
    const SeenSegment& seen = segments[heard_];
    if (seen.flow.remote_port != peer_port_ || (seen.flags & kTcpRst) != 0) continue;
    const SeqNum end = seen.seq + seen.length();
    if ((seen.flags & kTcpSyn) != 0 || end > our_nxt_) our_nxt_ = end;
    if (seen.options.timestamps.has_value()) our_clock_ = seen.options.timestamps->value;
  }
}

void EngineFixture::Deliver(const FromPeer& from_peer) {
  Hear();
  Segment segment;
  segment.flow = Flow(peer_port_);
  segment.seq = from_peer.seq.value_or(peer_nxt_);
  segment.flags = from_peer.flags;
  if (segment.has(kTcpAck)) segment.ack = from_peer.ack.value_or(our_nxt_);
  segment.window = from_peer.window.value_or(peer_window_);
  segment.segment_count = from_peer.segment_count;
  segment.ecn = from_peer.ecn;
  if (from_peer.options.has_value()) segment.options = *from_peer.options;
  if (peer_syn_.timestamps.has_value() && !segment.options.timestamps.has_value()) {
    segment.options.timestamps =
        TcpTimestamps{from_peer.timestamp.value_or(peer_clock_), our_clock_};
  }
  if (from_peer.bytes != 0) h().AddPayload(&segment, from_peer.bytes, from_peer.device);
  if (!from_peer.seq.has_value()) peer_nxt_ = segment.end();
  h().Input(segment);
}

void EngineFixture::Send(const FromPeer& from_peer) {
  Deliver(from_peer);
  h().Flush();
}

std::vector<SeenSegment> EngineFixture::TakeSeen() {
  Hear();
  heard_ = 0;
  return std::exchange(h().sink.segments, {});
}

void EngineFixture::ExpectOnly(std::initializer_list<SegmentCheck> checks) {
  const std::vector<SeenSegment> seen = TakeSeen();
  std::string all;
  for (const SeenSegment& segment : seen) all += "\n  " + segment.ToString();
  ASSERT_EQ(seen.size(), checks.size()) << "came out:" << all;
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ((checks.begin()[i])(seen[i]), "") << "segment " << i << ":" << all;
  }
}

void EngineFixture::SynReceived() {
  peer_nxt_ = kPeerIss;
  Send({.flags = syn_flags_, .options = peer_syn_});
  id_ = ConnectionId{0, 0};
  engine().VisitConnections([&](const TcpConnection& connection) {
    if (connection.flow == Flow(peer_port_)) id_ = engine().IdOf(connection);
  });
  Forget();
  Hear();
  our_nxt_ = c().sender.snd_max();
  our_clock_ = c().timestamps.TsValue(h().now);
}

void EngineFixture::Established() {
  SynReceived();
  Send({});
  const std::optional<ConnectionId> id = engine().Accept(listener_);
  ASSERT_TRUE(id.has_value());
  id_ = *id;
  read_nxt_ = kPeerIss + 1;
  Forget();
}

void EngineFixture::SynSent() {
  id_ = *engine().Connect(Flow(peer_port_), bound_, h().now);
  peer_nxt_ = kPeerIss;
  Hear();
}

void EngineFixture::EstablishedActively() {
  SynSent();
  Send({.flags = kTcpSyn | kTcpAck, .options = peer_syn_});
  read_nxt_ = kPeerIss + 1;
  TakeSeen();
}

void EngineFixture::FinWait1() {
  Established();
  Shutdown();
  TakeSeen();
}

void EngineFixture::FinWait2() {
  FinWait1();
  Send({});
}

void EngineFixture::Closing() {
  Established();
  const SeqNum before_fin = c().sender.snd_nxt();
  Shutdown();
  Send({.ack = before_fin, .flags = kTcpFin | kTcpAck});
  TakeSeen();
}

void EngineFixture::TimeWait() {
  FinWait2();
  Send({.flags = kTcpFin | kTcpAck});
  TakeSeen();
}

void EngineFixture::CloseWait() {
  Established();
  Send({.flags = kTcpFin | kTcpAck});
  TakeSeen();
}

void EngineFixture::LastAck() {
  CloseWait();
  Shutdown();
  TakeSeen();
}

void EngineFixture::InState(TcpState state) {
  switch (state) {
    case TcpState::kSynSent: SynSent(); break;
    case TcpState::kSynReceived: SynReceived(); break;
    case TcpState::kEstablished: Established(); break;
    case TcpState::kFinWait1: FinWait1(); break;
    case TcpState::kFinWait2: FinWait2(); break;
    case TcpState::kCloseWait: CloseWait(); break;
    case TcpState::kClosing: Closing(); break;
    case TcpState::kLastAck: LastAck(); break;
    case TcpState::kTimeWait: TimeWait(); break;
    case TcpState::kClosed:
    case TcpState::kListen: FAIL() << "no connection has this state";
  }
  ASSERT_EQ(c().state, state);
  TakeSeen();
}

uint64_t EngineFixture::ReadAll() {
  const uint64_t bytes = h().Read(c(), &read_nxt_);
  h().Release();
  EXPECT_EQ(h().fault, "");
  return bytes;
}

void EngineFixture::SendBytes(size_t bytes) {
  std::vector<uint8_t> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<uint8_t>(i * 7 + i / 251);
  EXPECT_EQ(engine().Send(c(), data, h().now), bytes);
  h().Flush();
}

void EngineFixture::Shutdown() {
  engine().Shutdown(c(), h().now);
  h().Flush();
}

void EngineFixture::Detach() {
  engine().Detach(c(), h().now);
  h().Flush();
}

}  // namespace devmem::testing
