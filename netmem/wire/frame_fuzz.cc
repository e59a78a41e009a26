// SPDX-License-Identifier: Apache-2.0
// Fuzzes the frame parser and builder. The first two input bytes say how many of the frame's bytes
// the parser may see; the rest is the frame, tried as it is and with its IPv4 checksum put right.
// Whatever parses must have consistent lengths, parse the same from its headers alone, and survive
// being built and parsed again.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/tcp_header.h"
#include "netmem/wire/wire_fuzz_check.h"

namespace devmem {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr MacAddress kOurMac({0x02, 0x00, 0x5e, 0x10, 0x00, 0x01});

FlowKey Reversed(const FlowKey& flow) {
  return {flow.remote, flow.local, flow.remote_port, flow.local_port};
}

void CheckLengths(const FrameHeaders& frame, size_t available_bytes, size_t frame_bytes) {
  if (frame.kind == FrameKind::kMalformed) {
    RequireThat(frame.error != FrameError::kNone, "a malformed frame has a reason");
    return;
  }
  RequireThat(frame.error == FrameError::kNone, "only a malformed frame has a reason");
  RequireThat(frame.header_bytes <= available_bytes, "the headers were at hand");
  RequireThat(frame.frame_bytes_expected <= frame_bytes, "the frame is as long as it says");
  if (frame.l4_offset == 0) return;
  RequireThat(frame.l4_offset <= frame.header_bytes, "layer 4 begins within the headers");
  RequireThat(frame.header_bytes + frame.payload_bytes == frame.frame_bytes_expected,
              "headers and payload make up the frame");
}

void CheckSame(const FrameHeaders& a, const FrameHeaders& b) {
  RequireThat(a.kind == b.kind && a.is_v6 == b.is_v6 && a.is_fragment == b.is_fragment &&
                  a.header_bytes == b.header_bytes && a.payload_bytes == b.payload_bytes &&
                  a.flow == b.flow,
              "the headers alone give the same answer");
}

// Sends the segment back where it came from, and reads what was sent.
void CheckTcpRoundTrip(Bytes available, const FrameHeaders& frame) {
  const TcpHeader tcp = *TcpHeader::Parse(available.subspan(frame.l4_offset));
  TcpFrameSpec spec;
  spec.flow = frame.flow;
  spec.seq = tcp.ack();
  spec.ack = tcp.seq();
  spec.flags = tcp.flags();
  spec.window = tcp.window();
  spec.urgent_pointer = tcp.urgent_pointer();
  spec.options = ParseTcpOptions(tcp.options());
  spec.ecn = frame.ecn;
  spec.ttl = frame.ttl;
  // Our option padding may be longer than the peer's, by less than a full option space.
  spec.payload_bytes = std::min<uint32_t>(frame.payload_bytes, 0xffff - 80);
  spec.payload_sum = LoadBe16(available.data());

  std::array<uint8_t, kTcpFrameHeaderBytesMax> out;
  const size_t built_bytes = BuildTcpFrame(spec, out);
  RequireThat(built_bytes != 0, "a segment can be answered");
  const Bytes built = Bytes(out).first(built_bytes);
  const FrameHeaders again =
      ParseFrame(built, static_cast<uint32_t>(built_bytes) + spec.payload_bytes);
  RequireThat(again.kind == FrameKind::kTcp && again.header_bytes == built_bytes,
              "a built segment parses");
  RequireThat(again.flow == Reversed(frame.flow), "the answer goes the other way");
  RequireThat(
      again.payload_bytes == spec.payload_bytes && again.ecn == frame.ecn && again.ttl == frame.ttl,
      "IP fields survive the round trip");
  RequireThat(VerifyTcpChecksum(built, again, spec.payload_sum), "a built checksum verifies");
  const TcpHeader sent = *TcpHeader::Parse(built.subspan(again.l4_offset));
  RequireThat(sent.seq() == spec.seq && sent.ack() == spec.ack && sent.flags() == spec.flags &&
                  sent.window() == spec.window && sent.urgent_pointer() == spec.urgent_pointer,
              "TCP fields survive the round trip");
}

void CheckEchoRoundTrip(Bytes whole, const FrameHeaders& frame) {
  std::vector<uint8_t> out(whole.size() + kTcpFrameHeaderBytesMax);
  const size_t reply_bytes = BuildIcmpEchoReply(whole, frame, kOurMac, out);
  if (reply_bytes == 0) return;
  const Bytes reply = Bytes(out).first(reply_bytes);
  const FrameHeaders again = ParseFrame(reply, static_cast<uint32_t>(reply_bytes));
  RequireThat(again.kind == frame.kind && again.flow == Reversed(frame.flow) &&
                  again.payload_bytes == frame.payload_bytes,
              "an echo reply mirrors its request");
  RequireThat(BuildIcmpEchoReply(reply, again, kOurMac, out) == 0, "a reply is not answered");
}

void CheckArpRoundTrip(Bytes whole) {
  std::array<uint8_t, 42> out;
  const size_t reply_bytes = BuildArpReply(whole, kOurMac, out);
  if (reply_bytes == 0) return;
  RequireThat(ParseFrame(out, static_cast<uint32_t>(reply_bytes)).kind == FrameKind::kArp,
              "an ARP reply parses");
}

void CheckFrame(Bytes whole, size_t visible_bytes) {
  const uint32_t frame_bytes = static_cast<uint32_t>(whole.size());
  // A copy of exactly the visible bytes lets asan see a read past them.
  const std::vector<uint8_t> visible(whole.data(), whole.data() + visible_bytes);
  const FrameHeaders frame = ParseFrame(visible, frame_bytes);
  CheckLengths(frame, visible.size(), frame_bytes);
  if (frame.kind == FrameKind::kMalformed) return;
  CheckSame(frame, ParseFrame(whole, frame_bytes));
  CheckSame(frame, ParseFrame(std::span(visible).first(frame.header_bytes), frame_bytes));
  if (frame.kind == FrameKind::kTcp) CheckTcpRoundTrip(visible, frame);
  CheckEchoRoundTrip(whole, frame);
  CheckArpRoundTrip(whole);
}

// Makes the IPv4 header checksum right, which a fuzzer hardly ever gets by chance. Returns whether
// there is one.
bool FixIpv4Checksum(std::span<uint8_t> frame) {
  if (frame.size() < kEthernetHeaderBytes) return false;
  if (EthernetHeader::Parse(frame)->ether_type() != kEtherTypeIpv4) return false;
  const std::span<uint8_t> packet = frame.subspan(kEthernetHeaderBytes);
  const std::optional<Ipv4Header> header = Ipv4Header::Parse(packet);
  if (!header) return false;
  StoreBe16(&packet[10], 0);
  StoreBe16(&packet[10], ChecksumField(PartialSum(header->bytes())));
  return true;
}

}  // namespace
}  // namespace devmem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace devmem;
  if (size < 2) return 0;
  std::vector<uint8_t> whole(data + 2, data + size);
  const size_t visible_bytes = std::min<size_t>(LoadBe16(data), whole.size());
  CheckFrame(whole, visible_bytes);
  if (FixIpv4Checksum(whole)) CheckFrame(whole, visible_bytes);
  return 0;
}
