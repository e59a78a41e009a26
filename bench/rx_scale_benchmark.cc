// SPDX-License-Identifier: Apache-2.0
//
// Many connections: what an idle one costs in memory, and how fast they come and go. Each benchmark
// reports a counter of its own name: that counter is the figure.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "bench/rx_rig.h"

namespace devmem::bench {
namespace {

std::unique_ptr<RxRig> MakeRig(benchmark::State& state, const RxRigOptions& options) {
  absl::StatusOr<std::unique_ptr<RxRig>> rig = RxRig::Create(options);
  if (rig.ok()) return *std::move(rig);
  state.SkipWithError(std::string(rig.status().message()).c_str());
  return nullptr;
}

// Memory of this process that is present.
uint64_t ResidentBytes() {
  unsigned long long size = 0, resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%llu %llu", &size, &resident) != 2) std::abort();
  std::fclose(file);
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// A million established connections that are silent: what the process grows by, for each, beyond
// what the same rig takes with one.
void IdleConnections(benchmark::State& state) {
  constexpr uint32_t kConnections = 1'000'000;
  uint64_t bytes = 0;
  for (auto _ : state) {
    const uint64_t at_first = ResidentBytes();
    const std::unique_ptr<RxRig> small = MakeRig(state, {.flow_count = 1});
    const uint64_t before = ResidentBytes();
    const std::unique_ptr<RxRig> rig =
        MakeRig(state, {.flow_count = 1, .idle_count = kConnections - 1});
    if (rig == nullptr || rig->connection_count() != kConnections) {
      state.SkipWithError("not all connections are open");
      return;
    }
    bytes = ResidentBytes() - before - (before - at_first);
  }
  state.counters["idle_connection_bytes"] = static_cast<double>(bytes) / kConnections;
}
BENCHMARK(IdleConnections)->Name("idle_connection_bytes")->Iterations(1);

// Connections that a peer opens and closes in order, through every step: SYN, ACK, FIN, last ACK.
// The time is that of the application's turns; making the frames is outside of it.
void OpenClose(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  const std::unique_ptr<RxRig> rig = MakeRig(state, {.flow_count = 1});
  if (rig == nullptr) return;
  const uint32_t before = rig->connection_count();
  Clock::duration spent{};
  uint32_t opened = 0, closed = 0;
  const auto timed = [&](auto step) {
    const auto start = Clock::now();
    step();
    spent += Clock::now() - start;
  };
  for (auto _ : state) {
    spent = {};
    rig->SendSyns();
    timed([&] { rig->Turn(); });
    rig->SendAcks();
    timed([&] {
      rig->Turn();
      opened += rig->AcceptAll();
    });
    rig->SendFins();
    timed([&] {
      rig->Turn();
      closed += rig->CloseEnded();
    });
    rig->SendLastAcks();
    timed([&] { rig->Turn(); });
    state.SetIterationTime(std::chrono::duration<double>(spent).count());
  }
  const uint64_t all = static_cast<uint64_t>(state.iterations()) * kBurstSegments;
  if (opened != all || closed != all || rig->connection_count() != before) {
    state.SkipWithError("some connections were not opened, or not closed");
  }
  state.counters["open_close_per_s"] =
      benchmark::Counter(kBurstSegments, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(OpenClose)->Name("open_close_per_s")->UseManualTime();

}  // namespace
}  // namespace devmem::bench
