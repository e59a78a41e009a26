// SPDX-License-Identifier: Apache-2.0
//
// Records what passes, in front of another port: the headers of each packet go to a pcap-ng file,
// super-frames as they are, and then on. Called by the event loop's one thread.

#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

#include "netmem/gvnic/port.h"
#include "netmem/nic/limits.h"
#include "netmem/nic/nanos.h"
#include "netmem/nic/pcapng_recorder.h"

namespace devmem {

class RecorderPort final : public Port {
 public:
  using Clock = std::function<Nanos()>;

  // `recorder` and `next` outlive this object; `interface` is a number from AddInterface().
  RecorderPort(PcapngRecorder& recorder, uint32_t interface, PacketDirection direction, Clock clock,
               Port& next)
      : recorder_(recorder),
        interface_(interface),
        direction_(direction),
        clock_(std::move(clock)),
        next_(next) {}

  void Transmit(Packet packet) override {
    const std::span<const uint8_t> bytes(packet.bytes);
    recorder_.Record(interface_, clock_(), direction_,
                     bytes.first(std::min<size_t>(bytes.size(), kHeaderSlotBytes)),
                     static_cast<uint32_t>(bytes.size()));
    next_.Transmit(std::move(packet));
  }
  void EndBatch() override { next_.EndBatch(); }

 private:
  PcapngRecorder& recorder_;
  const uint32_t interface_;
  const PacketDirection direction_;
  const Clock clock_;
  Port& next_;
};

}  // namespace devmem
