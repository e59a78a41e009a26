// SPDX-License-Identifier: Apache-2.0
//
// A TAP as the network of a virtual gVNIC: what the guest sends, the host's kernel receives, and
// the other way round. Super-frames pass whole in both directions behind a virtio-net header. The
// event loop polls fd() and calls OnReadable(), on its one thread. linux/if_tun.h,
// linux/virtio_net.h.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "netmem/gvnic/frame_layout.h"
#include "netmem/gvnic/port.h"
#include "netmem/nic/tap_device.h"
#include "netmem/nic/tap_vnet_header.h"

namespace devmem {

struct TapPortStats {
  uint64_t to_host = 0;  // Packets; super-frames count once.
  uint64_t to_host_bytes = 0;
  uint64_t to_host_super_frames = 0;
  uint64_t drop_full = 0;     // The kernel had no room for it.
  uint64_t drop_refused = 0;  // The kernel took it for no frame, or its interface is down.
  uint64_t from_host = 0;
  uint64_t from_host_bytes = 0;
  uint64_t from_host_super_frames = 0;
  uint64_t drop_unreadable = 0;  // From the host: a virtio-net header that does not fit its frame.
};

class TapPort final : public Port {
 public:
  // `device` has one queue.
  explicit TapPort(std::unique_ptr<TapDevice> device);

  // Where what the host sends goes. Outlives this object or is replaced; nullptr drops it.
  void SetReceiver(Port* receiver) { receiver_ = receiver; }

  const TapDevice& device() const { return *device_; }

  // To be polled for reading, level-triggered.
  int fd() const { return device_->queue_fd(0); }
  // Takes over what the host has sent, at most kTapBatchFramesMax frames: poll again.
  void OnReadable();

  void Transmit(Packet packet) override;

  const TapPortStats& stats() const { return stats_; }

 private:
  void Write(const VnetFields& vnet, std::span<const uint8_t> frame);
  void Forward(std::span<const uint8_t> bytes);

  const std::unique_ptr<TapDevice> device_;
  Port* receiver_ = nullptr;
  std::vector<uint8_t> buffer_;  // One frame behind its virtio-net header.
  TapPortStats stats_;
};

// What stands before a packet on its way to the kernel; of a super-frame, the checksum field of
// `packet` is made ready for the kernel to finish each frame's. `layout` was read from the packet,
// which is no UDP super-frame.
VnetFields VnetFieldsFor(Packet& packet, const FrameLayout& layout);

// A frame as the kernel sends it, as a packet with every checksum made. False: `vnet` speaks of
// bytes that the frame does not have, or of segments that this device did not ask for.
bool PacketFromVnet(const VnetFields& vnet, std::span<const uint8_t> frame, Packet& packet);

}  // namespace devmem
