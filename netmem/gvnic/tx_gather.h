// SPDX-License-Identifier: Apache-2.0
//
// One packet in the making: the data descriptors of a tx ring, copied out of the guest's memory
// until the end of the packet. Everything that a descriptor says is checked here; a packet with a
// lie in it is remembered as bad and comes out as nothing. One belongs to each tx ring, on the
// thread of the device.

#pragma once

#include <cstdint>
#include <optional>

#include "netmem/gvnic/data_path_stats.h"
#include "netmem/gvnic/dqo_format.h"
#include "netmem/gvnic/guest_memory.h"
#include "netmem/gvnic/port.h"

namespace devmem {

class TxGather {
 public:
  // Both outlive this object.
  TxGather(const GuestMemory& memory, DataPathStats& stats) : memory_(memory), stats_(stats) {}

  // The TSO context in front of a packet. Only the last one before the data counts.
  void AddTso(const TxDescriptor& descriptor);
  void AddData(const TxDescriptor& descriptor);
  // A descriptor of no known type.
  void AddUnknown() { Spoil(&DataPathStats::tx_drop_descriptor); }

  // The tag to complete: that of the packet's first data descriptor.
  uint16_t tag() const { return tag_; }

  // Ends the packet and makes this object ready for the next one. Its checksums are finished as the
  // descriptors asked. Nothing if it is dropped, which is counted.
  std::optional<Packet> Finish();

 private:
  using DropCount = uint64_t DataPathStats::*;

  // Remembers the first reason for which the packet will be dropped.
  void Spoil(DropCount reason);
  uint32_t bytes_max() const;
  DropCount Judge(const Packet& packet) const;
  void FinishChecksum(Packet& packet);

  const GuestMemory& memory_;
  DataPathStats& stats_;
  Packet packet_;
  DropCount spoiled_ = nullptr;
  uint32_t descriptors_ = 0;
  uint32_t tso_payload_bytes_ = 0;
  uint16_t tag_ = 0;
  bool wants_checksum_ = false;
};

}  // namespace devmem
