// SPDX-License-Identifier: Apache-2.0
// Bare acknowledgments. The ones' complement sum does not care how wide the words are that it adds
// (RFC 1071 section 2), so each field is added as the number that it is, at its place in its word.
#include "netmem/wire/ack_frame.h"

#include <cstring>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {
namespace {

constexpr uint8_t kTtl = 64;
constexpr uint32_t kNopNopTimestamp = 0x0101080a;
constexpr size_t kTimestampsBytes = 12;
constexpr uint32_t kNopNopSack = 0x01010500;  // The length goes into the last byte.
constexpr size_t kSackHeadBytes = 2;
constexpr size_t kSackBlockBytes = 8;

// Some 32-bit words added up, as the sum of 16-bit words that the checksum is.
uint16_t ComplementOf(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return ChecksumField(static_cast<uint32_t>((sum & 0xffff) + (sum >> 16)));
}

uint64_t SumOf(const IpAddress& address) {
  return (address.high() >> 32) + (address.high() & 0xffffffff) + (address.low() >> 32) +
         (address.low() & 0xffffffff);
}

void WriteIpv4(const FlowKey& flow, size_t tcp_bytes, uint64_t addresses, uint8_t* ip) {
  const uint32_t version_and_length =
      0x45000000u | static_cast<uint32_t>(kIpv4HeaderBytesMin + tcp_bytes);
  constexpr uint32_t kDontFragment = 0x4000;
  constexpr uint32_t kTtlAndProtocol = uint32_t{kTtl} << 24 | uint32_t{kIpProtocolTcp} << 16;
  const uint16_t checksum =
      ComplementOf(uint64_t{version_and_length} + kDontFragment + kTtlAndProtocol + addresses);
  StoreBe32(ip, version_and_length);
  StoreBe32(ip + 4, kDontFragment);
  StoreBe32(ip + 8, kTtlAndProtocol | checksum);
  StoreBe32(ip + 12, flow.local.v4());
  StoreBe32(ip + 16, flow.remote.v4());
}

void WriteIpv6(const FlowKey& flow, size_t tcp_bytes, uint8_t* ip) {
  StoreBe32(ip, 0x60000000 | FlowLabel(flow));
  StoreBe32(ip + 4, static_cast<uint32_t>(tcp_bytes) << 16 | uint32_t{kIpProtocolTcp} << 8 | kTtl);
  flow.local.StoreTo(ip + 8);
  flow.remote.StoreTo(ip + 8 + IpAddress::kBytes);
}

// Writes the SACK option behind two NOPs. Returns what its words add up to.
uint64_t WriteSacks(std::span<const SackBlock> sacks, uint8_t* options) {
  const uint32_t head =
      kNopNopSack | static_cast<uint32_t>(kSackHeadBytes + sacks.size() * kSackBlockBytes);
  uint64_t sum = head;
  StoreBe32(options, head);
  for (const SackBlock& block : sacks) {
    options += kSackBlockBytes;
    sum += uint64_t{block.left.value()} + block.right.value();
    StoreBe32(options - 4, block.left.value());
    StoreBe32(options, block.right.value());
  }
  return sum;
}

// Writes the TCP header. `pseudo_sum` is what the pseudo-header's words add up to.
void WriteTcp(const AckFields& fields, size_t tcp_bytes, uint64_t pseudo_sum, uint8_t* tcp) {
  const FlowKey& flow = *fields.flow;
  const uint32_t ports = uint32_t{flow.local_port} << 16 | flow.remote_port;
  const uint32_t offset_flags_window =
      static_cast<uint32_t>(tcp_bytes / 4) << 28 | uint32_t{fields.flags} << 16 | fields.window;
  uint64_t sum =
      pseudo_sum + ports + fields.seq.value() + uint64_t{fields.ack.value()} + offset_flags_window;
  StoreBe64(tcp, uint64_t{ports} << 32 | fields.seq.value());
  StoreBe64(tcp + 8, uint64_t{fields.ack.value()} << 32 | offset_flags_window);
  uint8_t* options = tcp + kTcpHeaderBytesMin;
  if (fields.has_timestamps) {
    sum += uint64_t{kNopNopTimestamp} + fields.timestamps.value + fields.timestamps.echo;
    StoreBe32(options, kNopNopTimestamp);
    StoreBe64(options + 4, uint64_t{fields.timestamps.value} << 32 | fields.timestamps.echo);
    options += kTimestampsBytes;
  }
  if (!fields.sacks.empty()) [[unlikely]]
    sum += WriteSacks(fields.sacks, options);
  StoreBe32(tcp + 16, uint32_t{ComplementOf(sum)} << 16);
}

}  // namespace

size_t BuildAckFrame(const MacAddress& source, const MacAddress& destination,
                     const AckFields& fields, std::span<uint8_t, kAckFrameBytesMax> out) {
  const FlowKey& flow = *fields.flow;
  const bool is_v4 = flow.local.is_v4();
  const size_t tcp_bytes = AckTcpBytes(fields);
  std::memcpy(out.data(), destination.bytes().data(), MacAddress::kBytes);
  std::memcpy(out.data() + MacAddress::kBytes, source.bytes().data(), MacAddress::kBytes);
  StoreBe16(&out[12], is_v4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  uint8_t* const ip = out.data() + kEthernetHeaderBytes;
  uint64_t addresses = 0;
  if (is_v4) {
    addresses = uint64_t{flow.local.v4()} + flow.remote.v4();
    WriteIpv4(flow, tcp_bytes, addresses, ip);
  } else {
    addresses = SumOf(flow.local) + SumOf(flow.remote);
    WriteIpv6(flow, tcp_bytes, ip);
  }
  uint8_t* const tcp = ip + (is_v4 ? kIpv4HeaderBytesMin : kIpv6HeaderBytes);
  WriteTcp(fields, tcp_bytes, addresses + kIpProtocolTcp + tcp_bytes, tcp);
  return static_cast<size_t>(tcp - out.data()) + tcp_bytes;
}

void AckTemplate::Learn(uint64_t epoch, const AckFields& fields,
                        std::span<const uint8_t, kAckFrameBytesMax> frame) {
  const FlowKey& flow = *fields.flow;
  tcp_bytes_ = flow.local.is_v4() ? AckTcpBytes(fields) : 0;
  local_ = flow.local.low();
  remote_ = flow.remote.low();
  sum_ = uint64_t{flow.local.v4()} + flow.remote.v4() + kIpProtocolTcp + tcp_bytes_;
  epoch_ = epoch;
  std::memcpy(head_.data(), frame.data(), head_.size());
}

size_t AckTemplate::Build(const AckFields& fields,
                          std::span<uint8_t, kAckFrameBytesMax> out) const {
  std::memcpy(out.data(), head_.data(), head_.size());
  WriteTcp(fields, tcp_bytes_, sum_, out.data() + head_.size());
  return head_.size() + tcp_bytes_;
}

}  // namespace devmem
