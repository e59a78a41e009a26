// SPDX-License-Identifier: Apache-2.0
// Two engines joined by a channel that loses, delays, reorders and duplicates by a seed, with
// little memory and users who read at random. Both streams must arrive whole and in order, both
// sides close, and the same seed must give the same segments at the same times.

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "selftests/testing/engine_harness.h"

namespace devmem::testing {
namespace {

struct Channel {
  const char* name;
  uint32_t seed;
  uint32_t loss_percent = 0;
  uint32_t duplicate_percent = 0;
  Nanos jitter = kMillisecond;  // More than the spacing of segments reorders them.
  uint64_t device_bytes = 1u << 20;
  uint32_t stream_bytes = 300'000;
};

uint8_t PatternByte(uint64_t offset) { return static_cast<uint8_t>(offset * 31 + (offset >> 8)); }

// One side: an engine, its connection, and a user that sends, reads and gives back.
struct Side {
  explicit Side(const HarnessSetup& setup) : harness(setup) {}

  TcpConnection* connection() { return harness.engine->Find(id); }

  EngineHarness harness;
  ConnectionId id;
  SeqNum read_nxt;
  SeqNum sent_first;  // The number of our stream's first byte.
  uint64_t queued = 0;
  uint64_t read = 0;
  bool shut = false;
  bool detached = false;
};

class Conversation {
 public:
  explicit Conversation(const Channel& channel)
      : channel_(channel), random_(channel.seed), sides_{Side(Setup(0)), Side(Setup(20'000))} {
    const ListenerId listener =
        *sides_[0].harness.engine->Listen(IpAddress::FromV4(0), 80, 8, true);
    FlowKey flow{IpAddress::FromV4(1), IpAddress::FromV4(2), 40000, 80};
    sides_[1].id = *sides_[1].harness.engine->Connect(flow, true, 0);
    Collect();
    while (now_ < 3600 * kSecond && !finished()) {
      if (sides_[0].id.generation == 0) {
        const std::optional<ConnectionId> id = sides_[0].harness.engine->Accept(listener);
        if (id.has_value()) sides_[0].id = *id;
      }
      for (Side& side : sides_) Use(side);
      Collect();
      Next();
    }
    // TIME-WAIT, and tokens that come back last.
    for (Side& side : sides_) {
      side.harness.RunUntil(now_ + 2 * kTimeWaitPeriod);
      side.harness.Release();
      faults += side.harness.CheckAccount(true);
    }
  }

  bool finished() const { return sides_[0].detached && sides_[1].detached; }
  const Side& side(size_t index) const { return sides_[index]; }

  std::string faults;
  uint64_t hash = 0xcbf29ce484222325;
  uint64_t segment_count = 0;

 private:
  HarnessSetup Setup(uint32_t gso_bytes) const {
    HarnessSetup setup;
    setup.device_bytes = channel_.device_bytes;
    setup.tcp.gso_bytes_max = gso_bytes;
    setup.tcp.connections_max = 4;
    return setup;
  }
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }

  void Use(Side& side) {
    TcpConnection* connection = side.connection();
    if (connection == nullptr || side.detached) return;
    EngineHarness& h = side.harness;
    if (!CanSendData(connection->state) && connection->payload_bytes_received == 0) return;
    if (side.read_nxt == SeqNum()) {
      side.read_nxt = connection->irs + 1;
      side.sent_first = connection->sender.iss() + 1;
    }
    while (side.queued < channel_.stream_bytes) {
      std::vector<uint8_t> bytes(
          std::min(1 + Below(9000), channel_.stream_bytes - static_cast<uint32_t>(side.queued)));
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = PatternByte(side.queued + i);
      const size_t taken = h.engine->Send(*connection, bytes, now_);
      side.queued += taken;
      if (taken < bytes.size()) break;
    }
    if (side.queued == channel_.stream_bytes && !side.shut) {
      h.engine->Shutdown(*connection, now_);
      side.shut = true;
    }
    if (Below(3) != 0) side.read += h.Read(*connection, &side.read_nxt, 1 + Below(60'000));
    if (Below(2) == 0) h.Release(Below(20));
    const bool over = HasReceivedFin(connection->state) || connection->state == TcpState::kClosed;
    if (side.shut && over && connection->receiver.in_order().empty() &&
        connection->sender.all_acked()) {
      h.engine->Detach(*connection, now_);
      side.detached = true;
    }
  }

  // What the engines said goes onto the channel.
  void Collect() {
    for (size_t from = 0; from < 2; ++from) {
      EngineHarness& h = sides_[from].harness;
      h.now = now_;
      h.Flush();
      for (SeenSegment& seen : h.sink.segments) {
        Note(from, seen);
        const uint32_t copies = Below(100) < channel_.duplicate_percent ? 2 : 1;
        for (uint32_t copy = 0; copy < copies; ++copy) {
          if (Below(100) < channel_.loss_percent) continue;
          const Nanos delay = kMillisecond + Nanos{Below(1000)} * channel_.jitter / 1000;
          in_flight_.emplace(now_ + delay, std::pair{1 - from, seen});
        }
      }
      h.sink.segments.clear();
    }
  }

  void Note(size_t from, const SeenSegment& seen) {
    ++segment_count;
    for (const char byte : seen.ToString() + std::to_string(now_)) {
      hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
    }
    if ((seen.flags & kTcpRst) != 0) faults += "a reset went out; ";
    const uint32_t offset = (seen.seq.value() - sides_[from].sent_first.value());
    for (size_t i = 0; i < seen.payload.size(); ++i) {
      if (seen.payload[i] == PatternByte(offset + i)) continue;
      faults += "a byte was sent under another's number; ";
      return;
    }
  }

  // Time goes on to the next delivery or timer, whichever comes first.
  void Next() {
    Nanos next = now_ + 10 * kMillisecond;  // Users come back at least this often.
    if (!in_flight_.empty()) next = std::min(next, in_flight_.begin()->first);
    now_ = std::max(now_, next);
    for (Side& side : sides_) {
      side.harness.now = now_;
      side.harness.engine->Expire(now_);
    }
    while (!in_flight_.empty() && in_flight_.begin()->first <= now_) {
      const auto [to, seen] = std::move(in_flight_.begin()->second);
      in_flight_.erase(in_flight_.begin());
      Deliver(sides_[to], seen);
    }
    for (Side& side : sides_) {
      const std::string wrong = side.harness.CheckAccount(false);
      if (faults.empty()) faults = wrong;
    }
  }

  void Deliver(Side& side, const SeenSegment& seen) {
    Segment segment{.seq = seen.seq, .ack = seen.ack, .flags = seen.flags, .window = seen.window};
    segment.flow = {seen.flow.remote, seen.flow.local, seen.flow.remote_port, seen.flow.local_port};
    segment.options = seen.options;
    if (!seen.payload.empty()) {
      side.harness.AddPayload(&segment, static_cast<uint32_t>(seen.payload.size()), Below(20) != 0);
    }
    side.harness.Input(segment);
  }

  const Channel channel_;
  std::mt19937 random_;
  std::array<Side, 2> sides_;
  std::multimap<Nanos, std::pair<size_t, SeenSegment>> in_flight_;
  Nanos now_ = 0;
};

class EngineRandomTest : public ::testing::TestWithParam<Channel> {};

INSTANTIATE_TEST_SUITE_P(
    Channels, EngineRandomTest,
    ::testing::Values(Channel{.name = "Clean", .seed = 1},
                      Channel{.name = "Reordering", .seed = 2, .jitter = 20 * kMillisecond},
                      Channel{.name = "Losing", .seed = 3, .loss_percent = 3},
                      Channel{.name = "Duplicating", .seed = 4, .duplicate_percent = 20},
                      Channel{.name = "LittleMemory", .seed = 5, .device_bytes = 128u << 10},
                      Channel{.name = "Everything",
                              .seed = 6,
                              .loss_percent = 5,
                              .duplicate_percent = 5,
                              .jitter = 10 * kMillisecond,
                              .device_bytes = 192u << 10,
                              .stream_bytes = 200'000},
                      Channel{.name = "Terrible",
                              .seed = 7,
                              .loss_percent = 20,
                              .duplicate_percent = 20,
                              .jitter = 40 * kMillisecond,
                              .device_bytes = 128u << 10,
                              .stream_bytes = 60'000}),
    [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(EngineRandomTest, BothStreamsArriveWholeAndInOrder) {
  const Conversation conversation(GetParam());
  EXPECT_EQ(conversation.faults, "");
  EXPECT_TRUE(conversation.finished());
  for (size_t index = 0; index < 2; ++index) {
    EXPECT_EQ(conversation.side(index).read, GetParam().stream_bytes) << "side " << index;
  }
}

TEST_P(EngineRandomTest, TheSameSeedGivesTheSameSegmentsAtTheSameTimes) {
  const Conversation first(GetParam());
  const Conversation second(GetParam());
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(first.segment_count, second.segment_count);
  Channel other = GetParam();
  other.seed += 100;
  EXPECT_NE(Conversation(other).hash, first.hash);
}

}  // namespace
}  // namespace devmem::testing
