// SPDX-License-Identifier: Apache-2.0
//
// The descriptors of the DQO-RDA queue format, as bytes in a guest's memory: each is copied once
// and taken apart here, or put together here and written by CompletionRing. Used by the rings on
// the thread of the device. Layout: Linux, drivers/net/ethernet/google/gve/gve_desc_dqo.h.

#pragma once

#include <array>
#include <cstdint>
#include <cstring>

namespace devmem {

inline constexpr uint32_t kTxDescriptorBytes = 16;
inline constexpr uint32_t kTxCompletionBytes = 8;
inline constexpr uint32_t kRxBufferBytes = 32;
inline constexpr uint32_t kRxCompletionBytes = 32;

// Loads and stores of little-endian integers at any alignment; the machine is little-endian
// (netmem/wire/byte_order.h).
template <typename Word>
Word LoadLe(const uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}
template <typename Word>
void StoreLe(uint8_t* bytes, Word word) {
  std::memcpy(bytes, &word, sizeof(word));
}

// The low five bits of byte 8 of every tx descriptor.
inline constexpr uint8_t kTxTypeContext = 0x4;
inline constexpr uint8_t kTxTypeTso = 0x5;
inline constexpr uint8_t kTxTypeData = 0xc;

// One tx descriptor, copied from the ring: the guest can no longer change it.
class TxDescriptor {
 public:
  explicit TxDescriptor(const uint8_t* ring_entry) {
    std::memcpy(bytes_.data(), ring_entry, kTxDescriptorBytes);
  }

  uint8_t type() const { return bytes_[8] & 0x1f; }

  // Of a data descriptor.
  uint64_t address() const { return LoadLe<uint64_t>(&bytes_[0]); }
  bool end_of_packet() const { return (bytes_[8] & 0x20) != 0; }
  bool checksum() const { return (bytes_[8] & 0x40) != 0; }
  bool report_event() const { return (bytes_[8] & 0x80) != 0; }
  uint16_t tag() const { return LoadLe<uint16_t>(&bytes_[12]); }
  uint16_t bytes() const { return LoadLe<uint16_t>(&bytes_[14]) & 0x3fff; }

  // Of a TSO context.
  bool tso() const { return (bytes_[8] & 0x20) != 0; }
  uint32_t payload_bytes() const { return LoadLe<uint32_t>(&bytes_[0]) & 0xffffff; }
  uint16_t segment_bytes() const { return LoadLe<uint16_t>(&bytes_[4]) & 0x3fff; }
  uint8_t header_bytes() const { return bytes_[6]; }

 private:
  std::array<uint8_t, kTxDescriptorBytes> bytes_;
};

inline constexpr uint16_t kTxCompletionPacket = 2;       // The value is the packet's tag.
inline constexpr uint16_t kTxCompletionDescriptors = 4;  // The value is the new head.
inline constexpr uint16_t kTxQueueIdMask = 0x7ff;
inline constexpr uint16_t kTxTagReserved = 0x8000;

// A tx completion without its generation bit.
inline std::array<uint8_t, kTxCompletionBytes> MakeTxCompletion(uint32_t queue, uint16_t type,
                                                                uint16_t value) {
  std::array<uint8_t, kTxCompletionBytes> entry{};
  StoreLe<uint16_t>(&entry[0],
                    static_cast<uint16_t>((queue & kTxQueueIdMask) | uint32_t{type} << 11));
  StoreLe<uint16_t>(&entry[2], value);
  return entry;
}

// One posted rx buffer, copied from the ring.
struct RxBuffer {
  uint16_t id = 0;
  uint64_t address = 0;
  uint64_t header_address = 0;

  static RxBuffer Load(const uint8_t* ring_entry) {
    return {.id = LoadLe<uint16_t>(ring_entry),
            .address = LoadLe<uint64_t>(ring_entry + 8),
            .header_address = LoadLe<uint64_t>(ring_entry + 16)};
  }
};

// What an rx completion says, without its generation bit.
struct RxCompletion {
  bool has_extensions = false;
  bool rx_error = false;
  uint16_t packet_type = 0;   // 10 bits.
  uint16_t buffer_bytes = 0;  // Placed in this buffer; 14 bits.
  uint16_t header_bytes = 0;  // 10 bits; on the first completion of a split packet.
  bool is_rsc = false;
  bool is_split = false;
  bool end_of_packet = false;
  bool header_overflow = false;
  bool checksum_processed = false;
  bool checksum_error = false;
  uint16_t buffer_id = 0;
  uint16_t segment_bytes = 0;  // Of an rsc packet.
  uint32_t hash = 0;

  std::array<uint8_t, kRxCompletionBytes> Emit() const {
    std::array<uint8_t, kRxCompletionBytes> entry{};
    entry[0] = 1;  // The only descriptor format that there is.
    entry[1] = static_cast<uint8_t>(has_extensions << 1 | rx_error << 2);
    StoreLe<uint16_t>(&entry[2], packet_type);
    StoreLe<uint16_t>(&entry[4], buffer_bytes);
    StoreLe<uint16_t>(&entry[6],
                      static_cast<uint16_t>(header_bytes | is_rsc << 10 | is_split << 11));
    entry[8] = static_cast<uint8_t>(1 | end_of_packet << 1 | header_overflow << 2 |
                                    checksum_processed << 3 | checksum_error << 5);
    StoreLe<uint16_t>(&entry[12], buffer_id);
    StoreLe<uint16_t>(&entry[14], segment_bytes);
    StoreLe<uint32_t>(&entry[16], hash);
    return entry;
  }
};

}  // namespace devmem
