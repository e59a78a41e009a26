// SPDX-License-Identifier: Apache-2.0
//
// Packets to and from a TAP, and the virtio-net header in front of them.

#include "netmem/gvnic/tap_port.h"

#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/segmenter.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

constexpr uint8_t kVnetGsoEcn = 0x80;  // VIRTIO_NET_HDR_GSO_ECN, added to the type.

// Sums what the kernel left to us, wherever it is: the field holds what is to be added.
bool FinishPartialChecksum(const VnetFields& vnet, std::span<uint8_t> frame) {
  const size_t field = size_t{vnet.checksum_start} + vnet.checksum_offset;
  if (field + sizeof(uint16_t) > frame.size()) return false;
  const uint32_t sum = PartialSum(frame.subspan(vnet.checksum_start));
  StoreBe16(&frame[field], ChecksumField(sum));
  return true;
}

}  // namespace

VnetFields VnetFieldsFor(Packet& packet, const FrameLayout& layout) {
  VnetFields vnet;
  if (packet.segment_bytes == 0) {
    vnet.flags = packet.checksum_good ? kVnetDataValid : uint8_t{0};
    return vnet;
  }
  WritePseudoSum(packet.bytes, layout);
  const bool has_cwr = (packet.bytes[layout.l4_offset + 13] & kTcpCwr) != 0;
  vnet.flags = kVnetNeedsChecksum;
  vnet.gso_type = layout.l3 == L3Kind::kIpv6 ? kVnetGsoTcpV6 : kVnetGsoTcpV4;
  if (has_cwr) vnet.gso_type |= kVnetGsoEcn;
  vnet.header_bytes = static_cast<uint16_t>(layout.header_bytes);
  vnet.gso_segment_bytes = packet.segment_bytes;
  vnet.checksum_start = static_cast<uint16_t>(layout.l4_offset);
  vnet.checksum_offset = L4ChecksumOffset(layout);
  return vnet;
}

bool PacketFromVnet(const VnetFields& vnet, std::span<const uint8_t> frame, Packet& packet) {
  packet.bytes.assign(frame.begin(), frame.end());
  packet.checksum_good = (vnet.flags & kVnetDataValid) != 0;
  const FrameLayout layout = ReadFrameLayout(packet.bytes);
  if ((vnet.flags & kVnetNeedsChecksum) != 0) {
    // TCP and UDP by their own headers: the kernel's pseudo sum is of the whole super-frame.
    packet.checksum_good = FinishL4Checksum(packet.bytes, layout);
    if (!packet.checksum_good && !FinishPartialChecksum(vnet, packet.bytes)) return false;
  }
  if ((vnet.gso_type & ~kVnetGsoEcn) == kVnetGsoNone) return true;
  if (!layout.is_tcp() || vnet.gso_segment_bytes == 0) return false;
  const uint32_t payload_bytes = layout.frame_bytes - layout.header_bytes;
  if (payload_bytes > vnet.gso_segment_bytes) {
    packet.segment_bytes = vnet.gso_segment_bytes;
    packet.header_bytes = static_cast<uint16_t>(layout.header_bytes);
  }
  return true;
}

TapPort::TapPort(std::unique_ptr<TapDevice> device)
    : device_(std::move(device)), buffer_(kVnetHeaderBytes + kTapPortFrameBytesMax) {}

void TapPort::OnReadable() {
  for (uint32_t frames = 0; frames < kTapBatchFramesMax; ++frames) {
    const ssize_t bytes = ::read(fd(), buffer_.data(), buffer_.size());
    // Nothing more to read, or a TAP that is down: poll says when to come back.
    if (bytes < 0) break;
    Forward(std::span(buffer_).first(static_cast<size_t>(bytes)));
  }
  if (receiver_ != nullptr) receiver_->EndBatch();
}

void TapPort::Forward(std::span<const uint8_t> bytes) {
  VnetFields vnet;
  Packet packet;
  if (bytes.size() < kVnetHeaderBytes) {
    ++stats_.drop_unreadable;
    return;
  }
  std::memcpy(&vnet, bytes.data(), kVnetHeaderBytes);
  if (!PacketFromVnet(vnet, bytes.subspan(kVnetHeaderBytes), packet)) {
    ++stats_.drop_unreadable;
    return;
  }
  ++stats_.from_host;
  stats_.from_host_bytes += packet.bytes.size();
  stats_.from_host_super_frames += packet.segment_bytes != 0;
  if (receiver_ != nullptr) receiver_->Transmit(std::move(packet));
}

void TapPort::Transmit(Packet packet) {
  const FrameLayout layout = ReadFrameLayout(packet.bytes);
  // The TAP was told of TCP segmentation only.
  if (packet.segment_bytes != 0 && !layout.is_tcp()) {
    for (Packet& frame : CutIntoFrames(std::move(packet))) {
      Write(VnetFieldsFor(frame, layout), frame.bytes);
    }
    return;
  }
  const VnetFields vnet = VnetFieldsFor(packet, layout);
  stats_.to_host_super_frames += vnet.gso_type != kVnetGsoNone;
  Write(vnet, packet.bytes);
}

void TapPort::Write(const VnetFields& vnet, std::span<const uint8_t> frame) {
  VnetFields header = vnet;
  const std::array<iovec, 2> parts = {
      iovec{&header, kVnetHeaderBytes},
      // The kernel only reads from it.
      iovec{const_cast<uint8_t*>(frame.data()), frame.size()},
  };
  const ssize_t written = ::writev(fd(), parts.data(), parts.size());
  if (written >= 0) {
    ++stats_.to_host;
    stats_.to_host_bytes += frame.size();
  } else {
    ++(errno == EAGAIN || errno == ENOBUFS ? stats_.drop_full : stats_.drop_refused);
  }
}

}  // namespace devmem
