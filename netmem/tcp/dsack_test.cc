// SPDX-License-Identifier: Apache-2.0
// The examples of RFC 2883 section 4, with its numbers, through the engine: what is reported as a
// duplicate, where, and how often. The stream of the fixture begins at the RFC's 3000.

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

class DsackTest : public EngineFixture {
 protected:
  static constexpr uint32_t kStart = 3000;  // Of the RFC's numbers, the first of our stream.

  SeqNum At(uint32_t number) const { return kPeerIss + 1 + number - kStart; }
  SackBlock Block(uint32_t left, uint32_t right) const { return {At(left), At(right)}; }
  // The peer's segment [left, right).
  void Arrives(uint32_t left, uint32_t right) { Send({.seq = At(left), .bytes = right - left}); }
  // The one ACK that came out since.
  void Expect(uint32_t ack, std::initializer_list<SackBlock> blocks) {
    ExpectOnly(All({IsAck(At(ack)), HasSacks(blocks)}));
  }
};

TEST_F(DsackTest, ADuplicateSegmentIsReportedOnce) {
  // Section 4.1.1: the ACKs of 3000 to 4000 are lost, and the first segment comes again.
  Established();
  Arrives(3000, 3500);
  Expect(3500, {});
  Arrives(3500, 4000);
  Expect(4000, {});
  Arrives(3000, 3500);
  Expect(4000, {Block(3000, 3500)});
  Arrives(4000, 4500);
  Expect(4500, {});
}

TEST_F(DsackTest, ADuplicateIsReportedBesideAnOutOfOrderSegmentAndOnlyInOneAck) {
  // Section 4.1.2: 4000 to 4500 is lost; 3000 to 3500 comes again in front of 4500 to 5000.
  Established();
  Arrives(3000, 3500);
  Arrives(3500, 4000);
  TakeSeen();
  Arrives(4500, 5000);
  Expect(4000, {Block(4500, 5000)});
  Arrives(3000, 3500);
  Expect(4000, {Block(3000, 3500), Block(4500, 5000)});
  Arrives(5000, 5500);
  Expect(4000, {Block(4500, 5500)});
}

TEST_F(DsackTest, ADuplicateOfAnOutOfOrderSegmentIsFollowedByItsBlock) {
  // Section 4.1.3.
  Established();
  Arrives(3000, 3500);
  Arrives(3500, 4000);
  TakeSeen();
  Arrives(4500, 5000);
  Expect(4000, {Block(4500, 5000)});
  Arrives(5000, 5500);
  Expect(4000, {Block(4500, 5500)});
  Arrives(5000, 5500);
  Expect(4000, {Block(5000, 5500), Block(4500, 5500)});
}

TEST_F(DsackTest, OnlyThePartThatIsOldIsReported) {
  // Section 4.2.1: 500 bytes came, then 1000 from the same place.
  Established();
  Arrives(3000, 3500);
  TakeSeen();
  Arrives(3500, 4000);
  TakeSeen();
  Arrives(4500, 5000);
  Expect(4000, {Block(4500, 5000)});
  Arrives(4500, 5500);
  Expect(4000, {Block(4500, 5000), Block(4500, 5500)});
}

TEST_F(DsackTest, APartInsideOfAnOutOfOrderBlockIsReportedWithWhatTheBlockBecame) {
  // Section 4.2.2: the segment joins what was there.
  Established();
  Arrives(3000, 3500);
  TakeSeen();
  Arrives(4000, 4500);
  Expect(3500, {Block(4000, 4500)});
  Arrives(4500, 5000);
  TakeSeen();
  Arrives(4000, 5500);
  Expect(3500, {Block(4000, 5000), Block(4000, 5500)});
}

TEST_F(DsackTest, OfTwoOldPartsTheFirstIsReported) {
  // Section 4.2.3: 3500 to 4000 and 4500 to 5000 are here, and 3500 to 5500 comes in one.
  Established();
  Arrives(3000, 3200);
  TakeSeen();
  Arrives(3500, 4000);
  Arrives(4500, 5000);
  TakeSeen();
  Arrives(3500, 5500);
  Expect(3200, {Block(3500, 4000), Block(3500, 5500)});
}

TEST_F(DsackTest, ASegmentAcrossRcvNxtIsReportedUpToThere) {
  Established();
  Arrives(3000, 3500);
  TakeSeen();
  Arrives(3200, 4000);
  Expect(4000, {Block(3200, 3500)});
  EXPECT_EQ(ReadAll(), 1000u);
}

TEST_F(DsackTest, ASegmentAcrossRcvNxtAndAHoleReportsTheOldPartInFront) {
  Established();
  Arrives(3000, 3500);
  Arrives(4000, 4500);
  TakeSeen();
  Arrives(3200, 5000);
  Expect(5000, {Block(3200, 3500)});
  EXPECT_EQ(ReadAll(), 2000u);
}

TEST_F(DsackTest, WhatLiesWhollyBelowIsReportedThoughItIsNotAcceptable) {
  Established();
  Arrives(3000, 5000);
  TakeSeen();
  Arrives(3000, 5000);
  Expect(5000, {Block(3000, 5000)});
}

TEST_F(DsackTest, WithoutSackNothingIsReported) {
  peer_syn_.sack_permitted = false;
  Established();
  Arrives(3000, 3500);
  TakeSeen();
  Arrives(3000, 3500);
  Expect(3500, {});
}

}  // namespace
}  // namespace devmem::testing
