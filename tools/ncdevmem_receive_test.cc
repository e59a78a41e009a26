// SPDX-License-Identifier: Apache-2.0
//
// The receive loop of ncdevmem over the copy backend on the loopback, with kernel sockets as peers
// that begin when the loop says that it listens.

#include "tools/ncdevmem_receive.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tools/test_receiver.h"
#include "uapi/tcp_socket.h"

namespace devmem {
namespace {

TEST(ReceiverTest, AStreamIsReceivedHashedAndGivenBack) {
  NcdevmemOptions options = Listening();
  options.sha256 = true;
  options.pattern = kModSeven;
  const std::vector<uint8_t> content = Content(5'000'000);
  const RunResult result =
      RunWith(options, [&](const auto& ports) { SendAndReadAnswer(ports[0], content); });
  ASSERT_TRUE(result.status.ok()) << result.status;
  ASSERT_EQ(result.streams.size(), 1u);
  EXPECT_TRUE(result.streams[0].status.ok()) << result.streams[0].status;
  EXPECT_TRUE(result.streams[0].bound);
  EXPECT_EQ(result.streams[0].bytes, content.size());
  EXPECT_EQ(result.streams[0].sha256, HashOf(content));
  EXPECT_EQ(result.streams[0].hash_on, "host");
  EXPECT_EQ(result.provider, "memfd");
  EXPECT_EQ(result.region_bytes, options.region_bytes);
  EXPECT_GT(result.seconds, 0);
}

TEST(ReceiverTest, WrongContentFailsTheStreamWithTheFirstWrongOffset) {
  NcdevmemOptions options = Listening();
  options.pattern = kModSeven;
  std::vector<uint8_t> content = Content(300'000);
  content[123'456] ^= 1;
  const RunResult result =
      RunWith(options, [&](const auto& ports) { SendAndReadAnswer(ports[0], content); });
  ASSERT_EQ(result.streams.size(), 1u);
  EXPECT_EQ(result.streams[0].status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(result.streams[0].status.message().find("byte 123456 "), absl::string_view::npos);
}

TEST(ReceiverTest, WhatLandedIsWrittenToTheFile) {
  const std::string path = absl::StrCat(testing::TempDir(), "/ncdevmem_receive.", ::getpid());
  NcdevmemOptions options = Listening();
  options.output_path = path;
  const std::vector<uint8_t> content = Content(2'500'000);
  RunWith(options, [&](const auto& ports) { SendAndReadAnswer(ports[0], content); });
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> written{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(std::equal(written.begin(), written.end(), content.begin(), content.end(),
                         [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; }));
  std::remove(path.c_str());
}

TEST(ReceiverTest, AnOwnerThatHoldsAlmostTheWholeRegionIsSlowAndNotStuck) {
  NcdevmemOptions options = Listening();
  options.hold_bytes = options.region_bytes - 1;
  options.sha256 = true;
  const std::vector<uint8_t> content = Content(3'000'000);
  const RunResult result =
      RunWith(options, [&](const auto& ports) { SendAndReadAnswer(ports[0], content); });
  ASSERT_EQ(result.streams.size(), 1u);
  EXPECT_EQ(result.streams[0].sha256, HashOf(content));
}

TEST(ReceiverTest, ManyConnectionsAreServedAndAnswered) {
  const std::string path = absl::StrCat(testing::TempDir(), "/ncdevmem_reply.", ::getpid());
  std::ofstream(path) << "thank you";
  NcdevmemOptions options = Listening();
  options.connection_count = 20;
  options.reply_path = path;
  const std::vector<uint8_t> content = Content(1000);
  std::vector<std::string> answers;
  const RunResult result = RunWith(options, [&](const auto& ports) {
    for (int i = 0; i < 20; ++i) answers.push_back(SendAndReadAnswer(ports[0], content));
  });
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(answers, std::vector<std::string>(20, "thank you"));
  ASSERT_EQ(result.streams.size(), 20u);
  for (const StreamResult& stream : result.streams) {
    EXPECT_TRUE(stream.status.ok()) << stream.status;
    EXPECT_EQ(stream.bytes, 1000u);
  }
  std::remove(path.c_str());
}

TEST(ReceiverTest, TwoQueuesWithRegionsOfTheirOwnAndAnUnsteeredConnectionGoSideBySide) {
  NcdevmemOptions options = Listening();
  options.queue_count = 2;
  options.region_per_queue = true;
  options.connection_count = 2;
  options.sha256 = true;
  options.unsteered_port = 0;
  const std::vector<uint8_t> content = Content(4'000'000);
  const RunResult result = RunWith(options, [&](const auto& ports) {
    ASSERT_EQ(ports.size(), 3u);
    Client first(ports[0]);
    Client second(ports[1]);
    first.Send(std::span(content).first(1'000'000));
    second.Send(std::span(content).first(1'000'000));
    SendAndReadAnswer(ports[2], content);
    second.Send(std::span(content).subspan(1'000'000));
    first.Send(std::span(content).subspan(1'000'000));
    second.Finish();
    first.Finish();
  });
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.region_bytes, 2 * options.region_bytes);
  std::vector<uint32_t> queues;
  size_t unsteered = 0;
  for (const StreamResult& stream : result.streams) {
    EXPECT_TRUE(stream.status.ok()) << stream.status;
    EXPECT_EQ(stream.sha256, HashOf(content));
    if (stream.bound) queues.push_back(stream.queue);
    unsteered += !stream.bound && !stream.counted;
  }
  std::sort(queues.begin(), queues.end());
  EXPECT_EQ(queues, (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(unsteered, 1u);
}

TEST(ReceiverTest, ABoundOnTheBytesCutsTheStream) {
  NcdevmemOptions options = Listening();
  options.bytes_max = 100'000;
  const RunResult result = RunWith(
      options, [&](const auto& ports) { SendAndReadAnswer(ports[0], Content(50'000'000)); });
  ASSERT_EQ(result.streams.size(), 1u);
  EXPECT_TRUE(result.streams[0].status.ok());
  EXPECT_TRUE(result.streams[0].cut);
  EXPECT_GE(result.streams[0].bytes, 100'000u);
  EXPECT_LT(result.streams[0].bytes, 50'000'000u);
}

TEST(ReceiverTest, AStopEndsTheRunWithoutLeavingAnythingHeld) {
  NcdevmemOptions options = Listening();
  options.hold_bytes = 500'000;
  bool stop = false;
  NcdevmemReceiver::Hooks hooks;
  uint16_t port = 0;
  hooks.listening = [&port](absl::string_view endpoint) {
    uint32_t number = 0;
    EXPECT_TRUE(absl::SimpleAtoi(endpoint.substr(endpoint.rfind(':') + 1), &number));
    port = static_cast<uint16_t>(number);
  };
  hooks.stopped = [&stop] { return stop; };
  hooks.progress = [&stop](const Progress& progress) { stop |= progress.bytes > 0; };
  std::thread thread;
  // The client never ends its stream, so the run cannot end by itself.
  hooks.ready = [&] {
    thread = std::thread([&] {
      Client client(port);
      client.Send(Content(1'000'000));
      client.ReadAnswer();
    });
  };
  const RunResult result = NcdevmemReceiver(options, hooks).Run();
  thread.join();
  EXPECT_EQ(result.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(result.net_iovs_leaked, 0u);
}

TEST(ReceiverTest, ARequestIsSentAndTheAnswerLandsInTheRegion) {
  const std::string path = absl::StrCat(testing::TempDir(), "/ncdevmem_request.", ::getpid());
  std::ofstream(path) << "give me the file";
  const auto listener = OpenListener(kLoopback, 0, 1);
  ASSERT_TRUE(listener.ok());
  NcdevmemOptions options = Listening();
  options.listen = false;
  options.port = LocalPort(listener->get());
  options.send_path = path;
  options.sha256 = true;
  const std::vector<uint8_t> content = Content(2'000'000);
  std::string request(16, '\0');
  std::thread server([&] {
    absl::StatusOr<UniqueFd> client = AcceptSocket(listener->get());
    while (client.ok() && !client->valid()) client = AcceptSocket(listener->get());
    UniqueFd blocking(::dup(client->get()));
    size_t got = 0;
    while (got < request.size()) {
      const ssize_t part = ::recv(client->get(), &request[got], request.size() - got, 0);
      if (part > 0) got += static_cast<size_t>(part);
    }
    for (size_t sent = 0; sent < content.size();) {
      const ssize_t part =
          ::send(client->get(), &content[sent], content.size() - sent, MSG_NOSIGNAL);
      if (part > 0) sent += static_cast<size_t>(part);
    }
  });
  NcdevmemReceiver::Hooks hooks;
  hooks.stopped = [] { return false; };
  const RunResult result = NcdevmemReceiver(options, hooks).Run();
  server.join();
  EXPECT_EQ(request, "give me the file");
  ASSERT_EQ(result.streams.size(), 1u) << result.status;
  EXPECT_EQ(result.streams[0].sha256, HashOf(content));
  std::remove(path.c_str());
}

TEST(ReceiverTest, WhatIsRefusedAtTheStartIsReportedAndNothingIsLeft) {
  NcdevmemOptions options = Listening();
  options.provider = "magic";
  const RunResult no_provider = RunWith(options, [](const auto&) {});
  EXPECT_EQ(no_provider.status.code(), absl::StatusCode::kNotFound);
  options = Listening();
  options.server_address = "192.0.2.77";
  const RunResult not_ours = RunWith(options, [](const auto&) {});
  EXPECT_EQ(not_ours.status.code(), absl::StatusCode::kFailedPrecondition);
  options = Listening();
  options.reply_path = "/nonexistent/file";
  const RunResult no_reply = RunWith(options, [](const auto&) {});
  EXPECT_NE(no_reply.status.message().find("/nonexistent/file"), absl::string_view::npos);
}

}  // namespace
}  // namespace devmem
