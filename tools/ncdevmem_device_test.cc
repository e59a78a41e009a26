// SPDX-License-Identifier: Apache-2.0
//
// The receive loop of ncdevmem with memory that the processor cannot map: who hashes, when frags go
// back, and what is refused. On a real OpenCL device, PoCL's as a rule; skipped without one.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "provider/opencl_provider.h"
#include "tools/test_receiver.h"

namespace devmem {
namespace {

class DeviceReceiverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto found = OpenClProvider().Probe();
    if (!found.ok()) GTEST_SKIP() << "no OpenCL device: " << found.status();
    options_ = Listening();
    options_.provider = "opencl";
    options_.sha256 = true;
  }

  NcdevmemOptions options_;
};

TEST_F(DeviceReceiverTest, WhatLandedIsHashedOnTheDevice) {
  const std::vector<uint8_t> content = Content(20'000'003);
  const RunResult result =
      RunWith(options_, [&](const auto& ports) { SendAndReadAnswer(ports[0], content); });
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.provider, "opencl");
  ASSERT_EQ(result.streams.size(), 1u);
  EXPECT_TRUE(result.streams[0].status.ok()) << result.streams[0].status;
  EXPECT_TRUE(result.streams[0].bound);
  EXPECT_EQ(result.streams[0].bytes, content.size());
  EXPECT_EQ(result.streams[0].hash_on, "device");
  EXPECT_EQ(result.streams[0].sha256, HashOf(content));
}

TEST_F(DeviceReceiverTest, FragsThatAreHeldGoBackOnlyWhenTheDeviceHasReadThem) {
  options_.hold_bytes = options_.region_bytes / 2;
  const std::vector<uint8_t> content = Content(8'000'000);
  const RunResult result =
      RunWith(options_, [&](const auto& ports) { SendAndReadAnswer(ports[0], content); });
  ASSERT_EQ(result.streams.size(), 1u);
  EXPECT_EQ(result.streams[0].sha256, HashOf(content));
}

TEST_F(DeviceReceiverTest, EachConnectionHasAHashInItsOwnRegion) {
  options_.queue_count = 2;
  options_.region_per_queue = true;
  options_.connection_count = 2;
  options_.unsteered_port = 0;
  const std::vector<uint8_t> content = Content(3'000'000);
  const RunResult result = RunWith(options_, [&](const auto& ports) {
    Client first(ports[0]);
    Client second(ports[1]);
    first.Send(std::span(content).first(1'000'001));
    SendAndReadAnswer(ports[2], content);
    second.Send(content);
    first.Send(std::span(content).subspan(1'000'001));
    second.Finish();
    first.Finish();
  });
  ASSERT_EQ(result.streams.size(), 3u);
  for (const StreamResult& stream : result.streams) {
    EXPECT_EQ(stream.sha256, HashOf(content));
    EXPECT_EQ(stream.hash_on, stream.bound ? "device" : "host");
  }
}

TEST_F(DeviceReceiverTest, WithoutAHashNobodyLooks) {
  options_.sha256 = false;
  const RunResult result = RunWith(
      options_, [&](const auto& ports) { SendAndReadAnswer(ports[0], Content(1'000'000)); });
  ASSERT_EQ(result.streams.size(), 1u);
  EXPECT_TRUE(result.streams[0].status.ok()) << result.streams[0].status;
  EXPECT_EQ(result.streams[0].bytes, 1'000'000u);
  EXPECT_EQ(result.streams[0].hash_on, "");
}

TEST_F(DeviceReceiverTest, WhatOnlyTheProcessorCanLookAtIsRefusedBeforeAnythingIsReceived) {
  for (const bool pattern : {true, false}) {
    NcdevmemOptions options = options_;
    if (pattern) options.pattern = kModSeven;
    if (!pattern) options.output_path = testing::TempDir() + "/never-written";
    const RunResult result = RunWith(options, [](const auto&) {});
    EXPECT_EQ(result.status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(absl::StrContains(result.status.message(), "use --sha256")) << result.status;
  }
}

TEST_F(DeviceReceiverTest, ADeviceThatDoesNotExistIsRefusedWithThoseThatDo) {
  options_.memory_device = "no such device";
  const RunResult result = RunWith(options_, [](const auto&) {});
  EXPECT_EQ(result.status.code(), absl::StatusCode::kInvalidArgument) << result.status;
}

}  // namespace
}  // namespace devmem
