// SPDX-License-Identifier: Apache-2.0
//
// What a sink makes of a stream: hash, file, verdict.

#include "tools/stream_sink.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

constexpr std::array<uint8_t, 3> kAbc = {'a', 'b', 'c'};

TEST(StreamSinkTest, TheHashIsThatOfTheWholeStream) {
  auto sink = StreamSink::Create({.sha256 = true});
  ASSERT_TRUE(sink.ok());
  EXPECT_TRUE((*sink)->Take(std::span(kAbc).first(1)).ok());
  EXPECT_TRUE((*sink)->Take(std::span(kAbc).subspan(1)).ok());
  // FIPS 180-4's first example.
  EXPECT_EQ((*sink)->FinishHash(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(StreamSinkTest, WithoutAHashThereIsNone) {
  auto sink = StreamSink::Create({});
  ASSERT_TRUE(sink.ok());
  EXPECT_TRUE((*sink)->Take(kAbc).ok());
  EXPECT_EQ((*sink)->FinishHash(), "");
}

TEST(StreamSinkTest, TheFileHoldsWhatLanded) {
  const std::string path = absl::StrCat(testing::TempDir(), "/stream_sink_test.", ::getpid());
  {
    auto sink = StreamSink::Create({.output_path = path});
    ASSERT_TRUE(sink.ok()) << sink.status();
    EXPECT_TRUE((*sink)->Take(kAbc).ok());
    EXPECT_TRUE((*sink)->Take(kAbc).ok());
  }
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(content, "abcabc");
  std::remove(path.c_str());
}

TEST(StreamSinkTest, AFileThatCannotBeWrittenIsRefusedByName) {
  const auto refused = StreamSink::Create({.output_path = "/nonexistent/folder/file"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(refused.status().message().find("/nonexistent/folder/file"), absl::string_view::npos);
}

TEST(StreamSinkTest, WrongContentIsDataLossWithItsPlace) {
  auto sink = StreamSink::Create({.pattern = PatternSpec{PatternSpec::Kind::kModulo, 7}});
  ASSERT_TRUE(sink.ok());
  constexpr std::array<uint8_t, 4> kWrong = {0, 1, 2, 4};
  const absl::Status status = (*sink)->Take(kWrong);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(std::string(status.message()), "byte 3 of the stream is 0x04, expected 0x03");
}

}  // namespace
}  // namespace devmem
