// SPDX-License-Identifier: Apache-2.0
// Feeds the engine what a fuzzer makes up: segments whose numbers lie near the edges that matter,
// calls of users, and time. After every step the account must add up, the ledger must know every
// promise, no edge may have moved left, and every byte below rcv_nxt must be there, in its place.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "selftests/testing/engine_harness.h"

namespace devmem::testing {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "engine_fuzz: %s\n", what.c_str());
  std::abort();
}

// The fuzzer's bytes, and zeros behind their end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return at_ >= size_; }
  uint8_t Byte() { return empty() ? uint8_t{0} : data_[at_++]; }
  uint16_t Word() {
    const uint16_t high = Byte();
    return static_cast<uint16_t>(high << 8 | Byte());
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

// What was last seen of one connection.
struct Seen {
  uint32_t generation = 0;
  SeqNum rcv_nxt;
  SeqNum right_edge;
  SeqNum snd_una;
  SeqNum read_nxt;
  bool started = false;  // The peer's initial number is known.
};

class EngineFuzz {
 public:
  explicit EngineFuzz(Input input) : input_(input), h_(Setup(input_)) {
    Listen();
    h_.now = kSecond;
  }

  void Run() {
    while (!input_.empty()) {
      Step();
      Check();
    }
    End();
  }

 private:
  static constexpr uint32_t kFlows = 4;

  static HarnessSetup Setup(Input& input) {
    HarnessSetup setup;
    const uint8_t shape = input.Byte();
    setup.device_bytes = (shape & 1) != 0 ? 128u << 10 : 512u << 10;
    setup.host_bytes = 128u << 10;
    setup.piece_count = (shape & 2) != 0 ? 6 : 512;
    setup.tcp.connections_max = (shape & 4) != 0 ? 2 : 8;
    setup.tcp.timestamps = (shape & 8) == 0;
    setup.tcp.sack = (shape & 16) == 0;
    setup.tcp.window_bytes_max = (shape & 32) != 0 ? 5000 : 4u << 20;
    setup.tcp.gso_bytes_max = (shape & 64) != 0 ? 20'000 : 0;
    setup.tcp.send_buffer_bytes = 32u << 10;
    if ((shape & 128) != 0) {
      const uint8_t more = input.Byte();
      setup.tcp.ecn = (more & 1) != 0 ? EcnMode::kOffer : EcnMode::kOff;
      setup.tcp.syn_cookies = (more & 2) != 0 ? SynCookies::kAlways : SynCookies::kOff;
      setup.tcp.mtu_bytes = (more & 4) != 0 ? 576 : (more & 8) != 0 ? 65'535 : 1500;
      setup.device_reserve_bytes = (more & 16) != 0 ? 4096 : 64u << 10;
    }
    return setup;
  }

  // The last one is of IPv6.
  static FlowKey Flow(uint32_t number) {
    constexpr std::array<uint8_t, 16> kOurs = {0x20, 0x01, 0x0d, 0xb8, 1};
    constexpr std::array<uint8_t, 16> kTheirs = {0x20, 0x01, 0x0d, 0xb8, 2};
    if (number == kFlows - 1) {
      return {IpAddress::FromV6(kOurs), IpAddress::FromV6(kTheirs), 80, 1000 + kFlows - 1};
    }
    return {IpAddress::FromV4(1), IpAddress::FromV4(2), 80, static_cast<uint16_t>(1000 + number)};
  }

  TcpConnection* Existing(uint32_t number) {
    TcpConnection* found = nullptr;
    h_.engine->VisitConnections([&](const TcpConnection& connection) {
      if (connection.flow == Flow(number))
        found = &h_.engine->at(h_.engine->IdOf(connection).index);
    });
    return found;
  }

  // The user's connection with this number, if he holds it.
  TcpConnection* Held(uint32_t number) { return h_.engine->Find(ids_[number % kFlows]); }

  void Step() {
    const uint8_t step = input_.Byte();
    const uint32_t number = (step >> 4) % kFlows;
    switch (step & 15) {
      case 0:
      case 1:
      case 2:
      case 3: SendSegment(number); return;
      case 4: Handshake(number); return;
      case 5: Accept(); return;
      case 6: Read(number); return;
      case 7: h_.Release(input_.Byte()); return;
      case 8: h_.Flush(); return;
      case 9: h_.Advance(Nanos{input_.Byte()} * 10 * kMillisecond); return;
      case 10: h_.Advance(Nanos{input_.Byte()} * kSecond); return;
      case 11: UserSends(number); return;
      case 12: UserCloses(number); return;
      case 13: Connect(number); return;
      case 14: (step & 0x80) != 0 ? MergedRun(number) : InOrder(number); return;
      case 15: Rarely(); return;
    }
  }

  // A number near one of the edges of the connection, or anywhere.
  SeqNum NearSeq(const TcpConnection* connection) {
    const uint8_t where = input_.Byte();
    const uint32_t by = (where & 0x80) != 0 ? input_.Word() : input_.Byte() % 8u;
    if (connection == nullptr) return SeqNum(0xffffff00u + by);
    SeqNum edge = connection->receiver.rcv_nxt();
    if ((where & 3) == 1) edge = connection->receiver.right_edge();
    if ((where & 3) == 2) edge = connection->irs;
    return (where & 0x40) != 0 ? edge - by : edge + by;
  }
  SeqNum NearAck(const TcpConnection* connection) {
    const uint8_t where = input_.Byte();
    const uint32_t by = (where >> 2) % 8;
    if (connection == nullptr) return SeqNum(by);
    SeqNum edge = connection->sender.snd_max();
    if ((where & 3) == 1) edge = connection->sender.snd_una();
    if ((where & 3) == 2) edge = edge - by;
    if ((where & 3) == 3) edge = edge + by;
    return edge;
  }
  TcpOptions Options(const TcpConnection* connection, uint8_t bits) {
    TcpOptions options;
    if ((bits & 1) != 0) options.mss = input_.Word();
    if ((bits & 2) != 0) options.window_scale = static_cast<uint8_t>(input_.Byte() % 16);
    options.sack_permitted = (bits & 4) != 0;
    if ((bits & 8) != 0) {
      const uint32_t recent = connection == nullptr ? 0 : connection->timestamps.ts_recent;
      options.timestamps = TcpTimestamps{recent + input_.Byte() - 16u, input_.Byte()};
    }
    return options;
  }
  // Blocks in what was sent, beside it, and turned round.
  void AddSacks(const TcpConnection* connection, TcpOptions* options) {
    const uint8_t shape = input_.Byte();
    options->malformed = (shape & 4) != 0;
    options->sack_block_count = static_cast<uint8_t>((shape & 3) + 1);
    const SeqNum una = connection == nullptr ? SeqNum(0) : connection->sender.snd_una();
    for (SackBlock& block : options->sack_blocks) {
      const uint8_t where = input_.Byte();
      block.left = (where & 0x80) != 0 ? una - (where & 0x7fu) : una + where * 100u;
      block.right = block.left + input_.Byte() * 30u - ((shape & 8) != 0 ? 50u : 0u);
    }
  }

  void Deliver(Segment& segment, uint32_t bytes, bool device) {
    if (bytes != 0) h_.AddPayload(&segment, bytes, device && attached_);
    h_.Input(segment);
  }

  void SendSegment(uint32_t number) {
    const TcpConnection* connection = Existing(number);
    Segment segment{.flow = Flow(number)};
    segment.flags = input_.Byte();
    segment.seq = NearSeq(connection);
    segment.ack = NearAck(connection);
    segment.window = input_.Word();
    const uint8_t shape = input_.Byte();
    segment.options = Options(connection, shape & 15);
    segment.segment_count = shape >> 6;
    if ((segment.flags & kTcpUrg) != 0) {
      // An urgent pointer means nothing here; its bit brings what is rare.
      segment.ecn = input_.Byte() & 3;
      AddSacks(connection, &segment.options);
    }
    const uint32_t bytes = (shape & 16) != 0 ? input_.Word() % 20'000u : input_.Byte();
    Deliver(segment, bytes, (shape & 32) == 0);
  }

  void Handshake(uint32_t number) {
    Segment syn{.flow = Flow(number), .seq = SeqNum(0xfffffff0), .flags = kTcpSyn, .window = 5000};
    syn.options = Options(nullptr, input_.Byte() & 15);
    h_.Input(syn);
    InOrder(number);
  }

  // The next segment in order, of a peer that keeps the rules.
  void InOrder(uint32_t number) {
    const TcpConnection* connection = Existing(number);
    if (connection == nullptr) return;
    Segment segment = NextOf(*connection);
    Deliver(segment, input_.Byte() * 40u, true);
  }
  static Segment NextOf(const TcpConnection& connection) {
    Segment segment{.flow = connection.flow, .flags = kTcpAck, .window = 5000};
    segment.seq = connection.receiver.rcv_nxt();
    segment.ack = connection.sender.snd_max();
    if (connection.timestamps.enabled) {
      segment.options.timestamps = TcpTimestamps{connection.timestamps.ts_recent, 0};
    }
    return segment;
  }

  // Several frames that the stack took together, in order or nearly; what the engine does not take
  // as a run comes by itself.
  void MergedRun(uint32_t number) {
    const TcpConnection* connection = Existing(number);
    if (connection == nullptr) return;
    Segment segment = NextOf(*connection);
    const uint8_t shape = input_.Byte();
    segment.segment_count = 1 + shape % 8;
    if ((shape & 8) != 0) segment.seq = NearSeq(connection);
    if ((shape & 16) != 0) segment.ack = NearAck(connection);
    if ((shape & 32) != 0 && connection->timestamps.enabled) {
      segment.options.timestamps->value += input_.Byte() - 16u;
    }
    h_.AddPayload(&segment, 1 + input_.Byte() * 40u, connection->bound && attached_);
    const SegmentRun run{.seq = segment.seq,
                         .ack = segment.ack,
                         .payload_bytes = segment.payload_bytes,
                         .window = segment.window,
                         .segment_count = segment.segment_count,
                         .frame_count = segment.segment_count,
                         .has_timestamp = segment.options.timestamps.has_value(),
                         .timestamp = segment.options.timestamps.value_or(TcpTimestamps()).value,
                         .pieces = segment.pieces};
    const bool is_whole = !segment.cut && segment.payload_bytes != 0;
    if (is_whole && h_.engine->InputRun(segment.flow, h_.engine->HashOf(segment.flow), run, h_.now))
      return;
    h_.Input(segment);
  }

  void Accept() {
    std::optional<ConnectionId> id;
    for (const ListenerId listener : listeners_) {
      if (!id.has_value()) id = h_.engine->Accept(listener);
    }
    if (!id.has_value()) return;
    const uint32_t number = h_.engine->Find(*id)->flow.remote_port - 1000u;
    LetGo(number);
    ids_[number] = *id;
  }

  void LetGo(uint32_t number) {
    if (TcpConnection* connection = Held(number)) h_.engine->Detach(*connection, h_.now);
    ids_[number] = ConnectionId();
  }

  void Read(uint32_t number) {
    TcpConnection* connection = Held(number);
    if (connection == nullptr || connection->receiver.in_order().empty()) return;
    Seen& seen = seen_[h_.engine->IdOf(*connection).index];
    h_.Read(*connection, &seen.read_nxt, 1 + input_.Byte() * 100u);
  }

  void UserSends(uint32_t number) {
    TcpConnection* connection = Held(number);
    if (connection == nullptr) return;
    h_.engine->Send(*connection, std::vector<uint8_t>(input_.Byte() * 50u), h_.now);
  }

  void UserCloses(uint32_t number) {
    TcpConnection* connection = Held(number);
    if (connection == nullptr) return;
    switch (input_.Byte() & 3) {
      case 0: h_.engine->Shutdown(*connection, h_.now); return;
      case 1: h_.engine->Abort(*connection, h_.now); return;
      case 2: LetGo(number); return;
      case 3: h_.engine->SetKeepalive(*connection, input_.Byte() * kSecond, h_.now); return;
    }
  }

  void Connect(uint32_t number) {
    if (Held(number) != nullptr) return;
    const absl::StatusOr<ConnectionId> id =
        h_.engine->Connect(Flow(number), attached_ && (input_.Byte() & 1) != 0, h_.now);
    if (id.ok()) ids_[number] = *id;
  }

  void Listen() {
    constexpr std::array<uint8_t, 16> kAny6 = {};
    listeners_[0] = *h_.engine->Listen(IpAddress::FromV4(0), 80, 3, attached_);
    listeners_[1] = *h_.engine->Listen(IpAddress::FromV6(kAny6), 80, 3, attached_);
  }
  void CloseListeners() {
    for (const ListenerId listener : listeners_) (void)h_.engine->CloseListener(listener, h_.now);
  }

  // A router says something about a segment that we may have sent.
  void Icmp() {
    const uint8_t shape = input_.Byte();
    const uint32_t number = shape % kFlows;
    const TcpConnection* connection = Existing(number);
    IcmpError error{.flow = Flow(number), .seq = NearAck(connection)};
    constexpr IcmpErrorKind kKinds[] = {IcmpErrorKind::kUnreachable, IcmpErrorKind::kSoft,
                                        IcmpErrorKind::kTooBig, IcmpErrorKind::kTooBig};
    error.kind = kKinds[(shape >> 2) & 3];
    error.mtu_bytes = input_.Word();
    error.system_error = 113;
    h_.engine->InputIcmp(error, h_.now);
  }

  // Somebody else's data takes net_iovs, or gives them back.
  void Hog() {
    for (uint32_t n = input_.Byte() % 64u; n > 0; --n) {
      const NetmemRef netmem = h_.device->Alloc();
      if (netmem.is_null()) return;
      hogged_.push_back(Piece{netmem, 0, h_.device->net_iov_bytes()});
    }
  }
  void Unhog() {
    for (const Piece& piece : hogged_) h_.device->Put(piece);
    hogged_.clear();
    h_.engine->OnMemoryReturned(h_.now);
  }

  void Rarely() {
    switch (input_.Byte() & 7) {
      case 0:
        CloseListeners();
        Listen();
        return;
      case 1:
        if (!attached_) return;
        attached_ = false;
        h_.engine->DetachDevice(h_.now);
        ForgetDropped();
        return;
      case 2:
        if (attached_) return;
        attached_ = h_.engine->AttachDevice(64u << 10).ok();
        return;
      case 3: Icmp(); return;
      case 4: Hog(); return;
      case 5: Unhog(); return;
      default: h_.engine->ClearChanged(); return;
    }
  }

  // Losing the binding takes what was unread with it: the only time that this may happen.
  void ForgetDropped() {
    h_.engine->VisitConnections([&](const TcpConnection& connection) {
      if (connection.state == TcpState::kClosed && connection.receiver.in_order().empty()) {
        seen_[h_.engine->IdOf(connection).index].started = false;
      }
    });
  }

  void Check() {
    const std::string wrong = h_.CheckAccount(false);
    if (!wrong.empty()) Fail(wrong);
    h_.engine->VisitConnections([&](const TcpConnection& connection) { Check(connection); });
    h_.sink.segments.clear();
  }

  void Check(const TcpConnection& connection) {
    const Receiver& receiver = connection.receiver;
    Seen& seen = seen_[h_.engine->IdOf(connection).index];
    if (seen.generation != connection.generation) {
      seen = Seen();
      seen.generation = connection.generation;
    }
    if (receiver.right_edge() < receiver.rcv_nxt()) Fail("rcv_nxt passed the right edge");
    const Sender& sender = connection.sender;
    if (sender.snd_una() > sender.snd_nxt() || sender.snd_nxt() > sender.snd_max()) {
      Fail("the sender's numbers are out of order");
    }
    if (connection.state == TcpState::kSynSent) return;
    if (!seen.started) {
      if (connection.state == TcpState::kClosed) return;
      seen.started = true;
      seen.read_nxt = seen.rcv_nxt = connection.irs + 1;
      seen.right_edge = receiver.right_edge();
      seen.snd_una = sender.snd_una();
    }
    if (receiver.rcv_nxt() < seen.rcv_nxt) Fail("rcv_nxt moved left");
    if (receiver.right_edge() < seen.right_edge) Fail("the right edge moved left");
    if (sender.snd_una() < seen.snd_una) Fail("snd_una moved left");
    seen.rcv_nxt = receiver.rcv_nxt();
    seen.right_edge = receiver.right_edge();
    seen.snd_una = sender.snd_una();
    if (connection.close_reason == CloseReason::kAborted) return;  // Its data went with it.
    const uint64_t there = receiver.in_order().bytes();
    const uint32_t owed = receiver.rcv_nxt().value() - seen.read_nxt.value();
    // The FIN takes a number too; a closed connection does not say whether it had one.
    const bool fin = HasReceivedFin(connection.state);
    const bool may_be_fin = fin || connection.state == TcpState::kClosed;
    if (there + (fin ? 1 : 0) != owed && !(may_be_fin && there + 1 == owed)) {
      Fail(
          absl::StrCat(owed, " numbers below rcv_nxt are unread, but ", there, " bytes are there"));
    }
  }

  void End() {
    for (uint32_t number = 0; number < kFlows; ++number) LetGo(number);
    CloseListeners();
    Unhog();
    if (attached_) h_.engine->DetachDevice(h_.now);
    h_.Advance(4 * 3600 * kSecond);
    h_.Release();
    h_.engine->VisitConnections([&](const TcpConnection& connection) {
      Fail(absl::StrCat("a connection outlived its user by four hours, in ",
                        ToString(connection.state)));
    });
    const std::string wrong = h_.CheckAccount(true);
    if (!wrong.empty()) Fail(wrong);
  }

  Input input_;
  EngineHarness h_;
  std::array<ListenerId, 2> listeners_{};
  std::vector<Piece> hogged_;
  bool attached_ = true;
  std::array<ConnectionId, kFlows> ids_;
  std::map<uint32_t, Seen> seen_;
};

}  // namespace
}  // namespace devmem::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  devmem::testing::EngineFuzz(devmem::testing::Input(data, size)).Run();
  return 0;
}
