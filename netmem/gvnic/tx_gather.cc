// SPDX-License-Identifier: Apache-2.0
//
// From descriptors to a packet, or to the reason why not.

#include "netmem/gvnic/tx_gather.h"

#include <span>
#include <utility>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/frame_layout.h"
#include "netmem/gvnic/limits.h"
#include "netmem/wire/ethernet.h"

namespace devmem {

void TxGather::Spoil(DropCount reason) {
  if (spoiled_ == nullptr) spoiled_ = reason;
  packet_.bytes.clear();
}

void TxGather::AddTso(const TxDescriptor& descriptor) {
  // A context between the data of one packet is for no packet.
  if (descriptors_ != 0 || !descriptor.tso()) return Spoil(&DataPathStats::tx_drop_descriptor);
  packet_.segment_bytes = descriptor.segment_bytes();
  packet_.header_bytes = descriptor.header_bytes();
  tso_payload_bytes_ = descriptor.payload_bytes();
  if (packet_.segment_bytes < kTsoSegmentBytesMin || packet_.segment_bytes > kTsoSegmentBytesMax ||
      tso_payload_bytes_ > kTsoPayloadBytesMax) {
    Spoil(&DataPathStats::tx_drop_tso);
  }
}

uint32_t TxGather::bytes_max() const {
  return packet_.segment_bytes == 0 ? kTxFrameBytesMax : kTsoPayloadBytesMax + kTsoHeaderBytesMax;
}

void TxGather::AddData(const TxDescriptor& descriptor) {
  if (descriptors_++ == 0) tag_ = descriptor.tag();
  if (spoiled_ != nullptr) return;
  if (descriptor.tag() != tag_ || (tag_ & kTxTagReserved) != 0) {
    return Spoil(&DataPathStats::tx_drop_tag);
  }
  const bool is_tso = packet_.segment_bytes != 0;
  if (descriptor.bytes() == 0 || (!is_tso && descriptors_ > kTxDataDescriptorsMax)) {
    return Spoil(&DataPathStats::tx_drop_descriptor);
  }
  if (packet_.bytes.size() + descriptor.bytes() > bytes_max()) {
    return Spoil(&DataPathStats::tx_drop_size);
  }
  const uint8_t* const from = memory_.Read(descriptor.address(), descriptor.bytes());
  if (from == nullptr) return Spoil(&DataPathStats::tx_drop_memory);
  packet_.bytes.insert(packet_.bytes.end(), from, from + descriptor.bytes());
  if (descriptor.checksum()) wants_checksum_ = true;
}

// The reason to drop a packet whose descriptors were all right, or nullptr.
TxGather::DropCount TxGather::Judge(const Packet& packet) const {
  if (packet.bytes.size() < kEthernetHeaderBytes) return &DataPathStats::tx_drop_size;
  if (packet.segment_bytes == 0) return nullptr;
  const FrameLayout layout = ReadFrameLayout(packet.bytes);
  const bool is_true = (layout.is_tcp() || layout.is_udp()) &&
                       layout.header_bytes == packet.header_bytes &&
                       layout.frame_bytes == packet.bytes.size() &&
                       packet.bytes.size() == size_t{packet.header_bytes} + tso_payload_bytes_;
  return is_true ? nullptr : &DataPathStats::tx_drop_tso;
}

// A super-frame gets the checksum of the whole, so that it is a sound packet wherever it goes.
void TxGather::FinishChecksum(Packet& packet) {
  if (!wants_checksum_ && packet.segment_bytes == 0) return;
  packet.checksum_good = FinishL4Checksum(packet.bytes, ReadFrameLayout(packet.bytes));
  ++(packet.checksum_good ? stats_.tx_checksums : stats_.tx_checksums_skipped);
}

std::optional<Packet> TxGather::Finish() {
  Packet packet = std::exchange(packet_, Packet());
  const DropCount spoiled = std::exchange(spoiled_, nullptr);
  const DropCount reason = spoiled != nullptr ? spoiled : Judge(packet);
  std::optional<Packet> finished;
  if (reason != nullptr) {
    ++(stats_.*reason);
  } else {
    // What fits one frame is one.
    if (tso_payload_bytes_ <= packet.segment_bytes) {
      wants_checksum_ = wants_checksum_ || packet.segment_bytes != 0;
      packet.segment_bytes = 0;
    }
    FinishChecksum(packet);
    finished = std::move(packet);
  }
  descriptors_ = 0;
  tso_payload_bytes_ = 0;
  wants_checksum_ = false;
  return finished;
}

}  // namespace devmem
