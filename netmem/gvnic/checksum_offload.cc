// SPDX-License-Identifier: Apache-2.0
//
// Layer-4 checksums over whole frames in host memory.

#include "netmem/gvnic/checksum_offload.h"

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"

namespace devmem {
namespace {

uint32_t L4Bytes(const FrameLayout& layout) { return layout.frame_bytes - layout.l4_offset; }

uint32_t PseudoSum(const FrameLayout& layout) {
  return PseudoHeaderSum(layout.flow.remote, layout.flow.local, layout.protocol, L4Bytes(layout));
}

uint8_t* FieldOf(std::span<uint8_t> frame, const FrameLayout& layout) {
  if (layout.is_fragment || (!layout.is_tcp() && !layout.is_udp())) return nullptr;
  return &frame[layout.l4_offset + L4ChecksumOffset(layout)];
}

}  // namespace

L4Check VerifyL4Checksum(std::span<const uint8_t> frame, const FrameLayout& layout) {
  const bool is_icmp = layout.l4 == L4Kind::kIcmp;
  if (layout.is_fragment || (!layout.is_tcp() && !layout.is_udp() && !is_icmp)) {
    return L4Check::kNone;
  }
  const std::span<const uint8_t> l4 = frame.subspan(layout.l4_offset, L4Bytes(layout));
  // Only UDP over IPv4 may go without (RFC 768; RFC 8200 section 8.1).
  const bool is_v4 = layout.l3 == L3Kind::kIpv4;
  if (layout.is_udp() && is_v4 && LoadBe16(&l4[L4ChecksumOffset(layout)]) == 0) {
    return L4Check::kNone;
  }
  const bool has_pseudo_header = layout.protocol != kIpProtocolIcmp;
  const uint32_t sum = PartialSum(l4, has_pseudo_header ? PseudoSum(layout) : 0);
  return Fold(sum) == 0xffff ? L4Check::kGood : L4Check::kBad;
}

bool FinishL4Checksum(std::span<uint8_t> frame, const FrameLayout& layout) {
  uint8_t* const field = FieldOf(frame, layout);
  if (field == nullptr) return false;
  StoreBe16(field, 0);
  const uint32_t sum =
      PartialSum(frame.subspan(layout.l4_offset, L4Bytes(layout)), PseudoSum(layout));
  const uint16_t checksum = static_cast<uint16_t>(~Fold(sum));
  // Zero means "none" in UDP; the other zero of ones' complement stands in for it (RFC 768).
  StoreBe16(field, layout.is_udp() && checksum == 0 ? uint16_t{0xffff} : checksum);
  return true;
}

bool WritePseudoSum(std::span<uint8_t> frame, const FrameLayout& layout) {
  uint8_t* const field = FieldOf(frame, layout);
  if (field == nullptr) return false;
  StoreBe16(field, Fold(PseudoSum(layout)));
  return true;
}

void FinishIpv4Checksum(std::span<uint8_t> frame) {
  const std::span<uint8_t> ip = frame.subspan(kEthernetHeaderBytes);
  const size_t header_bytes = 4u * (ip[0] & 0xfu);
  StoreBe16(&ip[10], 0);
  StoreBe16(&ip[10], ChecksumField(PartialSum(ip.first(header_bytes))));
}

}  // namespace devmem
