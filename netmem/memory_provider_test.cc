// SPDX-License-Identifier: Apache-2.0
//
// Which net_iov and slab sizes a range may be cut into.

#include "netmem/memory_provider.h"

#include <gtest/gtest.h>

#include <string>

namespace devmem {
namespace {

TEST(CutTest, EveryPowerOfTwoInRangeIsAccepted) {
  for (uint32_t net_iov = kNetIovBytesMin; net_iov <= kNetIovBytesMax; net_iov *= 2) {
    for (uint64_t slab = net_iov; slab <= kSlabBytesMax; slab *= 2) {
      const bool fits = slab / net_iov <= kSlabNetIovsMax;
      EXPECT_EQ(CheckCut(net_iov, static_cast<uint32_t>(slab)).ok(), fits)
          << net_iov << " " << slab;
    }
  }
}

TEST(CutTest, ANetIovSizeOutOfRangeIsRefusedWithTheRange) {
  for (const uint32_t bytes : {0u, 1024u, 3000u, 4097u, 4u << 20}) {
    const absl::Status status = CheckCut(bytes, 4u << 20);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(status.message(), "net_iov size is " + std::to_string(bytes) +
                                    " bytes; choose a power of two from 2048 to 2097152");
  }
}

TEST(CutTest, ASlabThatIsNoPowerOfTwoOrSmallerThanANetIovIsRefused) {
  for (const uint32_t bytes : {0u, 4096u, 12288u, 65535u, 98304u}) {
    const absl::Status status = CheckCut(8192, bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(
        status.message(),
        "slab size is " + std::to_string(bytes) +
            " bytes; for net_iovs of 8192 bytes choose a power of two from 8192 to 268435456");
  }
}

TEST(CutTest, ASlabOfTooManyNetIovsOrTooManyBytesIsRefused) {
  EXPECT_FALSE(CheckCut(kNetIovBytesMin, 2 * kNetIovBytesMin * kSlabNetIovsMax).ok());
  EXPECT_FALSE(CheckCut(kNetIovBytesMax, 2 * kSlabBytesMax).ok());
}

}  // namespace
}  // namespace devmem
