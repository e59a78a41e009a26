// SPDX-License-Identifier: Apache-2.0
//
// See flood_world.h.

#include "bench/flood_world.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bench/flood_frames.h"
#include "netmem/tcp/time.h"
#include "selftests/testing/wire_world.h"

namespace devmem::bench {
namespace {

using testing::ConnectionPair;
using testing::WireWorld;
using testing::WireWorldOptions;

constexpr uint64_t kBytes = 16u << 20;
constexpr uint64_t kStream = 0xf100d;
// What a segment of 1448 bytes takes on the wire at 1 Gbit/s.
constexpr Nanos kFramePeriod = 12 * kMicrosecond;
constexpr size_t kFrames = 512;  // Of each kind.

WireWorldOptions Options() {
  WireWorldOptions options;
  ImpairmentConfig path;
  path.bandwidth_bits_per_s = 1'000'000'000;
  path.delay_ns = kMillisecond;
  options.link.a_to_b = path;
  options.link.b_to_a = path;
  options.link.trace = false;
  options.region_bytes = 16u << 20;
  return options;
}

// Whole frames, all kinds in turn, about the server's first connection.
std::vector<std::vector<uint8_t>> HostileFrames(WireWorld& world) {
  TcpEngine& engine = world.server_stack().worker(1).engine();
  TcpConnection& victim = engine.at(0);
  FloodTarget target;
  target.peer_mac = world.link().a().info().mac;
  target.our_mac = world.link().b().info().mac;
  target.flow = {.local = victim.flow.remote,
                 .remote = victim.flow.local,
                 .local_port = victim.flow.remote_port,
                 .remote_port = victim.flow.local_port};
  target.rcv_nxt = victim.receiver.rcv_nxt();
  target.peer_ack = victim.sender.snd_max();
  target.window_bytes = victim.receiver.outstanding_bytes();
  SeededRandom random(5);
  std::vector<std::vector<uint8_t>> frames;
  for (size_t i = 0; i < kFrames * kFloodKinds.size(); ++i) {
    const FloodFrame frame = MakeFloodFrame(kFloodKinds[i % kFloodKinds.size()], target, random);
    // A payload of zeros adds nothing to the checksum that is in the header.
    std::vector<uint8_t> bytes(size_t{frame.header_bytes} + frame.payload_bytes);
    std::copy(frame.header().begin(), frame.header().end(), bytes.begin());
    frames.push_back(std::move(bytes));
  }
  return frames;
}

bool ReceiveAll(Connection& connection) {
  std::array<Frag, 64> frags;
  uint64_t bytes = 0;
  for (;;) {
    const absl::StatusOr<size_t> count = connection.Recv(frags);
    if (!count.ok() || *count == 0) return count.ok() && bytes == kBytes;
    for (const Frag& frag : std::span(frags).first(*count)) bytes += frag.length_bytes;
    if (!connection.Release(std::span(frags).first(*count)).ok()) return false;
  }
}

}  // namespace

double TransferSeconds(bool flooded) {
  WireWorld world(Options());
  const std::unique_ptr<Listener> listener = world.Listen();
  ConnectionPair victim = world.Open(*listener);
  ConnectionPair good = world.Open(*listener);
  // The first payload opens the window that the frames are aimed at.
  const std::array<uint8_t, 64> hello{};
  if (!victim.client->Send(hello).ok()) return 0;
  world.Run(10 * kMillisecond);
  const std::vector<std::vector<uint8_t>> frames = HostileFrames(world);
  size_t next = 0;
  Nanos next_at = world.now();
  if (flooded) {
    world.OnWait([&] {
      for (; next_at <= world.now(); next_at += kFramePeriod) {
        (void)world.link().b().Inject(frames[next++ % frames.size()]);
      }
    });
  }
  const Nanos begin = world.now();
  world.PumpFrom(*good.client, kStream, kBytes);
  const bool whole = ReceiveAll(*good.server);
  const Nanos end = world.now();
  next_at = kNever;
  victim.client->Abort();
  victim.server->Abort();
  return whole ? static_cast<double>(end - begin) / kSecond : 0;
}

}  // namespace devmem::bench
