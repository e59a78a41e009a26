// SPDX-License-Identifier: Apache-2.0
//
// Conformance: bytes of a region are sent from where they lie, whole and in small chunks, between
// bytes of the host's, and such as have just landed there.

#include <algorithm>

#include "provider/user_mapping.h"
#include "selftests/conformance/fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

class SendFromTest : public ConformanceTest {
 protected:
  static constexpr uint64_t kRegionBytes = 1 << 20;

  // A region with the bytes of stream `seed`.
  std::unique_ptr<Region> FilledRegion(uint64_t seed) {
    std::unique_ptr<Region> region = NewRegion(kRegionBytes);
    if (region == nullptr) return nullptr;
    const auto mapping = UserMapping::Map(*region, 0, kRegionBytes, MapAccess::kReadWrite);
    EXPECT_TRUE(mapping.ok()) << mapping.status();
    if (!mapping.ok()) return nullptr;
    FillPattern(seed, 0, std::span(static_cast<uint8_t*>(mapping->address()), kRegionBytes));
    return region;
  }
  // Sends a range in calls of `chunk` bytes, while the peer reads what was sent so far.
  void SendRange(Link& link, const Region& region, uint64_t seed, uint64_t offset, uint64_t bytes,
                 uint64_t chunk) {
    for (uint64_t done = 0; done < bytes;) {
      const uint64_t part = std::min(chunk, bytes - done);
      const auto sent = link.ours->SendFrom(region, offset + done, part, Soon());
      ASSERT_TRUE(sent.ok()) << sent.status() << " at byte " << done;
      ASSERT_GT(*sent, 0u);
      ASSERT_LE(*sent, part);
      ExpectPeerReads(link.peer, seed, offset + done, *sent);
      ASSERT_FALSE(HasFailure());
      done += *sent;
    }
  }
  void ExpectFlushed(Link& link) {
    const absl::Status flushed = link.ours->Flush(Soon());
    EXPECT_TRUE(flushed.ok()) << flushed;
  }
};
DEVMEM_CONFORMANCE_SUITE(SendFromTest);

TEST_P(SendFromTest, AWholeRegionArrivesByteForByte) {
  const std::unique_ptr<Region> region = FilledRegion(1);
  ASSERT_NE(region, nullptr);
  Link link = Open();
  SendRange(link, *region, 1, 0, kRegionBytes, 64 << 10);
  ExpectFlushed(link);
  if (Expects(expectations().direct_sending)) {
    EXPECT_EQ(Statistic("sent_from_device_bytes"), kRegionBytes);
  }
  EXPECT_EQ(link.ours->info().payload_bytes_sent, kRegionBytes);
}

TEST_P(SendFromTest, ChunksOfThreeBytesArriveInOrder) {
  const std::unique_ptr<Region> region = FilledRegion(2);
  ASSERT_NE(region, nullptr);
  Link link = Open();
  SendRange(link, *region, 2, 0, 300, 3);
  ExpectFlushed(link);
}

TEST_P(SendFromTest, RangesThatBeginAndEndAnywhereArrive) {
  const std::unique_ptr<Region> region = FilledRegion(3);
  ASSERT_NE(region, nullptr);
  Link link = Open();
  for (const uint64_t offset : {uint64_t{1}, uint64_t{4095}, kRegionBytes - 10'001}) {
    SendRange(link, *region, 3, offset, 10'001, 10'001);
  }
  SendRange(link, *region, 3, kRegionBytes - 1, 1, 1);
  ExpectFlushed(link);
}

TEST_P(SendFromTest, BytesOfTheHostsAndOfARegionMixInOrder) {
  const std::unique_ptr<Region> region = FilledRegion(4);
  ASSERT_NE(region, nullptr);
  Link link = Open();
  for (uint64_t round = 0; round < 8; ++round) {
    SendAll(*link.ours, 5, round * 100, 100);
    uint64_t queued = 0;
    while (queued < 5000) {
      const auto sent = link.ours->SendFrom(*region, round * 5000 + queued, 5000 - queued, Soon());
      ASSERT_TRUE(sent.ok()) << sent.status();
      queued += *sent;
    }
    ExpectPeerReads(link.peer, 5, round * 100, 100);
    ExpectPeerReads(link.peer, 4, round * 5000, 5000);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  ExpectFlushed(link);
}

TEST_P(SendFromTest, WhatLandedIsSentOnFromWhereItLies) {
  Link link = Open();
  const std::vector<Frag> frags = SendAndTake(link, {.seed = 6, .bytes = 100'000});
  uint64_t offset = 0;
  for (const Frag& frag : frags) {
    if (frag.region_id != region_->id()) GTEST_SKIP() << "some bytes landed in host memory";
    for (uint64_t done = 0; done < frag.length_bytes;) {
      const auto sent =
          link.ours->SendFrom(*region_, frag.offset + done, frag.length_bytes - done, Soon());
      ASSERT_TRUE(sent.ok()) << sent.status();
      ExpectPeerReads(link.peer, 6, offset + done, *sent);
      done += *sent;
    }
    offset += frag.length_bytes;
    ASSERT_FALSE(HasFailure());
  }
  ExpectFlushed(link);
  Release(*link.ours, frags);
}

TEST_P(SendFromTest, ARangeOutsideOfTheRegionIsRefusedAndNothingIsSent) {
  const std::unique_ptr<Region> region = FilledRegion(7);
  ASSERT_NE(region, nullptr);
  Link link = Open();
  EXPECT_TRUE(absl::IsOutOfRange(link.ours->SendFrom(*region, kRegionBytes, 1, Soon()).status()));
  EXPECT_TRUE(absl::IsOutOfRange(link.ours->SendFrom(*region, 1, kRegionBytes, Soon()).status()));
  EXPECT_TRUE(absl::IsOutOfRange(link.ours->SendFrom(*region, ~uint64_t{0}, 2, Soon()).status()));
  EXPECT_TRUE(link.ours->Shutdown().ok());
  ExpectPeerReadsEnd(link.peer);
  EXPECT_TRUE(absl::IsFailedPrecondition(link.ours->SendFrom(*region, 0, 1, Soon()).status()));
}

}  // namespace
}  // namespace devmem::testing
