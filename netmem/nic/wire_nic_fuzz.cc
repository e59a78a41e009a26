// SPDX-License-Identifier: Apache-2.0
//
// Arbitrary frames into a wire NIC with one bound and one unbound queue: whatever arrives, each
// poll gives descriptors that hold together, every piece can be put back, and the account is idle
// at the end.
//
// Input: one byte of settings, then frames, each behind two bytes of length (big endian). The last
// frame may be shorter than its length says.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "netmem/nic/wire_link.h"
#include "netmem/wire/byte_order.h"
#include "provider/check.h"
#include "selftests/testing/nic_fixture.h"

namespace {

using devmem::testing::TestLink;
using devmem::testing::TestMemory;

constexpr uint8_t kSettingNoOffload = 1;  // The NIC sums payload by itself.
constexpr uint8_t kSettingRuleForAll =
    2;                               // Every flow goes to the bound queue, not only port 5201.
constexpr uint8_t kSettingHold = 4;  // The owner keeps what it gets until the end.

constexpr uint32_t kBoundQueue = 1;

struct Machine {
  explicit Machine(uint8_t settings)
      : device(TestMemory::Kind::kDevice, 128u << 10),
        link({.a = {.queue_count = 2,
                    .ring_frames = 64,
                    .slot_frames = 128,
                    .checksum_offload = (settings & kSettingNoOffload) == 0}},
             128u << 10) {
    const devmem::FlowMatch match = (settings & kSettingRuleForAll) != 0
                                        ? devmem::FlowMatch{}
                                        : devmem::FlowMatch{.local_port = 5201};
    DEVMEM_CHECK(link.a().queue(kBoundQueue).Bind(device.queue_memory()).ok(), "the bind failed");
    DEVMEM_CHECK(link.a().AddRule(match, kBoundQueue).ok(), "the rule was refused");
  }

  TestMemory device;
  TestLink link;
};

void CheckFrame(const devmem::RxDescriptor& frame, std::span<const devmem::Piece> pieces) {
  uint64_t bytes = 0;
  for (const devmem::Piece& piece : pieces) {
    DEVMEM_CHECK(piece.netmem.is_device() == (frame.rx_class == devmem::RxClass::kSteered),
                 "a piece of the wrong memory");
    bytes += piece.length_bytes;
  }
  DEVMEM_CHECK(bytes == frame.placed_bytes, "the pieces do not add up");
  DEVMEM_CHECK(frame.placed_bytes <= frame.headers.payload_bytes, "more bytes than were sent");
  DEVMEM_CHECK(frame.header.size() == frame.headers.header_bytes, "a header of another length");
  DEVMEM_CHECK(frame.headers.kind < devmem::FrameKind::kOther, "a frame that should be dropped");
}

// Polls one queue dry. Returns pieces at once, or keeps them in `held` as long as it has room.
void Drain(Machine& machine, uint32_t queue, std::span<devmem::Piece> held, size_t* held_count) {
  static devmem::RxBatch batch;
  while (machine.link.a().queue(queue).Poll(batch) > 0) {
    for (uint32_t i = 0; i < batch.frame_count; ++i) {
      CheckFrame(batch.frames[i], batch.PiecesOf(batch.frames[i]));
    }
    for (uint32_t i = 0; i < batch.piece_count; ++i) {
      const devmem::Piece& piece = batch.pieces[i];
      if (*held_count < held.size() && piece.netmem.is_device()) {
        held[(*held_count)++] = piece;
      } else {
        (piece.netmem.is_device() ? machine.device : machine.link.host_a(queue)).pool().Put(piece);
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto machine = std::make_unique<Machine>(data[0]);
  static devmem::Piece held[64];
  size_t held_count = 0;
  const size_t held_max = (data[0] & kSettingHold) != 0 ? std::size(held) : 0;
  std::span<const uint8_t> rest(data + 1, size - 1);
  while (rest.size() >= 2) {
    const size_t frame_bytes = std::min<size_t>(devmem::LoadBe16(rest.data()), rest.size() - 2);
    machine->link.a().Inject(rest.subspan(2, frame_bytes));
    rest = rest.subspan(2 + frame_bytes);
    for (uint32_t queue = 0; queue < 2; ++queue) {
      Drain(*machine, queue, std::span(held).first(held_max), &held_count);
    }
  }
  for (size_t i = 0; i < held_count; ++i) machine->device.pool().Put(held[i]);
  machine->link.a().queue(kBoundQueue).Unbind();
  for (devmem::PagePool* pool : {&machine->device.pool(), &machine->link.host_a(0).pool(),
                                 &machine->link.host_a(1).pool()}) {
    DEVMEM_CHECK(pool->account().idle() && pool->Audit().ok(), "the account is not idle");
  }
  return 0;
}
