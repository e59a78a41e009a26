// SPDX-License-Identifier: Apache-2.0
//
// A hostile guest against the rings: any bytes as descriptors, buffers and doorbells, queues made
// and destroyed at any address, memory taken away, and what is sent received again. Nothing may
// crash; what leaves the device is sound. Run by libFuzzer, and over its corpus by ctest.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/data_path.h"
#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/segmenter.h"
#include "provider/check.h"
#include "selftests/testing/gvnic_guest.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using testing::GvnicGuest;

constexpr uint32_t kMemoryBytes = 64u << 10;
constexpr uint32_t kQueues = 2;

// Where the rings of each queue begin when the input does not say otherwise.
constexpr uint32_t kRingBytes = 4096;

// The input, taken apart in order; zeroes behind its end.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  uint8_t U8() { return static_cast<uint8_t>(Take(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Take(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Take(4)); }
  uint64_t U64() { return Take(8); }
  std::span<const uint8_t> Bytes(size_t count) {
    const std::span<const uint8_t> taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  uint64_t Take(size_t count) {
    uint64_t value = 0;
    const std::span<const uint8_t> taken = Bytes(count);
    std::memcpy(&value, taken.data(), taken.size());
    return value;
  }

  std::span<const uint8_t> bytes_;
};

// Keeps what the device sends, and judges it.
struct JudgingPort final : Port {
  void Transmit(Packet packet) override {
    DEVMEM_CHECK(packet.bytes.size() >= 14, "a frame without a header was sent");
    DEVMEM_CHECK(packet.bytes.size() <= kTsoPayloadBytesMax + kTsoHeaderBytesMax,
                 "a frame longer than any was sent");
    const FrameLayout layout = ReadFrameLayout(packet.bytes);
    if (packet.checksum_good) {
      DEVMEM_CHECK(VerifyL4Checksum(packet.bytes, layout) == L4Check::kGood,
                   "a wrong checksum was vouched for");
    }
    if (packet.segment_bytes != 0) CheckCut(packet, layout);
    if (packets.size() < 64) packets.push_back(std::move(packet));
  }

  static void CheckCut(const Packet& packet, const FrameLayout& layout) {
    const std::vector<Packet> frames = CutIntoFrames(packet);
    size_t payload_bytes = 0;
    for (const Packet& frame : frames) {
      const FrameLayout cut = ReadFrameLayout(frame.bytes);
      DEVMEM_CHECK(VerifyL4Checksum(frame.bytes, cut) == L4Check::kGood,
                   "a frame was cut with a wrong checksum");
      payload_bytes += frame.bytes.size() - layout.header_bytes;
    }
    DEVMEM_CHECK(payload_bytes == packet.bytes.size() - layout.header_bytes,
                 "payload was lost or made by cutting");
  }

  std::vector<Packet> packets;
};

class Machine {
 public:
  Machine() { path_.SetPort(&port_); }

  // One step of the guest or of the network, as the input says.
  void Step(Input& input) {
    switch (input.U8() % 10) {
      case 0: return Poke(input);
      case 1: return path_.TxDoorbell(input.U8() % (kQueues + 1), input.U16());
      case 2: return path_.RxDoorbell(input.U8() % (kQueues + 1), input.U16());
      case 3: return CreateTx(input);
      case 4: return CreateRx(input);
      case 5: return Destroy(input);
      case 6: return Receive(input);
      case 7: return Fault(input);
      case 8: return Loop();
      case 9: return AddRule(input);
    }
  }

 private:
  // Writes bytes into the guest's memory, of which there may be none left.
  void Poke(Input& input) {
    const uint64_t address = GvnicGuest::kBase + input.U16() % kMemoryBytes;
    const std::span<const uint8_t> bytes = input.Bytes(input.U8() % 64);
    uint8_t* const to = guest_.memory().Write(address, bytes.size());
    if (to != nullptr) std::memcpy(to, bytes.data(), bytes.size());
  }

  // A ring at a place of its own, or where the input wants it.
  uint64_t RingAddress(Input& input, uint32_t place) {
    const uint8_t how = input.U8();
    if (how == 255) return input.U64();
    if (how >= 128) return GvnicGuest::kBase + input.U16() % kMemoryBytes / 8 * 8;
    return GvnicGuest::kBase + uint64_t{place} * kRingBytes;
  }
  static uint16_t Entries(Input& input) {
    const uint8_t how = input.U8();
    return static_cast<uint16_t>(how < 240 ? 2u << how % 7 : input.U16());
  }

  void CreateTx(Input& input) {
    const uint32_t queue = input.U8() % kQueues;
    // What is refused is refused; the others are driven.
    path_
        .CreateTx({.queue = queue,
                   .descriptor_ring = RingAddress(input, 4 * queue),
                   .completion_ring = RingAddress(input, 4 * queue + 1),
                   .descriptor_entries = Entries(input),
                   .completion_entries = Entries(input),
                   .notify_block = queue})
        .IgnoreError();
  }
  void CreateRx(Input& input) {
    const uint32_t queue = input.U8() % kQueues;
    path_
        .CreateRx({.queue = queue,
                   .buffer_ring = RingAddress(input, 4 * queue + 2),
                   .completion_ring = RingAddress(input, 4 * queue + 3),
                   .buffer_entries = Entries(input),
                   .completion_entries = Entries(input),
                   .buffer_bytes = input.U16(),
                   .header_bytes = input.U8(),
                   .gro_hw = input.U8() % 2 == 0,
                   .notify_block = 2 + queue})
        .IgnoreError();
  }
  void Destroy(Input& input) {
    const uint8_t what = input.U8();
    if (what < 100) return path_.DestroyTx(what % kQueues).IgnoreError();
    if (what < 200) return path_.DestroyRx(what % kQueues).IgnoreError();
    if (what < 250) return path_.Reset();
    guest_.memory().UnmapAll();
  }
  // Any bytes as a packet, or a frame of a stream, which others of its batch may continue.
  void Receive(Input& input) {
    Packet packet{.segment_bytes = input.U16(), .header_bytes = input.U8()};
    const uint8_t how = input.U8();
    const std::span<const uint8_t> bytes = input.Bytes(input.U16() % 2048);
    packet.checksum_good = how % 2 == 0;
    packet.bytes.assign(bytes.begin(), bytes.end());
    if (how >= 128) packet = StreamFrame(packet);
    path_.Receive(std::move(packet));
    if (how % 4 < 2) path_.EndBatch();
  }
  // The segment that comes next, or nearly, as the first bytes say; its payload is the rest.
  Packet StreamFrame(const Packet& shape) {
    testing::TestFrame frame{.payload = shape.bytes};
    if (shape.header_bytes % 8 == 0) frame.flow = testing::TestFlowV6();
    if (shape.header_bytes % 8 == 1) ++frame.flow.remote_port;
    if (shape.header_bytes % 16 == 2) frame.flags |= kTcpPsh;
    if (shape.header_bytes % 16 == 3) seq_ += shape.segment_bytes;
    if (shape.header_bytes % 16 == 4) frame.ack = SeqNum(shape.segment_bytes);
    frame.seq = seq_;
    seq_ += static_cast<uint32_t>(frame.payload.size());
    return {.bytes = frame.Bytes()};
  }
  void Fault(Input& input) {
    path_.SetFaults({.unsplittable = input.U8() % 4u,
                     .header_overflow = input.U8() % 4u,
                     .rx_error = input.U8() % 4u,
                     .withhold_buffers = input.U8() % 4 == 0});
    path_.SetLinkUp(input.U8() % 4 != 0);
  }
  // What was sent comes back.
  void Loop() {
    std::vector<Packet> packets = std::exchange(port_.packets, {});
    for (Packet& packet : packets) path_.Receive(std::move(packet));
    path_.EndBatch();
  }
  void AddRule(Input& input) {
    MaskedRule rule{.location = input.U8() % 8u, .queue = input.U8() % (kQueues + 1)};
    rule.protocol = input.U8();
    rule.is_v6 = input.U8() % 2 == 0;
    path_.steering().rules().Add(rule).IgnoreError();
  }

  GvnicGuest guest_{kMemoryBytes};
  uint32_t interrupts_ = 0;
  SeqNum seq_ = {};
  JudgingPort port_;
  DataPath path_{guest_.memory(), [this](uint32_t block) {
                   DEVMEM_CHECK(block < 2 * kQueues, "an interrupt of no queue");
                   ++interrupts_;
                 }};
};

}  // namespace
}  // namespace devmem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  devmem::Machine machine;
  devmem::Input input(std::span(data, size));
  while (!input.empty()) machine.Step(input);
  return 0;
}
