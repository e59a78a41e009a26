// SPDX-License-Identifier: Apache-2.0
//
// The TAP as a NIC: which queue frames reach in both steering tiers, what the kernel makes of what
// we send, and a whole transfer from the kernel's TCP. Needs root and /dev/net/tun.

#include "netmem/nic/tap_nic.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "netmem/nic/pcapng_recorder.h"
#include "selftests/testing/tap_fixture.h"
#include "selftests/testing/tap_receiver.h"

namespace devmem {
namespace {

using testing::KernelFrame;
using testing::PutBack;
using testing::TapReceiver;
using testing::TapTest;
using testing::TestFlow;
using testing::TestFlowV6;
using testing::TestMemory;
using testing::TestPayload;

constexpr IpAddress kOurs = IpAddress::FromV4(0xc0000202);  // 192.0.2.2

class TapNicTest : public TapTest {
 protected:
  // A NIC with four queues whose steering is by program, or the test is skipped.
  void MakeBpfNic() {
    MakeNic({.queue_count = 4});
    if (nic_ != nullptr && nic_->info().steering != "bpf") {
      GTEST_SKIP() << std::string(nic_->steering_note());
    }
  }

  // Sends a frame, and takes it from the queue that it came to.
  int QueueOf(const KernelFrame& frame) {
    kernel_->Send(frame);
    const int queue = QueueWithFrame();
    if (queue >= 0) {
      RxBatch batch;
      nic_->queue(static_cast<uint32_t>(queue)).Poll(batch);
      EXPECT_EQ(batch.frame_count, 1u);
      PutBack(batch, &host_[static_cast<size_t>(queue)]->pool(), nullptr);
    }
    return queue;
  }

  static FlowKey FlowTo(uint16_t local_port, uint16_t remote_port = 40'000) {
    FlowKey flow = TestFlow();
    flow.local_port = local_port;
    flow.remote_port = remote_port;
    return flow;
  }
};

TEST_F(TapNicTest, InfoSaysWhatWasMade) {
  MakeNic({.queue_count = 2, .mtu = 4000, .steering = TapSteering::kAuto, .mac_seed = 7});
  const NetdevInfo& info = nic_->info();
  EXPECT_EQ(info.name, kName);
  EXPECT_EQ(info.kind, "tap");
  EXPECT_EQ(info.steering, "auto");
  EXPECT_EQ(info.mtu, 4000u);
  EXPECT_EQ(info.queue_count, 2u);
  EXPECT_GT(info.gso_bytes_max, 65'000u);
  EXPECT_NE(info.mac, nic_->kernel_mac());
  EXPECT_EQ(info.mac.bytes()[0], 2);
  EXPECT_EQ(nic_->steering_note(), "");
}

TEST_F(TapNicTest, TheSameSeedGivesTheSameAddressAndAnotherSeedAnother) {
  std::vector<MacAddress> macs;
  for (const uint64_t seed : {7u, 7u, 8u}) {
    const auto nic = TapNic::Create({.name = kName, .mac_seed = seed});
    ASSERT_TRUE(nic.ok()) << nic.status();
    macs.push_back((*nic)->info().mac);
  }
  EXPECT_EQ(macs[0], macs[1]);
  EXPECT_NE(macs[0], macs[2]);
}

TEST_F(TapNicTest, AnAddressThatNoStationHasIsRefused) {
  const auto nic = TapNic::Create({.name = kName, .mac = MacAddress({1, 0, 0, 0, 0, 1})});
  EXPECT_EQ(nic.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(nic.status().message().find("01:00:00:00:00:01"), std::string::npos);
}

TEST_F(TapNicTest, StartWantsHostMemoryForEveryQueueOnce) {
  const auto nic = TapNic::Create({.name = kName, .queue_count = 2});
  ASSERT_TRUE(nic.ok()) << nic.status();
  TestMemory host(TestMemory::Kind::kHost);
  TestMemory device(TestMemory::Kind::kDevice);
  const QueueMemory memory = host.queue_memory();
  using enum absl::StatusCode;
  EXPECT_EQ((*nic)->Start(std::vector{memory}).code(), kInvalidArgument);
  EXPECT_EQ((*nic)->Start(std::vector{memory, device.queue_memory()}).code(), kInvalidArgument);
  EXPECT_EQ((*nic)->Start(std::vector{memory, QueueMemory{}}).code(), kInvalidArgument);
  EXPECT_TRUE((*nic)->Start(std::vector{memory, memory}).ok());
  EXPECT_EQ((*nic)->Start(std::vector{memory, memory}).code(), kFailedPrecondition);
}

TEST_F(TapNicTest, RulesWithWildcardsExactOnesAndIpv6EachReachTheirQueue) {
  MakeBpfNic();
  if (IsSkipped()) return;
  AddRule({.local_port = 80}, 1);
  const FlowKey exact = FlowTo(80, 4444);
  AddRule({.local = exact.local,
           .remote = exact.remote,
           .local_port = exact.local_port,
           .remote_port = exact.remote_port},
          2);
  AddRule({.local = TestFlowV6().local}, 3);
  EXPECT_EQ(QueueOf({.flow = FlowTo(80)}), 1);
  EXPECT_EQ(QueueOf({.flow = exact}), 2);
  EXPECT_EQ(QueueOf({.flow = TestFlowV6()}), 3);
}

TEST_F(TapNicTest, RulesAreObeyedFromTheirAdditionToTheirDeletion) {
  MakeBpfNic();
  if (IsSkipped()) return;
  const uint32_t rss[] = {0};
  ASSERT_TRUE(nic_->SetRssQueues(rss).ok());
  EXPECT_EQ(QueueOf({.flow = FlowTo(80)}), 0);
  const auto id = nic_->AddRule({.local_port = 80}, 2);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(nic_->ListRules().size(), 1u);
  EXPECT_EQ(QueueOf({.flow = FlowTo(80)}), 2);
  ASSERT_TRUE(nic_->DeleteRule(*id).ok());
  EXPECT_EQ(QueueOf({.flow = FlowTo(80)}), 0);
  EXPECT_EQ(nic_->DeleteRule(*id).code(), absl::StatusCode::kNotFound);
}

TEST_F(TapNicTest, ARefusedRuleChangesNothing) {
  MakeBpfNic();
  if (IsSkipped()) return;
  AddRule({.local_port = 80}, 1);
  EXPECT_EQ(nic_->AddRule({.local_port = 80}, 2).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(nic_->AddRule({.local_port = 81}, 4).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(QueueOf({.flow = FlowTo(80)}), 1);
}

TEST_F(TapNicTest, UnsteeredFlowsKeepToTheRssQueues) {
  MakeBpfNic();
  if (IsSkipped()) return;
  const uint32_t rss[] = {0, 3};
  ASSERT_TRUE(nic_->SetRssQueues(rss).ok());
  std::vector<int> seen;
  for (uint16_t port = 1000; port < 1040; ++port) {
    seen.push_back(QueueOf({.flow = FlowTo(90, port)}));
  }
  EXPECT_EQ(std::ranges::count(seen, 0) + std::ranges::count(seen, 3), 40);
  EXPECT_GT(std::ranges::count(seen, 0), 5);
  EXPECT_GT(std::ranges::count(seen, 3), 5);
}

TEST_F(TapNicTest, RssQueuesThatDoNotExistAreRefused) {
  MakeNic({.queue_count = 2});
  const uint32_t wrong[] = {0, 2};
  EXPECT_EQ(nic_->SetRssQueues({}).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status refused = nic_->SetRssQueues(wrong);
  EXPECT_EQ(refused.code(), absl::StatusCode::kOutOfRange);
  EXPECT_NE(refused.message().find("RSS queue 2"), std::string::npos);
}

// Whichever queue it comes to, the header of a flow that a rule names goes to the rule's owner.
TEST_F(TapNicTest, AFrameOfAnotherQueuesRuleIsHandedOnWithoutItsPayload) {
  MakeNic({.queue_count = 1, .steering = TapSteering::kAuto});
  TapSteeringState shared(2);
  TapQueue queue({.fd = nic_->queue(0).fd(), .index = 0}, shared);
  TestMemory device(TestMemory::Kind::kDevice);
  queue.SetHostMemory(host_[0]->queue_memory());
  ASSERT_TRUE(queue.Bind(device.queue_memory()).ok());
  shared.bound.Set(1, true);
  ASSERT_TRUE(shared.rules.Add({.local_port = TestFlow().local_port}, 1).ok());
  const KernelFrame frame{.payload = TestPayload(1000)};
  kernel_->Send(frame);
  RxBatch batch;
  ASSERT_EQ(queue.Poll(batch), 1u);
  EXPECT_EQ(batch.frames[0].rx_class, RxClass::kElsewhere);
  EXPECT_EQ(batch.frames[0].target_queue, 1u);
  EXPECT_EQ(batch.frames[0].piece_count, 0u);
  EXPECT_EQ(batch.frames[0].placed_bytes, 0u);
  EXPECT_EQ(std::vector(batch.frames[0].header.begin(), batch.frames[0].header.end()),
            frame.Header());
  EXPECT_EQ(queue.stats().elsewhere_bytes, 1000u);
  EXPECT_TRUE(std::ranges::all_of(device.bytes(), [](uint8_t byte) { return byte == 0; }));
  queue.Unbind();
}

// Sends a SYN-ACK for `flow` on `queue`, as an answer that makes the kernel remember the queue.
bool AnswerOn(RxQueue& queue, const FlowKey& flow) {
  TcpFrameSpec spec;
  spec.flow = flow;
  spec.flags = kTcpSyn | kTcpAck;
  std::vector<uint8_t> header(kTcpFrameHeaderBytesMax);
  header.resize(BuildTcpFrame(spec, header));
  return queue.Transmit({.header = header, .payload = {}});
}

TEST_F(TapNicTest, InTheTierAutoAFlowComesToTheQueueThatLastSentForIt) {
  MakeNic({.queue_count = 4, .steering = TapSteering::kAuto});
  for (uint16_t port = 1000; port < 1060; ++port) {
    const uint32_t queue = port % 4u;
    const FlowKey flow = FlowTo(5201, port);
    ASSERT_TRUE(AnswerOn(nic_->queue(queue), flow));
    EXPECT_EQ(QueueOf({.flow = flow}), static_cast<int>(queue)) << port;
  }
}

TEST_F(TapNicTest, InTheTierAutoStraysOfUnansweredFlowsArePresteer) {
  MakeNic({.queue_count = 1, .steering = TapSteering::kAuto});
  TestMemory device(TestMemory::Kind::kDevice);
  Bind(0, device);
  TapQueue& queue = nic_->queue(0);
  RxBatch batch;
  EXPECT_EQ(queue.Poll(batch), 0u);  // Settles.
  const KernelFrame frame{.payload = TestPayload(100)};
  EXPECT_EQ(QueueOf(frame), 0);
  EXPECT_EQ(queue.stats().presteer_bytes, 100u);
  EXPECT_EQ(queue.stats().missteered_bytes, 0u);
  ASSERT_TRUE(AnswerOn(queue, frame.flow));
  EXPECT_EQ(QueueOf(frame), 0);
  EXPECT_EQ(queue.stats().presteer_bytes, 100u);
  EXPECT_EQ(queue.stats().missteered_bytes, 100u);
  queue.Unbind();
}

TEST_F(TapNicTest, WithoutBpfRightsBestFallsBackAndBpfIsRefused) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    // A user namespace of its own keeps every right over its network, and none over BPF.
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(100);
    const auto best = TapNic::Create({.name = kName, .queue_count = 2});
    if (!best.ok() || (*best)->info().steering != "auto") ::_exit(1);
    if ((*best)->steering_note().find("CAP_BPF") == absl::string_view::npos) ::_exit(2);
    if (!(*best)->AddRule({.local_port = 80}, 1).ok()) ::_exit(3);
    const auto bpf =
        TapNic::Create({.name = "dmt1", .queue_count = 2, .steering = TapSteering::kBpf});
    if (bpf.status().code() != absl::StatusCode::kPermissionDenied) ::_exit(4);
    const absl::string_view message = bpf.status().message();
    ::_exit(message.find("--steering auto") == absl::string_view::npos ? 5 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 100) GTEST_SKIP() << "needs user namespaces";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(TapSteeringTest, SteeringNamesAreRead) {
  EXPECT_EQ(ParseTapSteering("best"), TapSteering::kBest);
  EXPECT_EQ(ParseTapSteering("bpf"), TapSteering::kBpf);
  EXPECT_EQ(ParseTapSteering("auto"), TapSteering::kAuto);
  EXPECT_EQ(ParseTapSteering("rules"), std::nullopt);
}

// Connects from the kernel's side to port 5201 of ours, sends, and closes.
void SendOverKernelTcp(std::span<const uint8_t> bytes, absl::string_view address) {
  const IpAddress ip = *ParseIpAddress(address);
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(5201);
  to.sin_addr.s_addr = htonl(ip.v4());
  ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0);
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
}

TEST_F(TapNicTest, ATransferFromTheKernelsTcpLandsInTheRegionByteForByte) {
  MakeNic({.queue_count = 1, .kernel_address = "192.0.2.1/24"});
  TestMemory device(TestMemory::Kind::kDevice, 4u << 20);
  Bind(0, device);
  AddRule({.local_port = 5201}, 0);
  TapReceiver receiver(nic_->queue(0), nic_->info().mac, kOurs);
  const std::vector<uint8_t> sent = TestPayload(20u << 20);
  // A thread inherits the namespace of the one that makes it.
  std::thread sender([&] { SendOverKernelTcp(sent, "192.0.2.2"); });
  std::vector<uint8_t> got;
  RxBatch batch;
  while (!receiver.finished() && Receive(0, batch) > 0) {
    receiver.Handle(
        batch,
        [&](const RxDescriptor& frame) {
          const auto bytes = PayloadOf(batch, frame, *host_[0], &device);
          got.insert(got.end(), bytes.begin(), bytes.end());
        },
        [](const RxDescriptor&) {});
    PutBack(batch, &host_[0]->pool(), &device.pool());
  }
  sender.join();
  EXPECT_TRUE(got == sent);
  const RxQueueStats& stats = nic_->queue(0).stats();
  EXPECT_EQ(stats.payload_bytes_bounced, 0u);
  EXPECT_GE(stats.steered_bytes, sent.size());
  EXPECT_LT(stats.frames, sent.size() / 10'000) << "super-frames, not MTU-sized ones";
  EXPECT_EQ(stats.drop_truncated + stats.drop_malformed + stats.drop_checksum, 0u);
  nic_->queue(0).Unbind();
}

TEST_F(TapNicTest, ASuperFrameThatWeSendReachesTheKernelsSocketWhole) {
  MakeNic({.queue_count = 1, .kernel_address = "192.0.2.1/24"});
  const UniqueFd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP));
  const KernelFrame frame{.flow = {.local = IpAddress::FromV4(0xc0000201),
                                   .remote = kOurs,
                                   .local_port = 9,
                                   .remote_port = 9},
                          .payload = TestPayload(30'000),
                          .gso_segment_bytes = 1448};
  std::vector<uint8_t> header = frame.Header();
  std::ranges::copy(nic_->kernel_mac().bytes(), header.begin());
  ASSERT_TRUE(nic_->queue(0).Transmit(
      {.header = header, .payload = frame.payload, .gso_segment_bytes = 1448, .l4_offset = 34}));
  std::vector<uint8_t> received(65'536);
  pollfd waiter{socket.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiter, 1, testing::kPatienceMilliseconds), 1);
  const ssize_t bytes = ::recv(socket.get(), received.data(), received.size(), 0);
  ASSERT_EQ(bytes, 20 + 20 + 30'000);
  EXPECT_TRUE(std::equal(frame.payload.begin(), frame.payload.end(), received.begin() + 40));
  EXPECT_EQ(nic_->queue(0).stats().tx_frames, 1u);
}

TEST_F(TapNicTest, WhatTheDeviceDoesNotTakeIsCounted) {
  MakeNic({.queue_count = 1});
  const std::vector<uint8_t> runt(3);  // No Ethernet header.
  EXPECT_FALSE(nic_->queue(0).Transmit({.header = runt, .payload = {}}));
  EXPECT_EQ(nic_->queue(0).stats().tx_dropped, 1u);
  EXPECT_EQ(nic_->queue(0).stats().tx_frames, 0u);
}

TEST_F(TapNicTest, TheRecorderSeesHeadersInBothDirections) {
  MakeNic({.queue_count = 1});
  const std::string path = ::testing::TempDir() + "/tap_nic_test.pcapng";
  const auto recorder = PcapngRecorder::Create(path);
  ASSERT_TRUE(recorder.ok()) << recorder.status();
  nic_->SetRecorder(recorder->get());
  EXPECT_EQ(QueueOf({.payload = TestPayload(500)}), 0);
  ASSERT_TRUE(AnswerOn(nic_->queue(0), TestFlow()));
  nic_->SetRecorder(nullptr);
  EXPECT_EQ(QueueOf({.payload = TestPayload(500)}), 0);
  EXPECT_EQ((*recorder)->recorded(), 2u);
  EXPECT_TRUE((*recorder)->Close().ok());
  ::unlink(path.c_str());
}

class TapNicIpv6Test : public TapNicTest {
 protected:
  void SetUp() override { EnterOrSkip(true); }
};

TEST_F(TapNicIpv6Test, TheKernelsSideHasItsIpv6AddressAtOnce) {
  MakeNic({.queue_count = 1, .kernel_address = "192.0.2.1/24,2001:db8::1/64"});
  const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  ASSERT_EQ(::inet_pton(AF_INET6, "2001:db8::1", &address.sin6_addr), 1);
  // A tentative address cannot be bound to.
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

}  // namespace
}  // namespace devmem
