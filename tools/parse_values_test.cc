// SPDX-License-Identifier: Apache-2.0
//
// Values from the command line: what is read, and what a refusal says.

#include "tools/parse_values.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace devmem {
namespace {

constexpr ValueBounds kMtu{.option = "--mtu", .min = 576, .max = 65521, .unit = "bytes"};
constexpr ValueBounds kAny{.option = "--bytes", .min = 0, .max = UINT64_MAX, .unit = "bytes"};

TEST(ParseNumberTest, NumbersInTheBoundsAreRead) {
  EXPECT_EQ(*ParseNumber("576", kMtu), 576u);
  EXPECT_EQ(*ParseNumber("65521", kMtu), 65521u);
}

TEST(ParseNumberTest, NumbersOutsideAreRefusedWithTheBounds) {
  for (const char* text : {"575", "65522", "18446744073709551615"}) {
    const auto refused = ParseNumber(text, kMtu);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kOutOfRange) << text;
    EXPECT_EQ(std::string(refused.status().message()),
              "--mtu " + std::string(text) + " is out of range: write 576 to 65521 bytes");
  }
}

TEST(ParseNumberTest, TextsThatAreNoNumberAreRefusedByName) {
  for (const char* text :
       {"", "x", "-1", "+1", " 1000", "1000 ", "0x300", "1e3", "1.5", "18446744073709551616"}) {
    const auto refused = ParseNumber(text, kMtu);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(refused.status().message().find("--mtu"), absl::string_view::npos);
  }
}

TEST(ParseBytesTest, SuffixesArePowersOf1024) {
  EXPECT_EQ(*ParseBytes("12", kAny), 12u);
  EXPECT_EQ(*ParseBytes("4K", kAny), 4096u);
  EXPECT_EQ(*ParseBytes("4k", kAny), 4096u);
  EXPECT_EQ(*ParseBytes("64M", kAny), 64u << 20);
  EXPECT_EQ(*ParseBytes("4G", kAny), uint64_t{4} << 30);
  EXPECT_EQ(*ParseBytes("1T", kAny), uint64_t{1} << 40);
}

TEST(ParseBytesTest, ASizeThatWrapsAroundIsOutOfRange) {
  EXPECT_EQ(*ParseBytes("16777215T", kAny), uint64_t{16777215} << 40);
  EXPECT_EQ(ParseBytes("16777216T", kAny).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(ParseBytesTest, TextsThatAreNoSizeAreRefusedWithAnExample) {
  for (const char* text : {"", "M", "64MB", "64 M", "6.4M", "-1M", "M64"}) {
    const auto refused = ParseBytes(text, kAny);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(refused.status().message().find("like 64M"), absl::string_view::npos) << text;
  }
}

TEST(ParseChoiceTest, AWordIsFoundOrTheWordsAreListed) {
  constexpr std::array<absl::string_view, 3> kWords = {"auto", "stack", "copy"};
  EXPECT_EQ(*ParseChoice("copy", "--backend", kWords), 2u);
  const auto refused = ParseChoice("Copy", "--backend", kWords);
  EXPECT_EQ(std::string(refused.status().message()),
            "--backend \"Copy\" is none of: auto, stack, copy");
}

}  // namespace
}  // namespace devmem
