// SPDX-License-Identifier: Apache-2.0
// Tests of the Ethernet header view and its emitter.
#include "netmem/wire/ethernet.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netmem/wire/wire_test_frames.h"

namespace devmem {
namespace {

TEST(EthernetTest, FieldsComeFromTheirPlaces) {
  const std::vector<uint8_t> bytes = SynFrameV4();
  const std::optional<EthernetHeader> header = EthernetHeader::Parse(bytes);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->destination().ToString(), "02:00:5e:10:00:01");
  EXPECT_EQ(header->source().ToString(), "02:00:5e:10:00:02");
  EXPECT_EQ(header->ether_type(), kEtherTypeIpv4);
}

TEST(EthernetTest, EveryTruncationIsRefused) {
  for (size_t count = 0; count < kEthernetHeaderBytes; ++count) {
    EXPECT_FALSE(EthernetHeader::Parse(std::vector<uint8_t>(count)).has_value()) << count;
  }
}

TEST(EthernetTest, EmittedFieldsParseBack) {
  const std::vector<uint8_t> frame = ArpRequestFrame();
  const EthernetHeader header = *EthernetHeader::Parse(frame);
  std::array<uint8_t, kEthernetHeaderBytes> out;
  EXPECT_EQ(EmitEthernet({header.destination(), header.source(), header.ether_type()}, out), 14u);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), frame.begin()));
}

TEST(EthernetTest, ABufferThatIsTooShortIsLeftAlone) {
  std::array<uint8_t, kEthernetHeaderBytes - 1> out{};
  EXPECT_EQ(EmitEthernet({.destination = MacAddress::Broadcast()}, out), 0u);
  EXPECT_EQ(out, decltype(out){});
}

}  // namespace
}  // namespace devmem
