// SPDX-License-Identifier: Apache-2.0
//
// Conformance: segments of every size, alone and mixed. What the kernel's own devmem self-test asks
// of a NIC, that no payload byte lands beside the header, is asked of each backend that promises
// it.

#include "selftests/conformance/fixture.h"

namespace devmem::testing {
namespace {

class SegmentsTest : public ConformanceTest {
 protected:
  // Sends one segment (several where the MTU is smaller), and takes it before the next leaves.
  void SendSegment(Link& link, uint64_t seed, uint32_t bytes) {
    SCOPED_TRACE(bytes);
    Release(*link.ours, SendAndTake(link, {.seed = seed, .bytes = bytes}));
  }
};
DEVMEM_CONFORMANCE_SUITE(SegmentsTest);

TEST_P(SegmentsTest, OfOneTo8192BytesLandWithoutABounceWhereTheBackendSaysSo) {
  Link link = Open();
  link.peer.SetNoDelay();
  const uint64_t bounced_before = Statistic("payload_bytes_bounced");
  uint64_t bytes = 0, seed = 0;
  for (uint32_t power = 1; power <= 8192; power *= 2) {
    for (const uint32_t size : {power - 1, power, power + 1}) {
      if (size == 0 || size > 8192) continue;
      SendSegment(link, ++seed, size);
      bytes += size;
      ASSERT_FALSE(HasFailure());
    }
  }
  const bool direct = Expects(expectations().direct_placement);
  if (session_->info().steering == "auto") return;
  EXPECT_EQ(Statistic("payload_bytes_bounced") - bounced_before, direct ? 0 : bytes);
}

TEST_P(SegmentsTest, OfOneToAHundredBytesOneAfterAnother) {
  Link link = Open();
  link.peer.SetNoDelay();
  std::vector<uint32_t> sizes;
  for (uint32_t size = 1; size <= 100; ++size) sizes.push_back(size);
  Transfer(link, {.seed = 1, .bytes = options().Scaled(64 << 10), .write_bytes = sizes});
}

TEST_P(SegmentsTest, OfOneByteEach) {
  Link link = Open();
  link.peer.SetNoDelay();
  Transfer(link, {.seed = 1, .bytes = options().Scaled(2000), .write_bytes = {1}});
}

TEST_P(SegmentsTest, TinyAndHugeMixed) {
  Link link = Open();
  link.peer.SetNoDelay();
  Transfer(link, {.seed = 1,
                  .bytes = options().Scaled(8 << 20),
                  .write_bytes = {1, 60'000, 3, 1448, 7, 65'536, 100, 2, 9000, 40'000, 1, 1}});
}

TEST_P(SegmentsTest, TinyAndHugeMixedUnderAnOwnerWhoHoldsSome) {
  Link link = Open();
  link.peer.SetNoDelay();
  const std::vector<uint32_t> writes = {1, 30'000, 3, 1448, 7};
  std::vector<Frag> held;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const std::vector<Frag> frags =
        SendAndTake(link, {.seed = seed, .bytes = 100'000, .write_bytes = writes});
    Release(*link.ours, held);
    held = frags;
    EXPECT_EQ(Check(held, seed, 0), 100'000u);
    ASSERT_FALSE(HasFailure());
  }
  Release(*link.ours, held);
}

}  // namespace
}  // namespace devmem::testing
