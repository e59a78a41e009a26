// SPDX-License-Identifier: Apache-2.0
// A TCP header (RFC 9293 section 3.1), read in place from host memory and written. Called by the
// frame parser, the TCP engine and the frame builder on the worker's thread. The options inside are
// read by tcp_options.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/seq_num.h"

namespace devmem {

// Control bits (RFC 9293 section 3.1), as they lie in the header's fourteenth byte.
inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpRst = 0x04;
inline constexpr uint8_t kTcpPsh = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpUrg = 0x20;
inline constexpr uint8_t kTcpEce = 0x40;  // RFC 3168 section 6.1.
inline constexpr uint8_t kTcpCwr = 0x80;  // RFC 3168 section 6.1.

inline constexpr size_t kTcpHeaderBytesMin = 20;
inline constexpr size_t kTcpHeaderBytesMax = 60;
inline constexpr size_t kTcpOptionsBytesMax = kTcpHeaderBytesMax - kTcpHeaderBytesMin;

// The view owns nothing: the bytes outlive it. Parse() is the only way to get one, so no accessor
// can fail. It refuses a data offset that is below the fixed header or beyond the bytes at hand. It
// ignores the reserved bits, as RFC 9293 asks of a receiver.
class TcpHeader {
 public:
  static std::optional<TcpHeader> Parse(std::span<const uint8_t> bytes) {
    if (bytes.size() < kTcpHeaderBytesMin) return std::nullopt;
    const size_t header_bytes = 4u * (bytes[12] >> 4);
    if (header_bytes < kTcpHeaderBytesMin || header_bytes > bytes.size()) return std::nullopt;
    return TcpHeader(bytes.first(header_bytes));
  }

  size_t header_bytes() const { return bytes_.size(); }
  std::span<const uint8_t> bytes() const { return bytes_; }
  std::span<const uint8_t> options() const { return bytes_.subspan(kTcpHeaderBytesMin); }

  uint16_t source_port() const { return LoadBe16(&bytes_[0]); }
  uint16_t destination_port() const { return LoadBe16(&bytes_[2]); }
  SeqNum seq() const { return SeqNum(LoadBe32(&bytes_[4])); }
  SeqNum ack() const { return SeqNum(LoadBe32(&bytes_[8])); }  // Means something with kTcpAck only.
  uint8_t flags() const { return bytes_[13]; }
  bool has(uint8_t flag) const { return (bytes_[13] & flag) != 0; }
  uint16_t window() const { return LoadBe16(&bytes_[14]); }  // As sent: not yet scaled.
  uint16_t checksum() const { return LoadBe16(&bytes_[16]); }
  uint16_t urgent_pointer() const { return LoadBe16(&bytes_[18]); }

 private:
  explicit TcpHeader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  std::span<const uint8_t> bytes_;
};

struct TcpFields {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  SeqNum seq = {};
  SeqNum ack = {};
  uint8_t flags = 0;
  uint16_t window = 0;  // As sent: already scaled down.
  uint16_t checksum = 0;
  uint16_t urgent_pointer = 0;
  // Encoded options, padded: a multiple of 4 bytes, at most kTcpOptionsBytesMax.
  std::span<const uint8_t> options = {};
};

// Writes the header to the start of `out`. Returns the bytes written, or 0 if `out` is too short or
// the options have no legal size. `options` may already lie at their place in `out`.
inline size_t EmitTcp(const TcpFields& fields, std::span<uint8_t> out) {
  const size_t options_bytes = fields.options.size();
  const size_t header_bytes = kTcpHeaderBytesMin + options_bytes;
  if (options_bytes % 4 != 0 || options_bytes > kTcpOptionsBytesMax) return 0;
  if (out.size() < header_bytes) return 0;
  StoreBe16(&out[0], fields.source_port);
  StoreBe16(&out[2], fields.destination_port);
  StoreBe32(&out[4], fields.seq.value());
  StoreBe32(&out[8], fields.ack.value());
  out[12] = static_cast<uint8_t>(header_bytes / 4 << 4);
  out[13] = fields.flags;
  StoreBe16(&out[14], fields.window);
  StoreBe16(&out[16], fields.checksum);
  StoreBe16(&out[18], fields.urgent_pointer);
  if (options_bytes != 0) {
    std::memmove(out.data() + kTcpHeaderBytesMin, fields.options.data(), options_bytes);
  }
  return header_bytes;
}

}  // namespace devmem
