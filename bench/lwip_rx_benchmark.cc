// SPDX-License-Identifier: Apache-2.0
//
// The rows of rx_segment_benchmark.cc that Debian's liblwip can do too: one segment of 1448 bytes
// from a driver's hands to the application's callback, acknowledgments made, in bursts.
// Making the frames is outside of the time, and a turn in which the thread lost the CPU is not
// counted, as for ours. Each benchmark reports a counter of its own name.

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "bench/lwip_rig.h"

namespace devmem::bench {
namespace {

int64_t Preemptions() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

// Makes one burst and hands it over; returns how long that took, in seconds.
double Turn(LwipRig& rig, benchmark::State& state) {
  for (;;) {
    if (!rig.Send()) state.SkipWithError("lwIP keeps too many buffers");
    const int64_t preemptions = Preemptions();
    const auto start = std::chrono::steady_clock::now();
    rig.Receive();
    const auto end = std::chrono::steady_clock::now();
    if (Preemptions() == preemptions) return std::chrono::duration<double>(end - start).count();
  }
}

void LwipRxSegment(benchmark::State& state, const char* name, uint32_t flow_count,
                   Disorder disorder) {
  auto rig = LwipRig::Create(flow_count, disorder);
  if (!rig.ok()) {
    state.SkipWithError(std::string(rig.status().message()).c_str());
    return;
  }
  for (uint32_t i = 0; i < 256; ++i) Turn(**rig, state);
  const uint64_t acks_before = (*rig)->acks_sent();
  for (auto _ : state) state.SetIterationTime(Turn(**rig, state));
  const absl::Status checked = (*rig)->Check();
  if (!checked.ok()) state.SkipWithError(std::string(checked.message()).c_str());
  state.counters[name] =
      benchmark::Counter(1e-9 * kLwipBurstSegments, benchmark::Counter::kIsIterationInvariantRate |
                                                        benchmark::Counter::kInvert);
  state.counters["segments_per_ack"] = static_cast<double>(state.iterations()) *
                                       kLwipBurstSegments /
                                       static_cast<double>((*rig)->acks_sent() - acks_before + 1);
}
BENCHMARK_CAPTURE(LwipRxSegment, OneFlow, "lwip_rx_segment_ns_1_flow", 1, Disorder::kNone)
    ->Name("lwip_rx_segment_ns_1_flow")
    ->UseManualTime();
BENCHMARK_CAPTURE(LwipRxSegment, ManyFlows, "lwip_rx_segment_ns_64_flows", 64, Disorder::kNone)
    ->Name("lwip_rx_segment_ns_64_flows")
    ->UseManualTime();
BENCHMARK_CAPTURE(LwipRxSegment, VeryManyFlows, "lwip_rx_segment_ns_1024_flows", 1024,
                  Disorder::kNone)
    ->Name("lwip_rx_segment_ns_1024_flows")
    ->UseManualTime();
BENCHMARK_CAPTURE(LwipRxSegment, Reorder, "lwip_rx_segment_ns_reorder_1pct", 1, Disorder::kReorder)
    ->Name("lwip_rx_segment_ns_reorder_1pct")
    ->UseManualTime();
BENCHMARK_CAPTURE(LwipRxSegment, Loss, "lwip_rx_segment_ns_loss_1pct", 1, Disorder::kLoss)
    ->Name("lwip_rx_segment_ns_loss_1pct")
    ->UseManualTime();

}  // namespace
}  // namespace devmem::bench
