// SPDX-License-Identifier: Apache-2.0
//
// What hostile frames cost, and whom. flood_<kind>_ns is the time of a worker's turn for each frame
// of a burst of hostile ones, everything that it makes us send included, while 64 connections
// are established; flood_good_ns is that of a good segment on those (tools/bench divides). And
// flood_goodput_ratio: how fast a connection is over a wire of 1 Gbit/s, in virtual time, beside
// one hostile frame for each of its own, of all kinds in turn, over its speed without.

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/flood_frames.h"
#include "bench/flood_world.h"
#include "bench/rx_rig.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/tcp_header.h"

namespace devmem::bench {
namespace {

constexpr uint32_t kFlows = 64;
// Different hostile frames of a kind; they come round and round.
constexpr size_t kFrames = 4096;
constexpr uint64_t kSeed = 4;

int64_t Preemptions() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

// The rig's first flow is whom the frames are about.
FloodTarget TargetOf(RxRig& rig) {
  const std::span<const uint8_t> header = rig.header_of(0);
  const FrameHeaders parsed = ParseFrame(header, static_cast<uint32_t>(header.size()));
  FloodTarget target;
  target.peer_mac = EthernetHeader::Parse(header)->source();
  target.our_mac = EthernetHeader::Parse(header)->destination();
  target.flow = {.local = parsed.flow.remote,
                 .remote = parsed.flow.local,
                 .local_port = parsed.flow.remote_port,
                 .remote_port = parsed.flow.local_port};
  target.peer_ack = TcpHeader::Parse(header.subspan(parsed.l4_offset))->ack();
  const Receiver& receiver = rig.worker().engine().at(0).receiver;
  target.rcv_nxt = receiver.rcv_nxt();
  target.window_bytes = receiver.outstanding_bytes();
  return target;
}

std::vector<FloodFrame> FramesOf(FloodKind kind, const FloodTarget& target) {
  SeededRandom random(kSeed);
  std::vector<FloodFrame> frames;
  for (size_t i = 0; i < kFrames; ++i) frames.push_back(MakeFloodFrame(kind, target, random));
  return frames;
}

// Sends one burst with `send` and handles it; returns how long the handling took, in seconds.
template <typename Send>
double Turn(RxRig& rig, benchmark::State& state, const Send& send) {
  for (;;) {
    if (!send()) state.SkipWithError("the ring is full");
    const int64_t preemptions = Preemptions();
    const auto start = std::chrono::steady_clock::now();
    rig.Release(rig.Receive());
    const auto end = std::chrono::steady_clock::now();
    if (Preemptions() == preemptions) return std::chrono::duration<double>(end - start).count();
  }
}

template <typename Send>
void Measure(benchmark::State& state, const std::string& name, RxRig& rig, const Send& send) {
  for (uint32_t i = 0; i < 256; ++i) Turn(rig, state, send);
  for (auto _ : state) state.SetIterationTime(Turn(rig, state, send));
  state.counters[name] =
      benchmark::Counter(1e-9 * kBurstSegments, benchmark::Counter::kIsIterationInvariantRate |
                                                    benchmark::Counter::kInvert);
  // Whoever was there before is served as before.
  for (uint32_t i = 0; i < 16 * kFlows; ++i) {
    if (!rig.Send()) state.SkipWithError("the ring is full after the flood");
    rig.Release(rig.Receive());
  }
  const absl::Status checked = rig.Check();
  if (!checked.ok()) state.SkipWithError(std::string(checked.message()).c_str());
}

std::unique_ptr<RxRig> MakeRig(benchmark::State& state) {
  absl::StatusOr<std::unique_ptr<RxRig>> rig = RxRig::Create({.flow_count = kFlows});
  if (rig.ok()) return *std::move(rig);
  state.SkipWithError(std::string(rig.status().message()).c_str());
  return nullptr;
}

void FloodGood(benchmark::State& state) {
  const std::unique_ptr<RxRig> rig = MakeRig(state);
  if (rig == nullptr) return;
  Measure(state, "flood_good_ns", *rig, [&] { return rig->Send(); });
}
BENCHMARK(FloodGood)->Name("flood_good_ns")->UseManualTime();

void Flood(benchmark::State& state, FloodKind kind, const char* name) {
  const std::unique_ptr<RxRig> rig = MakeRig(state);
  if (rig == nullptr) return;
  const std::vector<FloodFrame> frames = FramesOf(kind, TargetOf(*rig));
  size_t next = 0;
  Measure(state, name, *rig, [&] {
    rig->Tick();
    bool all = true;
    for (uint32_t i = 0; i < kBurstSegments; ++i, next = (next + 1) % kFrames) {
      all &= rig->Inject(frames[next].header(), frames[next].payload_bytes);
    }
    return all;
  });
}
#define DEVMEM_FLOOD(kind, name) \
  BENCHMARK_CAPTURE(Flood, kind, FloodKind::kind, name)->Name(name)->UseManualTime()
DEVMEM_FLOOD(kSyn, "flood_syn_ns");
DEVMEM_FLOOD(kRst, "flood_rst_ns");
DEVMEM_FLOOD(kAck, "flood_ack_ns");
DEVMEM_FLOOD(kFin, "flood_fin_ns");
DEVMEM_FLOOD(kFragment, "flood_fragment_ns");
DEVMEM_FLOOD(kOptionSoup, "flood_option_soup_ns");
DEVMEM_FLOOD(kTinySegment, "flood_tiny_segment_ns");
DEVMEM_FLOOD(kWindowEdge, "flood_window_edge_ns");

void FloodGoodput(benchmark::State& state) {
  double quiet = 0;
  double flooded = 0;
  for (auto _ : state) {
    quiet = TransferSeconds(/*flooded=*/false);
    flooded = TransferSeconds(/*flooded=*/true);
  }
  if (flooded == 0) state.SkipWithError("the transfer did not end");
  state.counters["flood_goodput_ratio"] = quiet / flooded;
}
BENCHMARK(FloodGoodput)->Name("flood_goodput_ratio")->Iterations(1);

}  // namespace
}  // namespace devmem::bench
