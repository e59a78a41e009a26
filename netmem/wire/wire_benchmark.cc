// SPDX-License-Identifier: Apache-2.0
// Times what runs once per received segment: the frame parser, the options, the flow hash, and the
// checksum over header-sized, segment-sized and super-frame-sized data that is hot in the cache.
#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "netmem/wire/checksum.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/tcp_header.h"
#include "netmem/wire/tcp_options.h"

namespace devmem {
namespace {

constexpr uint32_t kPayloadBytes = 1448;

// Enough frames that the branch predictor cannot learn them by heart, few enough to stay in L1.
constexpr size_t kFrameCount = 64;

struct Frame {
  std::array<uint8_t, 128> bytes;
  size_t header_bytes;
};

TcpFrameSpec SegmentSpec(bool is_v6, uint16_t port) {
  TcpFrameSpec spec;
  spec.flow = {.local = IpAddress::FromV4(0x0a000002),
               .remote = IpAddress::FromV4(0x0a000001),
               .local_port = port,
               .remote_port = 5201};
  if (is_v6) {
    spec.flow.local = *ParseIpAddress("fd00::2");
    spec.flow.remote = *ParseIpAddress("fd00::1");
  }
  spec.seq = SeqNum(0xfffffff0);
  spec.flags = kTcpAck;
  spec.options.timestamps = TcpTimestamps{1, 2};
  spec.payload_bytes = kPayloadBytes;
  return spec;
}

std::vector<Frame> Segments(bool is_v6) {
  std::vector<Frame> frames(kFrameCount);
  for (size_t i = 0; i < kFrameCount; ++i) {
    frames[i].header_bytes =
        BuildTcpFrame(SegmentSpec(is_v6, static_cast<uint16_t>(40000 + i)), frames[i].bytes);
  }
  return frames;
}

void ParseFrames(benchmark::State& state, bool is_v6) {
  const std::vector<Frame> frames = Segments(is_v6);
  size_t next = 0;
  for (auto _ : state) {
    const Frame& frame = frames[next++ % kFrameCount];
    benchmark::DoNotOptimize(
        ParseFrame(frame.bytes, static_cast<uint32_t>(frame.header_bytes) + kPayloadBytes));
  }
}
BENCHMARK_CAPTURE(ParseFrames, tcp_over_ipv4, false);
BENCHMARK_CAPTURE(ParseFrames, tcp_over_ipv6, true);

void VerifyChecksums(benchmark::State& state) {
  const std::vector<Frame> frames = Segments(false);
  const FrameHeaders headers =
      ParseFrame(frames[0].bytes, static_cast<uint32_t>(frames[0].header_bytes) + kPayloadBytes);
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        VerifyTcpChecksum(frames[next++ % kFrameCount].bytes, headers, 0x1234));
  }
}
BENCHMARK(VerifyChecksums);

void BuildFrames(benchmark::State& state) {
  TcpFrameSpec spec = SegmentSpec(false, 40000);
  spec.payload_bytes = 0;
  std::array<uint8_t, kTcpFrameHeaderBytesMax> out;
  for (auto _ : state) {
    ++spec.seq;
    benchmark::DoNotOptimize(BuildTcpFrame(spec, out));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BuildFrames);

void ParseOptions(benchmark::State& state, const TcpOptions& options) {
  std::array<uint8_t, kTcpOptionsBytesMax> out;
  const std::span<uint8_t> bytes = std::span(out).first(EmitTcpOptions(options, out));
  for (auto _ : state) {
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(ParseTcpOptions(bytes));
  }
}
BENCHMARK_CAPTURE(ParseOptions, timestamps, TcpOptions{.timestamps = TcpTimestamps{1, 2}});
BENCHMARK_CAPTURE(ParseOptions, timestamps_and_sack,
                  TcpOptions{.sack_block_count = 3, .timestamps = TcpTimestamps{1, 2}});
BENCHMARK_CAPTURE(ParseOptions, syn,
                  TcpOptions{.mss = 1460,
                             .window_scale = 7,
                             .sack_permitted = true,
                             .timestamps = TcpTimestamps{1, 2}});

void HashFlows(benchmark::State& state) {
  FlowKey flow = SegmentSpec(false, 0).flow;
  for (auto _ : state) {
    ++flow.remote_port;
    benchmark::DoNotOptimize(HashFlow(flow, 0x123456789abcdef0));
  }
}
BENCHMARK(HashFlows);

void SumBytes(benchmark::State& state) {
  const std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 0x5a);
  for (auto _ : state) {
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(PartialSum(bytes));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(SumBytes)->Arg(20)->Arg(32)->Arg(1448)->Arg(16384)->Arg(65536);

}  // namespace
}  // namespace devmem
