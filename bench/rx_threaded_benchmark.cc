// SPDX-License-Identifier: Apache-2.0
//
// The hand-off of a threaded session: this thread is the worker, receives bursts and passes the
// frags through the channel's rings to a second thread, the application, which returns each at
// once. The time is the worker's, per segment: receiving, handing over, taking back and releasing,
// with the lines of the rings going to and fro between two cores.

#include <benchmark/benchmark.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/rx_rig.h"
#include "uapi/channel.h"

namespace devmem::bench {
namespace {

// Lets the calling thread run on every CPU but `busy`; the program may be pinned to that one. False
// when there is no other.
bool LeaveCpu(int busy) {
  cpu_set_t others;
  CPU_ZERO(&others);
  for (int cpu = 0; cpu < static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)); ++cpu) {
    if (cpu != busy) CPU_SET(static_cast<size_t>(cpu), &others);
  }
  return sched_setaffinity(0, sizeof(others), &others) == 0;
}

// The application: reads each frag's place and gives it back.
void Consume(Channel& channel, const std::atomic<bool>& stop, uint64_t& bytes) {
  while (!stop.load(std::memory_order_acquire)) {
    while (const Frag* frag = channel.received.Front()) {
      bytes += frag->length_bytes;
      while (!channel.returned.TryPush(*frag)) {
      }
      channel.received.Pop();
    }
  }
}

// Hands a burst over and releases what has come back. Fewer than half a ring of frags stay out, so
// that neither ring is ever full for long. Returns how many are out.
size_t HandOver(RxRig& rig, Channel& channel, std::span<const Frag> frags, size_t out,
                std::vector<Frag>& back) {
  for (const Frag& frag : frags) {
    while (!channel.received.TryPush(frag)) {
    }
  }
  out += frags.size();
  do {
    back.clear();
    while (const Frag* frag = channel.returned.Front()) {
      back.push_back(*frag);
      channel.returned.Pop();
    }
    rig.Release(back);
    out -= back.size();
  } while (out >= kChannelFrags / 2);
  return out;
}

void Threaded(benchmark::State& state) {
  absl::StatusOr<std::unique_ptr<RxRig>> made = RxRig::Create({.flow_count = 64});
  if (!made.ok()) {
    state.SkipWithError(std::string(made.status().message()).c_str());
    return;
  }
  RxRig& rig = **made;
  Channel channel({});
  std::atomic<bool> stop{false};
  uint64_t consumed_bytes = 0;
  const int worker_cpu = sched_getcpu();
  std::atomic<bool> apart{true};
  std::thread application([&] {
    apart.store(LeaveCpu(worker_cpu), std::memory_order_relaxed);
    Consume(channel, stop, consumed_bytes);
  });
  std::vector<Frag> back;
  back.reserve(kChannelReturns);
  size_t out = 0;
  for (auto _ : state) {
    if (!rig.Send()) state.SkipWithError("the ring is full");
    const auto start = std::chrono::steady_clock::now();
    out = HandOver(rig, channel, rig.Receive(), out, back);
    const auto end = std::chrono::steady_clock::now();
    state.SetIterationTime(std::chrono::duration<double>(end - start).count());
  }
  while (out != 0) out = HandOver(rig, channel, {}, out, back);
  stop.store(true, std::memory_order_release);
  application.join();
  const absl::Status checked = rig.Check();
  if (!checked.ok()) state.SkipWithError(std::string(checked.message()).c_str());
  if (consumed_bytes == 0) state.SkipWithError("the application got nothing");
  if (!apart) state.SkipWithError("there is no second CPU for the application");
  state.counters["rx_segment_ns_threaded"] =
      benchmark::Counter(1e-9 * kBurstSegments, benchmark::Counter::kIsIterationInvariantRate |
                                                    benchmark::Counter::kInvert);
}
BENCHMARK(Threaded)->Name("rx_segment_ns_threaded")->UseManualTime();

}  // namespace
}  // namespace devmem::bench
