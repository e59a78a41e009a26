// SPDX-License-Identifier: Apache-2.0
//
// The receive path per segment: segments of 1448 bytes, in order but where a row says otherwise,
// round-robin over the flows, in bursts of as many as one poll takes. The time is that of the
// application's turn, from the descriptor in the NIC's ring to the released frag, acknowledgments
// made; making the frames and taking the acknowledgments off the wire is outside of it. Each
// benchmark reports a counter of its own name: that counter is the figure.

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/rx_rig.h"

namespace devmem::bench {
namespace {

std::unique_ptr<RxRig> MakeRig(benchmark::State& state, const RxRigOptions& options) {
  absl::StatusOr<std::unique_ptr<RxRig>> rig = RxRig::Create(options);
  if (rig.ok()) return *std::move(rig);
  state.SkipWithError(std::string(rig.status().message()).c_str());
  return nullptr;
}

// How often this thread lost the CPU although it could have gone on.
int64_t Preemptions() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

// Sends one burst and handles it; returns how long the handling took, in seconds.
double Turn(RxRig& rig, benchmark::State& state) {
  for (;;) {
    if (!rig.Send()) state.SkipWithError("the ring is full");
    const int64_t preemptions = Preemptions();
    const auto start = std::chrono::steady_clock::now();
    rig.Release(rig.Receive());
    const auto end = std::chrono::steady_clock::now();
    if (Preemptions() == preemptions) return std::chrono::duration<double>(end - start).count();
  }
}

void CheckRig(const RxRig& rig, benchmark::State& state) {
  const absl::Status checked = rig.Check();
  if (!checked.ok()) state.SkipWithError(std::string(checked.message()).c_str());
}

void RxSegment(benchmark::State& state, const char* name, const RxRigOptions& options) {
  const std::unique_ptr<RxRig> rig = MakeRig(state, options);
  if (rig == nullptr) return;
  // The first turns touch memory for the first time.
  for (uint32_t i = 0; i < 256; ++i) Turn(*rig, state);
  const uint64_t acks_before = rig->acks_sent();
  for (auto _ : state) state.SetIterationTime(Turn(*rig, state));
  CheckRig(*rig, state);
  const double bursts = static_cast<double>(state.iterations());
  const double burst_segments = options.burst_segments;
  state.counters[name] =
      benchmark::Counter(1e-9 * burst_segments, benchmark::Counter::kIsIterationInvariantRate |
                                                    benchmark::Counter::kInvert);
  state.counters["segments_per_ack"] =
      bursts * burst_segments / static_cast<double>(rig->acks_sent() - acks_before + 1);
}
BENCHMARK_CAPTURE(RxSegment, OneFlow, "rx_segment_ns_1_flow", {.flow_count = 1})
    ->Name("rx_segment_ns_1_flow")
    ->UseManualTime();
BENCHMARK_CAPTURE(RxSegment, ManyFlows, "rx_segment_ns_64_flows", {.flow_count = 64})
    ->Name("rx_segment_ns_64_flows")
    ->UseManualTime();
BENCHMARK_CAPTURE(RxSegment, VeryManyFlows, "rx_segment_ns_1024_flows", {.flow_count = 1024})
    ->Name("rx_segment_ns_1024_flows")
    ->UseManualTime();
// A quarter as many at a time, so that no two segments of a poll belong together.
BENCHMARK_CAPTURE(RxSegment, ManyFlowsFewAtATime, "rx_segment_ns_64_flows_bursts_of_64",
                  {.flow_count = 64, .burst_segments = 64})
    ->Name("rx_segment_ns_64_flows_bursts_of_64")
    ->UseManualTime();
// One flow, of which one segment in a hundred comes late: overtaken by 3, or sent again behind 16.
BENCHMARK_CAPTURE(RxSegment, Reorder, "rx_segment_ns_reorder_1pct",
                  {.flow_count = 1, .disorder = Disorder::kReorder})
    ->Name("rx_segment_ns_reorder_1pct")
    ->UseManualTime();
BENCHMARK_CAPTURE(RxSegment, Loss, "rx_segment_ns_loss_1pct",
                  {.flow_count = 1, .disorder = Disorder::kLoss})
    ->Name("rx_segment_ns_loss_1pct")
    ->UseManualTime();
// As with 1024 flows, in the company of idle ones up to a million.
BENCHMARK_CAPTURE(RxSegment, OfAMillion, "rx_segment_ns_1024_of_1m",
                  {.flow_count = 1024, .idle_count = 1'000'000 - 1024})
    ->Name("rx_segment_ns_1024_of_1m")
    ->Iterations(4096)
    ->UseManualTime();

// Calls of operator new while a million segments are handled, over 64 flows.
void RxAllocations(benchmark::State& state) {
  constexpr uint64_t kSegments = 1'000'000;
  const std::unique_ptr<RxRig> rig = MakeRig(state, {.flow_count = 64});
  if (rig == nullptr) return;
  uint64_t allocations = 0;
  for (auto _ : state) {
    double seconds = 0;
    for (uint64_t segments = 0; segments < kSegments; segments += kBurstSegments) {
      if (!rig->Send()) state.SkipWithError("the ring is full");
      const uint64_t before = AllocationCount();
      rig->Release(rig->Receive());
      allocations += AllocationCount() - before;
      seconds += 1e-6;
    }
    state.SetIterationTime(seconds);
  }
  CheckRig(*rig, state);
  state.counters["rx_allocations_per_million_segments"] =
      static_cast<double>(allocations) / static_cast<double>(state.iterations());
}
BENCHMARK(RxAllocations)
    ->Name("rx_allocations_per_million_segments")
    ->Iterations(1)
    ->UseManualTime();

// Payload over the bytes of net_iovs with a live reference, while the owner holds the frags of the
// last 64 bursts (23 MiB) of 64 flows and returns the oldest burst after each new one.
void RegionEfficiency(benchmark::State& state) {
  constexpr size_t kHeldBursts = 64;
  const std::unique_ptr<RxRig> rig = MakeRig(state, {.flow_count = 64});
  if (rig == nullptr) return;
  std::vector<std::vector<Frag>> held(kHeldBursts);
  size_t oldest = 0;
  const auto turn = [&] {
    if (!rig->Send()) state.SkipWithError("the ring is full");
    const std::span<const Frag> frags = rig->Receive();
    std::vector<Frag>& slot = held[oldest];
    rig->Release(slot);
    slot.assign(frags.begin(), frags.end());
    oldest = (oldest + 1) % kHeldBursts;
  };
  for (size_t i = 0; i < 2 * kHeldBursts; ++i) turn();
  for (auto _ : state) turn();
  uint64_t held_bytes = 0;
  for (const std::vector<Frag>& burst : held) {
    for (const Frag& frag : burst) held_bytes += frag.length_bytes;
  }
  // One net_iov more: the one under the packing cursor counts as open and is in use.
  const uint64_t live_bytes = (rig->pool().account().used + 1) * kNetIovBytesDefault;
  for (const std::vector<Frag>& burst : held) rig->Release(burst);
  CheckRig(*rig, state);
  state.counters["region_efficiency"] =
      static_cast<double>(held_bytes) / static_cast<double>(live_bytes);
}
BENCHMARK(RegionEfficiency)->Name("region_efficiency")->Iterations(1000);

}  // namespace
}  // namespace devmem::bench
