// SPDX-License-Identifier: Apache-2.0
//
// What the wire NIC adds to the receive path: one poll's cost per MTU-sized frame, header parse,
// rule match, pieces and their return included, injection not. And the injection itself. Single
// thread.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "netmem/benchmark_clock.h"
#include "netmem/nic/wire_link.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

constexpr uint32_t kSegmentBytes = 1448;

struct Bench {
  explicit Bench(uint32_t flow_count) {
    if (!link.a().queue(0).Bind(device.queue_memory()).ok()) std::abort();
    if (!link.a().AddRule({.local_port = 5201}, 0).ok()) std::abort();
    for (uint32_t i = 0; i < flow_count; ++i) {
      testing::TestFrame frame;
      frame.flow.remote_port = static_cast<uint16_t>(40'000 + i);
      frame.payload.resize(kSegmentBytes);
      headers.push_back(frame.Header());
    }
  }

  bool Inject(uint32_t count) {
    bool all = true;
    for (uint32_t i = 0; i < count; ++i) {
      all &= link.a().InjectHeader(0, headers[next], kSegmentBytes);
      next = next + 1 == headers.size() ? 0 : next + 1;
    }
    return all;
  }
  // Polls once and puts the pieces back. Returns the number of frames.
  uint32_t PollAndPut() {
    const uint32_t frames = link.a().queue(0).Poll(batch);
    testing::PutBack(batch, nullptr, &device.pool());
    return frames;
  }

  testing::TestMemory device{testing::TestMemory::Kind::kDevice, 4u << 20};
  testing::TestLink link{{.a = {.write_payload = false}}};
  std::vector<std::vector<uint8_t>> headers;
  size_t next = 0;
  RxBatch batch;
};

void SetPerFrame(benchmark::State& state, uint32_t frames) {
  state.counters["per_frame"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * frames,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// Time per frame from the ring to a descriptor, and its pieces put back. Several polls are timed at
// once, because reading the thread's clock is a system call.
void BM_WireNicPoll(benchmark::State& state) {
  constexpr uint32_t kPolls = 2;
  Bench bench(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    if (!bench.Inject(kPolls * kBatchFramesMax)) state.SkipWithError("no room");
    const double start = ThreadCpuNanoseconds();
    uint32_t frames = 0;
    for (uint32_t i = 0; i < kPolls; ++i) frames += bench.PollAndPut();
    state.SetIterationTime(1e-9 * (ThreadCpuNanoseconds() - start));
    if (frames != kPolls * kBatchFramesMax) state.SkipWithError("a short poll");
  }
  SetPerFrame(state, kPolls * kBatchFramesMax);
}
BENCHMARK(BM_WireNicPoll)->Arg(1)->Arg(64)->Arg(1024)->UseManualTime();

// Time per frame of injection and poll together, in batches that stay in the first-level cache.
void BM_WireNicInjectAndPoll(benchmark::State& state) {
  Bench bench(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    if (!bench.Inject(kBatchFramesMax)) state.SkipWithError("no room");
    if (bench.PollAndPut() != kBatchFramesMax) state.SkipWithError("a short poll");
  }
  SetPerFrame(state, kBatchFramesMax);
}
BENCHMARK(BM_WireNicInjectAndPoll)->Arg(1)->Arg(64);

}  // namespace
}  // namespace devmem
