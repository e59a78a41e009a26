// SPDX-License-Identifier: Apache-2.0
//
// Fetching descriptors and completing packets.

#include "netmem/gvnic/tx_ring.h"

#include <optional>
#include <utility>

#include "netmem/gvnic/ring_check.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<TxRing>> TxRing::Create(GuestMemory& memory,
                                                       const TxRingConfig& config,
                                                       DataPathStats& stats) {
  for (const RingPlace& place : {RingPlace{"tx descriptor ring", config.descriptor_ring,
                                           config.descriptor_entries, kTxDescriptorBytes},
                                 RingPlace{"tx completion ring", config.completion_ring,
                                           config.completion_entries, kTxCompletionBytes}}) {
    absl::Status checked = CheckRing(memory, place);
    if (!checked.ok()) return checked;
  }
  return std::unique_ptr<TxRing>(new TxRing(memory, config, stats));
}

TxRing::TxRing(GuestMemory& memory, const TxRingConfig& config, DataPathStats& stats)
    : config_(config),
      memory_(memory),
      stats_(stats),
      completions_(memory, kTxCompletionFormat, config.completion_ring, config.completion_entries),
      gather_(memory, stats) {}

void TxRing::Doorbell(uint32_t tail, Port* port) {
  if (tail >= config_.descriptor_entries) {
    ++stats_.bad_doorbells;
    return;
  }
  while (head_ != tail) {
    const uint64_t address = config_.descriptor_ring + uint64_t{head_} * kTxDescriptorBytes;
    const uint8_t* const entry = memory_.Read(address, kTxDescriptorBytes);
    if (entry == nullptr) {
      // The guest took its ring away: what it holds is not to be had, now or later.
      ++stats_.tx_ring_faults;
      head_ = tail;
      return;
    }
    head_ = (head_ + 1) & (uint32_t{config_.descriptor_entries} - 1);
    Fetched(TxDescriptor(entry), port);
  }
}

void TxRing::Fetched(const TxDescriptor& descriptor, Port* port) {
  switch (descriptor.type()) {
    case kTxTypeContext: return;  // Metadata for a real device's telemetry.
    case kTxTypeTso: return gather_.AddTso(descriptor);
    case kTxTypeData: break;
    default: return gather_.AddUnknown();
  }
  gather_.AddData(descriptor);
  if (descriptor.end_of_packet()) EndPacket(port);
  if (descriptor.report_event()) Complete(kTxCompletionDescriptors, static_cast<uint16_t>(head_));
}

void TxRing::EndPacket(Port* port) {
  const uint16_t tag = gather_.tag();
  std::optional<Packet> packet = gather_.Finish();
  if (packet && port != nullptr) {
    ++stats_.tx_packets;
    stats_.tx_bytes += packet->bytes.size();
    stats_.tx_super_frames += packet->segment_bytes != 0;
    ++queue_stats_.packets;
    queue_stats_.bytes += packet->bytes.size();
    port->Transmit(std::move(*packet));
  } else if (packet) {
    ++stats_.tx_drop_link_down;
  }
  // A dropped packet completes too: the driver keeps its memory until then.
  Complete(kTxCompletionPacket, static_cast<uint16_t>(tag & ~kTxTagReserved));
}

void TxRing::Complete(uint16_t type, uint16_t value) {
  if (completions_.Write(MakeTxCompletion(config_.queue, type, value))) {
    has_news_ = true;
  } else {
    ++stats_.tx_ring_faults;
  }
}

bool TxRing::TakeNews() { return std::exchange(has_news_, false); }

}  // namespace devmem
