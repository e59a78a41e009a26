// SPDX-License-Identifier: Apache-2.0
// Fuzzes what is read out of ICMP messages: neighbour discovery and errors. The input is a frame,
// tried as it is and with its checksums put right. Whatever is believed must keep what the readers
// promise, and our answer to a solicitation must be one that we would believe ourselves.
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
#include "netmem/wire/icmp_quote.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/neighbour_discovery.h"
#include "netmem/wire/wire_fuzz_check.h"

namespace devmem {
namespace {

constexpr MacAddress kOurMac({0x02, 0x00, 0x5e, 0x10, 0x00, 0x01});

FrameHeaders ParseWhole(std::span<const uint8_t> frame) {
  return ParseFrame(frame, static_cast<uint32_t>(frame.size()));
}

void CheckNeighbour(const NeighbourMessage& message, const FrameHeaders& frame) {
  RequireThat(frame.ttl == kNeighbourHopLimit, "it came from this link");
  RequireThat(!message.target.is_multicast() && !message.target.is_v4(), "the target is one host");
  RequireThat(!message.link_address || !message.link_address->is_multicast(),
              "the Ethernet address is one host's");
  if (!message.is_solicitation) return;
  RequireThat(!message.source.is_unspecified() || !message.link_address,
              "nobody has no Ethernet address");
  std::array<uint8_t, 128> out;
  const MacAddress asker = message.link_address.value_or(MacAddress());
  const size_t bytes = BuildNeighbourAdvertisement(message, asker, kOurMac, out);
  RequireThat(bytes != 0, "a solicitation can be answered");
  const std::span<const uint8_t> answer = std::span(out).first(bytes);
  const std::optional<NeighbourMessage> again = ParseNeighbourMessage(answer, ParseWhole(answer));
  RequireThat(again.has_value() && !again->is_solicitation, "our answer is an advertisement");
  RequireThat(again->target == message.target && again->link_address == kOurMac &&
                  again->overrides && again->solicited == !message.source.is_unspecified(),
              "our answer says what was asked");
}

void CheckQuote(const IcmpQuote& quote, const FrameHeaders& frame) {
  RequireThat(quote.flow.local == frame.flow.local, "the error went to the segment's sender");
  RequireThat(quote.flow.local.is_v4() == quote.flow.remote.is_v4() &&
                  quote.flow.local.is_v4() != quote.is_v6,
              "the quoted flow is of the error's family");
  RequireThat(quote.type == IcmpErrorType::kTooBig || quote.mtu_bytes == 0,
              "only what is too big has an MTU");
}

void CheckFrame(std::span<const uint8_t> whole) {
  const FrameHeaders frame = ParseWhole(whole);
  const std::optional<NeighbourMessage> message = ParseNeighbourMessage(whole, frame);
  if (message) CheckNeighbour(*message, frame);
  const std::optional<IcmpQuote> quote = ParseIcmpQuote(whole, frame);
  if (quote) CheckQuote(*quote, frame);
  RequireThat(!message || !quote, "no message is of both kinds");
}

// Makes the checksums right, which a fuzzer hardly ever gets by chance.
void FixChecksums(std::span<uint8_t> frame) {
  if (frame.size() < kEthernetHeaderBytes) return;
  const std::span<uint8_t> packet = frame.subspan(kEthernetHeaderBytes);
  const std::optional<Ipv4Header> ipv4 = Ipv4Header::Parse(packet);
  if (ipv4 && EthernetHeader::Parse(frame)->ether_type() == kEtherTypeIpv4) {
    StoreBe16(&packet[10], 0);
    StoreBe16(&packet[10], ChecksumField(PartialSum(ipv4->bytes())));
  }
  const FrameHeaders headers = ParseWhole(frame);
  if (headers.kind != FrameKind::kIcmp && headers.kind != FrameKind::kIcmpV6) return;
  const uint32_t icmp_bytes = headers.frame_bytes_expected - headers.l4_offset;
  const std::span<uint8_t> message = frame.subspan(headers.l4_offset, icmp_bytes);
  const uint32_t pseudo_sum = headers.is_v6
                                  ? PseudoHeaderSumV6(headers.flow.remote, headers.flow.local,
                                                      kIpProtocolIcmpV6, icmp_bytes)
                                  : 0;
  StoreBe16(&message[2], 0);
  StoreBe16(&message[2], ChecksumField(PartialSum(message, pseudo_sum)));
}

}  // namespace
}  // namespace devmem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace devmem;
  std::vector<uint8_t> whole(data, data + size);
  CheckFrame(whole);
  FixChecksums(whole);
  CheckFrame(whole);
  return 0;
}
