// SPDX-License-Identifier: Apache-2.0
//
// The driver's end of a gVNIC's DQO rings, for tests: it posts descriptors and buffers in a
// GvnicGuest's memory and reads completions by their generation bits, as Linux's gve does. It
// rings no doorbell itself: the test passes tail() on, to a DataPath or through a doorbell page.

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "netmem/gvnic/dqo_format.h"
#include "netmem/gvnic/ring_config.h"
#include "provider/check.h"
#include "selftests/testing/gvnic_guest.h"

namespace devmem::testing {

struct TxCompletion {
  uint16_t queue = 0;
  uint16_t type = 0;
  uint16_t value = 0;

  friend bool operator==(const TxCompletion&, const TxCompletion&) = default;
};

class TxDriver {
 public:
  TxDriver(GvnicGuest& guest, uint32_t queue, uint16_t entries = 64)
      : guest_(guest),
        config_{.queue = queue,
                .descriptor_ring = guest.Alloc(uint64_t{entries} * kTxDescriptorBytes),
                .completion_ring = guest.Alloc(uint64_t{entries} * kTxCompletionBytes),
                .descriptor_entries = entries,
                .completion_entries = entries,
                .notify_block = queue} {}

  const TxRingConfig& config() const { return config_; }
  uint32_t tail() const { return tail_; }

  // 16 bytes as they are.
  void PostRaw(uint64_t low, uint64_t high) {
    const uint64_t at = config_.descriptor_ring + uint64_t{tail_} * kTxDescriptorBytes;
    guest_.Store<uint64_t>(at, low);
    guest_.Store<uint64_t>(at + 8, high);
    tail_ = (tail_ + 1) % config_.descriptor_entries;
  }
  void PostContext() { PostRaw(0, kTxTypeContext); }
  void PostTso(uint32_t payload_bytes, uint16_t segment_bytes, uint8_t header_bytes) {
    PostRaw(payload_bytes | uint64_t{segment_bytes} << 32 | uint64_t{header_bytes} << 48,
            kTxTypeTso | 0x20);
  }
  struct Data {
    uint64_t address = 0;
    uint32_t bytes = 0;
    uint16_t tag = 0;
    bool end = true;
    bool checksum = false;
    bool report = false;
  };
  void PostData(const Data& data) {
    const uint64_t flags = uint64_t{kTxTypeData} | uint64_t{data.end} << 5 |
                           uint64_t{data.checksum} << 6 | uint64_t{data.report} << 7;
    PostRaw(data.address, flags | uint64_t{data.tag} << 32 | uint64_t{data.bytes} << 48);
  }

  // A frame in pieces of `piece_bytes`, behind a context descriptor. The last descriptor asks for
  // a report.
  void Send(std::span<const uint8_t> frame, uint16_t tag, bool checksum = false,
            uint32_t piece_bytes = 16383) {
    PostContext();
    const uint64_t address = guest_.Put(frame);
    for (uint32_t done = 0; done < frame.size();) {
      const uint32_t bytes = std::min(piece_bytes, static_cast<uint32_t>(frame.size()) - done);
      const bool last = done + bytes == frame.size();
      PostData({address + done, bytes, tag, last, checksum, last});
      done += bytes;
    }
  }
  void SendTso(std::span<const uint8_t> frame, uint16_t tag, uint16_t segment_bytes,
               uint8_t header_bytes) {
    PostTso(static_cast<uint32_t>(frame.size()) - header_bytes, segment_bytes, header_bytes);
    Send(frame, tag, true);
  }

  std::vector<TxCompletion> TakeCompletions() {
    std::vector<TxCompletion> taken;
    for (;;) {
      const uint64_t at = config_.completion_ring + uint64_t{next_} * kTxCompletionBytes;
      const uint16_t word = guest_.Load<uint16_t>(at);
      if ((word >> 15 != 0) != generation_) return taken;
      taken.push_back({static_cast<uint16_t>(word & 0x7ff), static_cast<uint16_t>(word >> 11 & 7),
                       guest_.Load<uint16_t>(at + 2)});
      next_ = (next_ + 1) % config_.completion_entries;
      if (next_ == 0) generation_ = !generation_;
    }
  }

 private:
  GvnicGuest& guest_;
  const TxRingConfig config_;
  uint32_t tail_ = 0;
  uint32_t next_ = 0;
  bool generation_ = true;
};

// A packet as the driver puts it together from completions.
struct ReceivedPacket {
  std::vector<uint8_t> header = {};   // Of the header buffer, when it was split.
  std::vector<uint8_t> payload = {};  // Of the buffers, in order.
  std::vector<uint16_t> buffer_ids = {};
  std::vector<uint32_t> bytes_in_buffers = {};
  RxCompletion last = {};  // What the last said; but of the first: split, overflow.

  std::vector<uint8_t> Bytes() const {
    std::vector<uint8_t> bytes = header;
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
  }
};

class RxDriver {
 public:
  struct Shape {
    uint16_t entries = 64;
    uint16_t buffer_bytes = 2048;
    uint16_t header_bytes = 256;
    bool gro_hw = false;
  };

  RxDriver(GvnicGuest& guest, uint32_t queue) : RxDriver(guest, queue, Shape()) {}
  RxDriver(GvnicGuest& guest, uint32_t queue, const Shape& shape)
      : guest_(guest),
        config_{.queue = queue,
                .buffer_ring = guest.Alloc(uint64_t{shape.entries} * kRxBufferBytes),
                .completion_ring = guest.Alloc(uint64_t{shape.entries} * kRxCompletionBytes),
                .buffer_entries = shape.entries,
                .completion_entries = shape.entries,
                .buffer_bytes = shape.buffer_bytes,
                .header_bytes = shape.header_bytes,
                .gro_hw = shape.gro_hw,
                .notify_block = 100 + queue},
        buffers_(guest.Alloc(uint64_t{shape.entries} * shape.buffer_bytes)),
        headers_(guest.Alloc(uint64_t{shape.entries} * 256)) {}

  const RxRingConfig& config() const { return config_; }
  uint32_t tail() const { return tail_; }
  uint64_t buffer_address(uint16_t id) const {
    return buffers_ + uint64_t{id} * config_.buffer_bytes;
  }

  void PostRaw(uint16_t id, uint64_t address, uint64_t header_address) {
    const uint64_t at = config_.buffer_ring + uint64_t{tail_} * kRxBufferBytes;
    guest_.Store<uint16_t>(at, id);
    guest_.Store<uint64_t>(at + 8, address);
    guest_.Store<uint64_t>(at + 16, header_address);
    tail_ = (tail_ + 1) % config_.buffer_entries;
  }
  // The next `count` buffers, each with the number of its place in turn.
  void Post(uint32_t count) {
    for (; count > 0; --count) {
      const uint16_t id = next_id_;
      next_id_ = static_cast<uint16_t>((next_id_ + 1) % config_.buffer_entries);
      PostRaw(id, buffer_address(id), headers_ + uint64_t{id} * 256);
    }
  }

  // The next completion, or nothing.
  std::optional<RxCompletion> TakeCompletion() {
    const uint64_t at = config_.completion_ring + uint64_t{next_} * kRxCompletionBytes;
    const std::vector<uint8_t> entry = guest_.Bytes(at, kRxCompletionBytes);
    const uint16_t length = LoadLe<uint16_t>(&entry[4]);
    if ((length >> 14 & 1) != generation_) return std::nullopt;
    next_ = (next_ + 1) % config_.completion_entries;
    if (next_ == 0) generation_ = !generation_;
    const uint16_t header = LoadLe<uint16_t>(&entry[6]);
    return RxCompletion{.has_extensions = (entry[1] & 2) != 0,
                        .rx_error = (entry[1] & 4) != 0,
                        .packet_type = static_cast<uint16_t>(LoadLe<uint16_t>(&entry[2]) & 0x3ff),
                        .buffer_bytes = static_cast<uint16_t>(length & 0x3fff),
                        .header_bytes = static_cast<uint16_t>(header & 0x3ff),
                        .is_rsc = (header & 0x400) != 0,
                        .is_split = (header & 0x800) != 0,
                        .end_of_packet = (entry[8] & 2) != 0,
                        .header_overflow = (entry[8] & 4) != 0,
                        .checksum_processed = (entry[8] & 8) != 0,
                        .checksum_error = (entry[8] & 0x20) != 0,
                        .buffer_id = LoadLe<uint16_t>(&entry[12]),
                        .segment_bytes = LoadLe<uint16_t>(&entry[14]),
                        .hash = LoadLe<uint32_t>(&entry[16])};
  }

  // The packets that are complete. Their buffers are not posted again.
  std::vector<ReceivedPacket> TakePackets() {
    std::vector<ReceivedPacket> packets;
    while (std::optional<RxCompletion> completion = TakeCompletion()) {
      Append(*completion);
      if (completion->end_of_packet) packets.push_back(std::exchange(partial_, {}));
    }
    return packets;
  }

 private:
  void Append(const RxCompletion& completion) {
    const uint16_t id = completion.buffer_id;
    const bool is_first = partial_.buffer_ids.empty();
    const RxCompletion first = is_first ? completion : partial_.last;
    if (is_first && completion.is_split) {
      partial_.header = guest_.Bytes(headers_ + uint64_t{id} * 256, completion.header_bytes);
    }
    DEVMEM_CHECK(is_first || !completion.is_split, "only the first completion is split");
    const std::vector<uint8_t> bytes = guest_.Bytes(buffer_address(id), completion.buffer_bytes);
    partial_.payload.insert(partial_.payload.end(), bytes.begin(), bytes.end());
    partial_.buffer_ids.push_back(id);
    partial_.bytes_in_buffers.push_back(completion.buffer_bytes);
    partial_.last = completion;
    partial_.last.is_split = first.is_split;
    partial_.last.header_bytes = first.header_bytes;
    partial_.last.header_overflow = first.header_overflow;
  }

  GvnicGuest& guest_;
  const RxRingConfig config_;
  const uint64_t buffers_;
  const uint64_t headers_;
  uint32_t tail_ = 0;
  uint16_t next_id_ = 0;
  uint32_t next_ = 0;
  bool generation_ = true;
  ReceivedPacket partial_;
};

}  // namespace devmem::testing
