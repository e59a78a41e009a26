// SPDX-License-Identifier: Apache-2.0
//
// When memory is short or somebody wants it all: owners who keep what they were given, a region of
// two super-frames, a flood of SYNs. Slow is right; stuck or lossy is not.

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <vector>

#include "netmem/nic/impairment.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/raw_peer.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kStream = 21;

// Receives the whole stream, keeping frags for as long as `keep` says after each Recv.
uint64_t ReceiveAndKeep(WireWorld& world, Connection& connection,
                        const std::function<bool(std::deque<Frag>&)>& give_back) {
  std::deque<Frag> held;
  uint64_t offset = 0;
  const auto release = [&] {
    const std::vector<Frag> frags(held.begin(), held.end());
    uint64_t at = offset;
    for (const Frag& frag : frags) at -= frag.length_bytes;
    // Looked at only now: what was held must still be what arrived.
    for (const Frag& frag : frags) {
      EXPECT_EQ(FindMismatch(kStream, at, world.Bytes(frag)), std::nullopt) << "byte " << at;
      at += frag.length_bytes;
    }
    EXPECT_TRUE(connection.Release(frags).ok());
    held.clear();
  };
  while (true) {
    std::array<Frag, 4> frags;
    const absl::StatusOr<size_t> count = connection.Recv(frags, world.now() + 60 * kSecond);
    if (absl::IsDeadlineExceeded(count.status()) && !held.empty()) {
      release();
      continue;
    }
    EXPECT_TRUE(count.ok()) << count.status() << " at byte " << offset;
    if (!count.ok() || *count == 0) break;
    for (const Frag& frag : std::span(frags).first(*count)) {
      held.push_back(frag);
      offset += frag.length_bytes;
    }
    if (give_back(held)) release();
  }
  release();
  return offset;
}

WireWorldOptions SuperFrames() {
  WireWorldOptions options;
  options.link.gso = true;
  options.link.a_to_b = {.bandwidth_bits_per_s = 10'000'000'000, .delay_ns = 100'000};
  options.link.b_to_a = options.link.a_to_b;
  // A host pool that holds little, so that the spill is no way out.
  options.server.host_bytes_per_queue = kHostBytesPerQueueMin;
  return options;
}

TEST(StackStarvationTest, TwoSuperFramesOfMemoryAndARareReturnAreSlowRightAndNeverStuck) {
  WireWorldOptions options = SuperFrames();
  options.region_bytes = kBindingBytesMin;
  EXPECT_LE(options.region_bytes, 2ull * (128 << 10));
  WireWorld world(options);
  std::unique_ptr<Listener> listener = world.Listen();
  {
    ConnectionPair pair = world.Open(*listener);
    constexpr uint64_t kBytes = 4 << 20;
    world.PumpFrom(*pair.client, kStream, kBytes);
    SeededRandom random(3);
    EXPECT_EQ(ReceiveAndKeep(world, *pair.server,
                             [&](std::deque<Frag>&) { return random.Below(7) == 0; }),
              kBytes);
    EXPECT_GT(world.ServerStatistic("tcp.zero_windows_sent"), 0u);
  }
  listener.reset();
  world.ExpectNothingLeft();
}

TEST(StackStarvationTest, AnOwnerWhoReturnsNothingShutsTheWindowAndReturningOpensIt) {
  for (const bool gso : {false, true}) {
    WireWorldOptions options = SuperFrames();
    options.link.gso = gso;
    WireWorld world(options);
    std::unique_ptr<Listener> listener = world.Listen();
    {
      ConnectionPair pair = world.Open(*listener);
      constexpr uint64_t kBytes = 8 << 20;
      world.PumpFrom(*pair.client, kStream, kBytes);
      // Nothing is given back until a minute passed without any news.
      EXPECT_EQ(ReceiveAndKeep(world, *pair.server, [](std::deque<Frag>&) { return false; }),
                kBytes);
      EXPECT_GT(world.ServerStatistic("tcp.zero_windows_sent"), 0u);
    }
    listener.reset();
    world.ExpectNothingLeft();
  }
}

TEST(StackStarvationTest, FourConnectionsShareARegionThatIsTooSmallForOne) {
  WireWorldOptions options = SuperFrames();
  options.region_bytes = kBindingBytesMin;
  options.link.a_to_b.loss = 0.01;
  WireWorld world(options);
  std::unique_ptr<Listener> listener = world.Listen();
  {
    constexpr uint64_t kBytes = 1 << 20;
    std::vector<ConnectionPair> pairs;
    std::array<uint64_t, 4> offsets{};
    for (uint32_t i = 0; i < 4; ++i) pairs.push_back(world.Open(*listener));
    for (uint32_t i = 0; i < 4; ++i) world.PumpFrom(*pairs[i].client, i, kBytes);
    const bool done = world.RunUntil(
        [&] {
          for (uint32_t i = 0; i < 4; ++i) {
            std::array<Frag, 2> frags;
            const absl::StatusOr<size_t> count = pairs[i].server->Recv(frags, 0);
            if (!count.ok()) continue;
            for (const Frag& frag : std::span(frags).first(*count)) {
              EXPECT_EQ(FindMismatch(i, offsets[i], world.Bytes(frag)), std::nullopt);
              offsets[i] += frag.length_bytes;
            }
            EXPECT_TRUE(pairs[i].server->Release(std::span(frags).first(*count)).ok());
          }
          return offsets == std::array<uint64_t, 4>{kBytes, kBytes, kBytes, kBytes};
        },
        3600 * kSecond);
    EXPECT_TRUE(done) << offsets[0] << " " << offsets[1] << " " << offsets[2] << " " << offsets[3];
    world.Run(kSecond);
  }
  listener.reset();
  world.ExpectNothingLeft();
}

TEST(StackStarvationTest, ATransferGoesOnUnharmedDuringAFloodOfSyns) {
  WireWorldOptions options;
  options.link.a_to_b = {.bandwidth_bits_per_s = 1'000'000'000, .delay_ns = kMillisecond};
  options.link.b_to_a = options.link.a_to_b;
  options.server.addresses = {"198.18.0.1/15"};
  options.client.addresses = {"198.18.0.2/15"};
  WireWorld world(options);
  std::unique_ptr<Listener> listener =
      ValueOrFail(world.server().Listen({.address = "198.18.0.1", .port = kPort, .backlog = 16},
                                        world.binding()),
                  "listener");
  {
    ConnectionPair pair;
    pair.client =
        ValueOrFail(world.client().Connect({.address = "198.18.0.1", .port = kPort}), "client");
    pair.server = ValueOrFail(listener->Accept(), "server");
    constexpr uint64_t kBytes = 4 << 20;
    const Nanos begin = world.now();
    world.PumpFrom(*pair.client, kStream, kBytes);
    uint32_t source = 0xc6120100;
    uint64_t flooded = 0;
    // The answers make events of their own: without a rate, the flood would feed on itself.
    Nanos next_burst = begin;
    world.OnWait([&] {
      if (world.now() < next_burst) return;
      next_burst = world.now() + 50 * kMicrosecond;
      for (int i = 0; i < 8; ++i) {
        const RawSegment syn{
            .seq = SeqNum(source), .flags = kTcpSyn, .source = source, .destination = 0xc6120001};
        if (world.link().b().Inject(syn.Bytes())) ++flooded;
        ++source;
      }
    });
    EXPECT_EQ(ReceiveAndKeep(world, *pair.server, [](std::deque<Frag>&) { return true; }), kBytes);
    EXPECT_GT(flooded, 5000u);
    EXPECT_LT(world.now() - begin, kSecond) << "4 MiB take 36 ms on a quiet link";
    EXPECT_EQ(world.ServerStatistic("tcp.cookies_sent"), flooded - 16);
    EXPECT_EQ(world.ClientStatistic("tcp.retransmits"), 0u);
  }
  listener.reset();
  world.ExpectNothingLeft();
}

}  // namespace
}  // namespace devmem::testing
