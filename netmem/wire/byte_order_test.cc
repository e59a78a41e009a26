// SPDX-License-Identifier: Apache-2.0
// Tests of the big-endian loads and stores.
#include "netmem/wire/byte_order.h"

#include <gtest/gtest.h>

#include <array>

namespace devmem {
namespace {

constexpr std::array<uint8_t, 9> kBytes = {0xff, 1, 2, 3, 4, 5, 6, 7, 0x88};

TEST(ByteOrderTest, LoadsTakeTheFirstByteAsTheMostSignificant) {
  EXPECT_EQ(LoadBe16(&kBytes[0]), 0xff01);
  EXPECT_EQ(LoadBe32(&kBytes[0]), 0xff010203u);
  EXPECT_EQ(LoadBe64(&kBytes[0]), 0xff01020304050607u);
}

TEST(ByteOrderTest, LoadsWorkAtOddAddresses) {
  EXPECT_EQ(LoadBe16(&kBytes[1]), 0x0102);
  EXPECT_EQ(LoadBe32(&kBytes[1]), 0x01020304u);
  EXPECT_EQ(LoadBe64(&kBytes[1]), 0x0102030405060788u);
}

TEST(ByteOrderTest, StoresWriteTheirBytesAndNoOthers) {
  std::array<uint8_t, 10> out{};
  StoreBe16(&out[1], 0x0102);
  EXPECT_EQ(out, (std::array<uint8_t, 10>{0, 1, 2}));
  StoreBe32(&out[1], 0x01020304);
  EXPECT_EQ(out, (std::array<uint8_t, 10>{0, 1, 2, 3, 4}));
  StoreBe64(&out[1], 0x0102030405060788);
  EXPECT_EQ(out, (std::array<uint8_t, 10>{0, 1, 2, 3, 4, 5, 6, 7, 0x88, 0}));
}

}  // namespace
}  // namespace devmem
