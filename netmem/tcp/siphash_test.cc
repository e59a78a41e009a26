// SPDX-License-Identifier: Apache-2.0
// The published vectors of SipHash-2-4: key 00 01 .. 0f, input 00 01 .. of each length. The one for
// 15 bytes is worked through in appendix A of the paper; the others are the authors' test vectors.
#include "netmem/tcp/siphash.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

namespace devmem {
namespace {

constexpr SipKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

TEST(SipHashTest, AgreesWithThePublishedVectors) {
  std::array<uint8_t, 64> input;
  std::iota(input.begin(), input.end(), uint8_t{0});
  const std::array<uint64_t, 9> expected = {
      0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
      0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
      0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462};
  for (size_t bytes = 0; bytes < expected.size(); ++bytes) {
    EXPECT_EQ(SipHash24(kKey, std::span(input).first(bytes)), expected[bytes]) << bytes;
  }
  EXPECT_EQ(SipHash24(kKey, std::span(input).first(15)), 0xa129ca6149be45e5);
}

TEST(SipHashTest, EveryBitOfKeyAndInputMatters) {
  const std::array<uint8_t, 20> input{};
  const uint64_t plain = SipHash24(kKey, input);
  for (size_t bit = 0; bit < 64; ++bit) {
    EXPECT_NE(SipHash24({kKey.low ^ uint64_t{1} << bit, kKey.high}, input), plain);
    EXPECT_NE(SipHash24({kKey.low, kKey.high ^ uint64_t{1} << bit}, input), plain);
  }
  for (size_t bit = 0; bit < 8 * input.size(); ++bit) {
    std::array<uint8_t, 20> changed = input;
    changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ 1 << bit % 8);
    EXPECT_NE(SipHash24(kKey, changed), plain);
  }
}

TEST(SipHashTest, TrailingZeroBytesChangeTheHash) {
  const std::array<uint8_t, 9> zeroes{};
  EXPECT_NE(SipHash24(kKey, std::span(zeroes).first(8)), SipHash24(kKey, zeroes));
}

}  // namespace
}  // namespace devmem
