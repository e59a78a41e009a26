// SPDX-License-Identifier: Apache-2.0
//
// Recordings read back: block by block with a small reader of our own, and by tcpdump where there
// is one.

#include "netmem/nic/pcapng_recorder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "netmem/nic/limits.h"
#include "selftests/testing/test_frames.h"

namespace devmem {
namespace {

using ::devmem::testing::TestFrame;
using ::devmem::testing::TestPayload;

struct Block {
  uint32_t type = 0;
  std::vector<uint8_t> body;

  uint16_t U16(size_t offset) const {
    uint16_t value = 0;
    std::memcpy(&value, &body.at(offset), sizeof(value));
    return value;
  }
  uint32_t U32(size_t offset) const {
    uint32_t value = 0;
    std::memcpy(&value, &body.at(offset), sizeof(value));
    return value;
  }
  // The value of an option in the list that begins at `offset`; empty when it is not there.
  std::vector<uint8_t> Option(size_t offset, uint16_t code) const {
    while (U16(offset) != 0) {
      const size_t bytes = U16(offset + 2);
      const auto value = body.begin() + static_cast<ptrdiff_t>(offset + 4);
      if (U16(offset) == code) return {value, value + static_cast<ptrdiff_t>(bytes)};
      offset += 4 + (bytes + 3) / 4 * 4;
    }
    return {};
  }
};

// Reads the whole file; the two lengths of each block must agree.
std::vector<Block> ReadBlocks(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  std::vector<Block> blocks;
  size_t offset = 0;
  while (offset + 12 <= bytes.size()) {
    uint32_t head[2];
    uint32_t tail = 0;
    std::memcpy(head, &bytes[offset], sizeof(head));
    EXPECT_EQ(head[1] % 4, 0u);
    EXPECT_LE(offset + head[1], bytes.size());
    if (head[1] < 12 || offset + head[1] > bytes.size()) break;
    std::memcpy(&tail, &bytes[offset + head[1] - 4], sizeof(tail));
    EXPECT_EQ(tail, head[1]);
    const auto begin = bytes.begin() + static_cast<ptrdiff_t>(offset);
    blocks.push_back({head[0], {begin + 8, begin + static_cast<ptrdiff_t>(head[1]) - 4}});
    offset += head[1];
  }
  EXPECT_EQ(offset, bytes.size());
  return blocks;
}

class PcapngRecorderTest : public ::testing::Test {
 protected:
  PcapngRecorderTest() {
    char name[] = "/tmp/devmem-recording-XXXXXX";
    const int fd = mkstemp(name);
    if (fd >= 0) close(fd);
    path_ = name;
  }
  ~PcapngRecorderTest() override { unlink(path_.c_str()); }

  std::unique_ptr<PcapngRecorder> Create(const PcapngOptions& options = {}) {
    auto recorder = PcapngRecorder::Create(path_, options);
    EXPECT_TRUE(recorder.ok()) << recorder.status().message();
    return *std::move(recorder);
  }

  std::string path_;
};

TEST_F(PcapngRecorderTest, AFrameComesBackWithItsHeaderTimeDirectionAndLength) {
  const std::vector<uint8_t> header = TestFrame{.payload = TestPayload(1000)}.Header();
  const auto recorder = Create();
  EXPECT_EQ(recorder->AddInterface("wire0"), 0u);
  EXPECT_EQ(recorder->AddInterface("dm0"), 1u);
  const Nanos time = (Nanos{5} << 32) + 7;
  recorder->Record(1, time, PacketDirection::kOutbound, header, 1054);
  recorder->Record(0, time + 1, PacketDirection::kInbound, header, 1054);
  EXPECT_EQ(recorder->recorded(), 2u);
  ASSERT_TRUE(recorder->Close().ok());

  const std::vector<Block> blocks = ReadBlocks(path_);
  ASSERT_EQ(blocks.size(), 5u);
  EXPECT_EQ(blocks[0].type, 0x0a0d0d0au);
  EXPECT_EQ(blocks[0].U32(0), 0x1a2b3c4du);
  EXPECT_EQ(blocks[0].U16(4), 1u);

  EXPECT_EQ(blocks[2].type, 1u);
  EXPECT_EQ(blocks[2].U16(0), 1u);  // Ethernet.
  EXPECT_EQ(blocks[2].Option(8, 2), (std::vector<uint8_t>{'d', 'm', '0'}));
  EXPECT_EQ(blocks[2].Option(8, 9), (std::vector<uint8_t>{9}));

  const Block& packet = blocks[3];
  EXPECT_EQ(packet.type, 6u);
  EXPECT_EQ(packet.U32(0), 1u);
  EXPECT_EQ(packet.U32(4), 5u);
  EXPECT_EQ(packet.U32(8), 7u);
  ASSERT_EQ(packet.U32(12), header.size());
  EXPECT_EQ(packet.U32(16), 1054u);
  EXPECT_EQ(std::vector<uint8_t>(packet.body.begin() + 20,
                                 packet.body.begin() + 20 + static_cast<ptrdiff_t>(header.size())),
            header);
  const size_t options = 20 + (header.size() + 3) / 4 * 4;
  EXPECT_EQ(packet.Option(options, 2), (std::vector<uint8_t>{2, 0, 0, 0}));
  EXPECT_EQ(blocks[4].Option(options, 2), (std::vector<uint8_t>{1, 0, 0, 0}));
}

TEST_F(PcapngRecorderTest, NoPayloadIsWrittenHoweverLongTheBytesAtHandAre) {
  const auto recorder = Create();
  recorder->AddInterface("wire0");
  recorder->Record(0, 1, PacketDirection::kInbound, TestPayload(5000), 5000);
  ASSERT_TRUE(recorder->Close().ok());
  EXPECT_EQ(ReadBlocks(path_).back().U32(12), kHeaderSlotBytes);
}

TEST_F(PcapngRecorderTest, ManyFramesPassThroughASmallBuffer) {
  const auto recorder = Create({.buffer_bytes = 1000});
  recorder->AddInterface("wire0");
  for (uint32_t i = 0; i < 5000; ++i) {
    recorder->Record(0, i, PacketDirection::kInbound, TestPayload(20 + i % 100, i), 2000);
  }
  ASSERT_TRUE(recorder->Close().ok());
  const std::vector<Block> blocks = ReadBlocks(path_);
  ASSERT_EQ(blocks.size(), 5002u);
  for (uint32_t i = 0; i < 5000; ++i) {
    const Block& packet = blocks[2 + i];
    const std::vector<uint8_t> expected = TestPayload(20 + i % 100, i);
    ASSERT_EQ(packet.U32(8), i);
    ASSERT_EQ(packet.U32(12), expected.size());
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), packet.body.begin() + 20));
  }
}

TEST_F(PcapngRecorderTest, TheFilesBoundEndsTheRecordingAndCloseSaysSo) {
  const auto recorder = Create({.file_bytes_max = 1000});
  recorder->AddInterface("wire0");
  for (int i = 0; i < 20; ++i) {
    recorder->Record(0, i, PacketDirection::kInbound, TestPayload(60), 60);
  }
  EXPECT_GT(recorder->recorded(), 3u);
  EXPECT_EQ(recorder->recorded() + recorder->not_recorded(), 20u);
  const absl::Status closed = recorder->Close();
  EXPECT_EQ(closed.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(std::string(closed.message()).find("1000 bytes"), std::string::npos);
  EXPECT_EQ(ReadBlocks(path_).size(), 2 + recorder->recorded());
  std::ifstream file(path_, std::ios::binary | std::ios::ate);
  EXPECT_LE(file.tellg(), 1000);
}

TEST_F(PcapngRecorderTest, AFailedWriteEndsTheRecordingAndIsCounted) {
  auto recorder = PcapngRecorder::Create("/dev/full", {.buffer_bytes = 512});
  if (!recorder.ok()) GTEST_SKIP() << "no /dev/full: " << recorder.status().message();
  (*recorder)->AddInterface("wire0");
  for (int i = 0; i < 20; ++i) {
    (*recorder)->Record(0, i, PacketDirection::kInbound, TestPayload(60), 60);
  }
  EXPECT_GT((*recorder)->not_recorded(), 10u);
  const absl::Status closed = (*recorder)->Close();
  EXPECT_FALSE(closed.ok());
  EXPECT_NE(std::string(closed.message()).find("/dev/full"), std::string::npos);
  EXPECT_EQ((*recorder)->Close(), closed);
}

TEST_F(PcapngRecorderTest, AfterCloseFramesAreOnlyCounted) {
  const auto recorder = Create();
  recorder->AddInterface("wire0");
  ASSERT_TRUE(recorder->Close().ok());
  recorder->Record(0, 1, PacketDirection::kInbound, TestPayload(60), 60);
  EXPECT_EQ(recorder->not_recorded(), 1u);
  EXPECT_TRUE(recorder->Close().ok());
  EXPECT_EQ(ReadBlocks(path_).size(), 2u);
}

TEST_F(PcapngRecorderTest, AnUnknownInterfaceIsCountedNotWritten) {
  const auto recorder = Create();
  recorder->Record(0, 1, PacketDirection::kInbound, TestPayload(60), 60);
  EXPECT_EQ(recorder->not_recorded(), 1u);
  ASSERT_TRUE(recorder->Close().ok());
  EXPECT_EQ(ReadBlocks(path_).size(), 1u);
}

TEST_F(PcapngRecorderTest, AFileThatCannotBeMadeAndABufferTooSmallAreRefused) {
  const auto no_folder = PcapngRecorder::Create("/nonexistent/recording");
  EXPECT_EQ(no_folder.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(no_folder.status().message()).find("/nonexistent/recording"),
            std::string::npos);
  EXPECT_EQ(PcapngRecorder::Create(path_, {.buffer_bytes = 100}).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(PcapngRecorderTest, TcpdumpReadsTheRecording) {
  if (std::system("command -v tcpdump >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "tcpdump is not installed";
  }
  const auto recorder = Create();
  recorder->AddInterface("wire0");
  const TestFrame frame{.flags = kTcpAck | kTcpPsh, .payload = TestPayload(1000)};
  recorder->Record(0, Nanos{1'700'000'000'000'000'123}, PacketDirection::kInbound, frame.Header(),
                   1054);
  ASSERT_TRUE(recorder->Close().ok());

  const std::string command = "tcpdump -nn -t -r " + path_ + " 2>/dev/null";
  FILE* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe))
    text.push_back(static_cast<char>(c));
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_NE(text.find("IP 192.0.2.2.40000 > 192.0.2.1.5201"), std::string::npos) << text;
  EXPECT_NE(text.find("length 1000"), std::string::npos) << text;
}

}  // namespace
}  // namespace devmem
