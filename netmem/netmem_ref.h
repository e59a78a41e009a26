// SPDX-License-Identifier: Apache-2.0
//
// A reference to one buffer of received payload: a chunk of host memory, or a net_iov, which is a
// chunk of a bound region. One word, passed by value; the reference counts live in the PagePool
// that handed it out. The word has no way to a CPU address: a net_iov has none by type, and host
// bytes are read through the host pool's own area. The model is the kernel's netmem
// (include/net/netmem.h).

#pragma once

#include <cstdint>

namespace devmem {

class NetmemRef {
 public:
  // The null reference: no buffer.
  constexpr NetmemRef() = default;

  // `index` counts net_iovs from the start of the pool's memory and is below kIndexMax.
  static constexpr NetmemRef Device(uint32_t index) { return NetmemRef((index + 1) << 1 | 1u); }
  static constexpr NetmemRef Host(uint32_t index) { return NetmemRef((index + 1) << 1); }
  static constexpr NetmemRef Make(bool device, uint32_t index) {
    return device ? Device(index) : Host(index);
  }

  static constexpr uint32_t kIndexMax = (1u << 31) - 2;

  constexpr bool is_null() const { return word_ == 0; }
  constexpr bool is_device() const { return (word_ & 1u) != 0; }
  constexpr uint32_t index() const { return (word_ >> 1) - 1; }

  friend constexpr bool operator==(NetmemRef, NetmemRef) = default;

 private:
  explicit constexpr NetmemRef(uint32_t word) : word_(word) {}

  uint32_t word_ = 0;  // 0 is null; else (index + 1) << 1, with the low bit set for a net_iov.
};

// What the NIC delivers and TCP queues: `length_bytes` bytes that begin `offset_bytes` into the
// netmem. A piece may run on into the netmems that follow its first one (the packing cursor fills
// neighbours without a gap); it then holds one reference on each netmem that it touches.
struct Piece {
  NetmemRef netmem;
  uint32_t offset_bytes = 0;  // Below the pool's net_iov size.
  uint32_t length_bytes = 0;

  friend constexpr bool operator==(const Piece&, const Piece&) = default;
};
static_assert(sizeof(Piece) == 12);

}  // namespace devmem
