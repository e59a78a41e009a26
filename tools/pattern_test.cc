// SPDX-License-Identifier: Apache-2.0
//
// The content that both ends compute: each wrong byte is found where it is, however the stream is
// cut.

#include "tools/pattern.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

namespace devmem {
namespace {

constexpr PatternSpec kModSeven{PatternSpec::Kind::kModulo, 7};
constexpr PatternSpec kDemo{PatternSpec::Kind::kDemoBlock, 42};

// The first bytes of a stream, made in steps of uneven length.
std::vector<uint8_t> Make(const PatternSpec& spec, uint64_t count) {
  Pattern pattern(spec);
  std::mt19937 random(1);
  std::vector<uint8_t> bytes;
  while (bytes.size() < count) {
    const uint64_t step = std::min<uint64_t>(1 + random() % 9000, count - bytes.size());
    const auto part = pattern.At(bytes.size(), step);
    EXPECT_GE(part.size(), 1u);
    EXPECT_LE(part.size(), step);
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return bytes;
}

TEST(PatternTest, ModuloIsWhatTheKernelsToolSends) {
  const std::vector<uint8_t> bytes = Make(kModSeven, 600'000);
  for (size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], i % 7) << "at " << i;
}

TEST(PatternTest, ADemoBlockRepeatsExceptForItsStamps) {
  const std::vector<uint8_t> bytes = Make(kDemo, 2 * kPatternBlockBytes);
  std::set<uint64_t> stamps;
  for (size_t i = 0; i < kPatternBlockBytes; ++i) {
    if (i % kPatternStampEveryBytes < 8) continue;
    ASSERT_EQ(bytes[i], bytes[i + kPatternBlockBytes]) << "at " << i;
  }
  for (size_t i = 0; i < bytes.size(); i += kPatternStampEveryBytes) {
    uint64_t stamp = 0;
    for (size_t k = 8; k-- > 0;) stamp = stamp << 8 | bytes[i + k];
    ASSERT_EQ(stamp, i / kPatternStampEveryBytes);
  }
}

TEST(PatternTest, AnotherSeedIsAnotherBlock) {
  EXPECT_NE(Make(kDemo, 4096), Make({PatternSpec::Kind::kDemoBlock, 43}, 4096));
}

TEST(PatternTest, AWholeBlockComesInOnePiece) {
  Pattern demo(kDemo);
  EXPECT_EQ(demo.At(3 * uint64_t{kPatternBlockBytes}, kPatternBlockBytes).size(),
            kPatternBlockBytes);
  Pattern modulo(kModSeven);
  EXPECT_EQ(modulo.At(5, kPatternBlockBytes).size(), kPatternBlockBytes);
}

TEST(PatternCheckerTest, TheRightStreamPassesHoweverItIsCut) {
  for (const PatternSpec& spec : {kModSeven, kDemo}) {
    const std::vector<uint8_t> bytes = Make(spec, 1'000'000);
    PatternChecker checker(spec);
    std::mt19937 random(2);
    for (size_t at = 0; at < bytes.size();) {
      const size_t part = std::min<size_t>(1 + random() % 70'000, bytes.size() - at);
      ASSERT_TRUE(checker.Check(std::span(bytes).subspan(at, part))) << checker.complaint();
      at += part;
    }
    EXPECT_EQ(checker.checked_bytes(), bytes.size());
    EXPECT_EQ(checker.complaint(), "");
  }
}

TEST(PatternCheckerTest, EachWrongByteIsFoundAtItsOffset) {
  for (const PatternSpec& spec : {kModSeven, kDemo}) {
    const std::vector<uint8_t> bytes = Make(spec, 300'000);
    std::mt19937 random(3);
    std::vector<size_t> places = {0, 1, 7, 8, 4095, 4096, 4103, 262'143, 262'144, 299'999};
    for (int i = 0; i < 50; ++i) places.push_back(random() % bytes.size());
    for (const size_t place : places) {
      std::vector<uint8_t> wrong = bytes;
      wrong[place] ^= 0x10;
      PatternChecker checker(spec);
      EXPECT_FALSE(checker.Check(wrong));
      ASSERT_EQ(checker.first_wrong_offset(), place);
      EXPECT_FALSE(checker.Check(bytes));  // Once wrong, wrong for good.
    }
  }
}

TEST(PatternCheckerTest, TheComplaintNamesTheOffsetAndBothBytes) {
  PatternChecker checker(kModSeven);
  const std::vector<uint8_t> bytes = {0, 1, 2, 9};
  EXPECT_FALSE(checker.Check(bytes));
  EXPECT_EQ(checker.complaint(), "byte 3 of the stream is 0x09, expected 0x03");
}

TEST(PatternCheckerTest, AStretchThatIsMissingIsFoundAtItsPlace) {
  const std::vector<uint8_t> bytes = Make(kDemo, 2 * kPatternBlockBytes);
  PatternChecker checker(kDemo);
  EXPECT_TRUE(checker.Check(std::span(bytes).first(8192)));
  EXPECT_FALSE(checker.Check(std::span(bytes).subspan(8192 + kPatternBlockBytes)));
  EXPECT_EQ(checker.first_wrong_offset(),
            8192u);  // The stamps are 2 and 66: their first bytes differ.
}

TEST(PatternSpecTest, TextsAreReadOrRefusedWithWhatToWrite) {
  EXPECT_EQ(*ParsePatternSpec("mod:7", "--validate"), kModSeven);
  EXPECT_EQ(*ParsePatternSpec("demo-block:42", "--validate"), kDemo);
  for (const char* text : {"", "mod", "mod:", "mod:0", "mod:257", "demo-block:", "demo-block:x"}) {
    const auto refused = ParsePatternSpec(text, "--validate");
    EXPECT_FALSE(refused.ok()) << text;
    EXPECT_NE(refused.status().message().find("--validate"), absl::string_view::npos) << text;
  }
}

}  // namespace
}  // namespace devmem
