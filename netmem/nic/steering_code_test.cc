// SPDX-License-Identifier: Apache-2.0
//
// The steering program run by the kernel (BPF_PROG_TEST_RUN) on frames of the test's own, against
// FlowMatcher as the model: what the NIC would find steered, the program must send to the same
// queue. Needs root outside of user namespaces, and /dev/net/tun.

#include "netmem/nic/steering_code.h"

#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "netmem/nic/steering_assembler.h"
#include "netmem/nic/steering_program.h"
#include "netmem/nic/tap_device.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/frame.h"
#include "selftests/testing/tap_fixture.h"

namespace devmem {
namespace {

using testing::KernelFrame;
using testing::TapTest;
using testing::TestAddressV6;
using testing::TestFlow;
using testing::TestFlowV6;

using Bytes = std::vector<uint8_t>;

TEST(SteeringAssemblerTest, JumpsReachTheirLabelsForwardsAndBackwards) {
  BpfAssembler code;
  const BpfAssembler::Label back = code.NewLabel();
  const BpfAssembler::Label ahead = code.NewLabel();
  code.Place(back);
  code.MoveImmediate(BpfReg::kR0, 1);
  code.JumpIfImmediate(BPF_JEQ, BpfReg::kR0, 2, ahead);
  code.Load64(BpfReg::kR1, 0x1122334455667788);
  code.Jump(back);
  code.Place(ahead);
  code.Exit();
  const std::vector<bpf_insn> program = code.Finish();
  ASSERT_EQ(program.size(), 6u);
  EXPECT_EQ(program[1].off, 3);  // From behind instruction 1 to instruction 5.
  EXPECT_EQ(program[2].imm, 0x55667788);
  EXPECT_EQ(program[3].imm, 0x11223344);
  EXPECT_EQ(program[4].off, -5);
}

TEST(SteeringKeyTest, RulesOfTwoClassesNeverShareAKey) {
  const FlowMatch port{.local_port = 80};
  const FlowMatch any_address{.local = IpAddress(), .local_port = 80};
  EXPECT_NE(SteeringKeyFor(port).fields, SteeringKeyFor(any_address).fields);
}

TEST(SteeringKeyTest, TheMoreSpecificRuleHasTheLowerRankAndThenTheOlder) {
  const FlowRule vague{.id = 1, .match = {.local_port = 80}, .queue = 0};
  const FlowRule exact{.id = 9, .match = {.local_port = 80, .remote_port = 81}, .queue = 0};
  const FlowRule younger{.id = 10, .match = exact.match, .queue = 0};
  EXPECT_LT(SteeringValueFor(exact).rank, SteeringValueFor(vague).rank);
  EXPECT_LT(SteeringValueFor(exact).rank, SteeringValueFor(younger).rank);
}

class SteeringCodeTest : public TapTest {
 protected:
  static constexpr uint32_t kQueues = 8;

  void SetUp() override {
    TapTest::SetUp();
    if (IsSkipped()) return;
    auto device = TapDevice::Create({.name = kName, .queue_count = kQueues});
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    auto program = SteeringProgram::Attach(device_->queue_fd(0), std::vector<uint32_t>{0});
    if (absl::IsPermissionDenied(program.status())) GTEST_SKIP() << program.status();
    ASSERT_TRUE(program.ok()) << program.status();
    program_ = *std::move(program);
  }

  FlowRuleId Add(const FlowMatch& match, uint32_t queue) {
    const auto id = rules_.Add(match, queue);
    EXPECT_TRUE(id.ok()) << id.status();
    const absl::Status added = program_->Add({*id, match, queue});
    EXPECT_TRUE(added.ok()) << added;
    return *id;
  }

  // What the program says to a frame. A test run shows a socket filter the bytes behind the
  // Ethernet header, so the frame needs one more in front.
  uint32_t QueueFor(const Bytes& frame) const {
    Bytes bytes(14);
    StoreBe16(&bytes[12], 0x88b5);  // An experimental EtherType, into which nobody looks.
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    options.data_in = bytes.data();
    options.data_size_in = static_cast<uint32_t>(bytes.size());
    EXPECT_EQ(bpf_prog_test_run_opts(program_->program_fd(), &options), 0);
    return options.retval;
  }

  FlowRules rules_{kQueues};
  std::unique_ptr<TapDevice> device_;
  std::unique_ptr<SteeringProgram> program_;
};

TEST_F(SteeringCodeTest, WithoutRulesEverythingGoesToTheRssQueues) {
  EXPECT_EQ(QueueFor(KernelFrame{}.Bytes()), 0u);
  EXPECT_EQ(QueueFor(KernelFrame{.flow = TestFlowV6()}.Bytes()), 0u);
}

TEST_F(SteeringCodeTest, ARuleTakesEffectAndVanishes) {
  const FlowMatch match{.local_port = TestFlow().local_port};
  const FlowRuleId id = Add(match, 5);
  EXPECT_EQ(QueueFor(KernelFrame{}.Bytes()), 5u);
  ASSERT_TRUE(program_->Delete({id, match, 5}).ok());
  EXPECT_EQ(QueueFor(KernelFrame{}.Bytes()), 0u);
}

TEST_F(SteeringCodeTest, IpOptionsAndExtensionHeadersDoNotHideThePorts) {
  Add({.local_port = TestFlow().local_port}, 3);
  Bytes v4 = KernelFrame{}.Bytes();
  const Bytes nops(12, 1);
  v4.insert(v4.begin() + 34, nops.begin(), nops.end());
  v4[14] = 0x48;  // Eight words of header.
  EXPECT_EQ(QueueFor(v4), 3u);

  const Bytes plain = KernelFrame{.flow = TestFlowV6()}.Bytes();
  Bytes v6 = plain;
  const Bytes options = {60, 0, 1, 4, 0, 0, 0, 0};  // Hop-by-hop; destination options next.
  const Bytes more = {44, 1, 1, 12, 0, 0, 0, 0,     // 16 bytes; a fragment header next.
                      0,  0, 0, 0,  0, 0, 0, 0};
  const Bytes whole = {6, 0, 0, 0, 0, 0, 0, 1};  // A packet in one fragment.
  for (const Bytes& header : {whole, more, options}) {
    v6.insert(v6.begin() + 54, header.begin(), header.end());
  }
  v6[20] = 0;
  StoreBe16(&v6[18], static_cast<uint16_t>(v6.size() - 54));
  ASSERT_EQ(ParseFrame(v6, static_cast<uint32_t>(v6.size())).kind, FrameKind::kTcp);
  EXPECT_EQ(QueueFor(v6), 3u);
}

// Chains of extension headers of every kind and length, whole, cut off and too long: the program
// has to find the ports of whatever the parser finds to be TCP, and of nothing that is no TCP.
TEST_F(SteeringCodeTest, RandomChainsOfExtensionHeadersAreReadAsTheParserReadsThem) {
  Add({.local_port = TestFlow().local_port}, 3);
  std::mt19937 random(11);
  const auto pick = [&](uint32_t count) { return static_cast<uint8_t>(random() % count); };
  const Bytes plain = KernelFrame{.flow = TestFlowV6()}.Bytes();
  uint32_t segments = 0, others = 0;
  for (uint32_t round = 0; round < 3000; ++round) {
    constexpr uint8_t kKinds[] = {0, 43, 44, 60, 60, 60};
    uint8_t next = pick(16) == 0 ? 17 : 6;  // UDP behind them now and then.
    Bytes chain;
    for (uint32_t left = pick(11); left != 0; --left) {
      // Hop-by-hop options belong in front of all others; a few stand wrong.
      const uint8_t kind = left == 1 || pick(32) == 0 ? kKinds[pick(6)] : kKinds[1 + pick(5)];
      const uint8_t units = kind == 44 ? 0 : pick(3);
      Bytes header(8 + units * 8u);
      header[0] = next;
      if (kind == 44) {
        header[3] = pick(8) == 0 ? 1 : 0;  // A real fragment now and then.
      } else {
        header[1] = units;
        if (kind != 43 && units == 0) header[2] = 1, header[3] = 4;  // PadN.
      }
      chain.insert(chain.begin(), header.begin(), header.end());
      next = kind;
    }
    Bytes frame = plain;
    frame.insert(frame.begin() + 54, chain.begin(), chain.end());
    frame[20] = next;
    StoreBe16(&frame[18], static_cast<uint16_t>(frame.size() - 54));
    const FrameHeaders parsed = ParseFrame(frame, static_cast<uint32_t>(frame.size()));
    const uint32_t queue = QueueFor(frame);
    if (parsed.kind == FrameKind::kTcp) {
      ++segments;
      ASSERT_EQ(queue, 3u) << "round " << round;
    } else if (parsed.kind == FrameKind::kOther) {
      ++others;
      ASSERT_EQ(queue, 0u) << "round " << round;
    }
  }
  EXPECT_GT(segments, 500u);
  EXPECT_GT(others, 200u);
}

TEST_F(SteeringCodeTest, WhatIsNoWholeTcpPacketFollowsNoRule) {
  Add(FlowMatch{}, 7);  // Matches every TCP segment.
  const Bytes tcp = KernelFrame{}.Bytes();
  ASSERT_EQ(QueueFor(tcp), 7u);
  Bytes udp = tcp;
  udp[23] = 17;
  EXPECT_EQ(QueueFor(udp), 0u);
  Bytes fragment = tcp;
  StoreBe16(&fragment[20], 0x2000);
  EXPECT_EQ(QueueFor(fragment), 0u);
  StoreBe16(&fragment[20], 1);
  EXPECT_EQ(QueueFor(fragment), 0u);
  Bytes arp = tcp;
  StoreBe16(&arp[12], 0x0806);
  EXPECT_EQ(QueueFor(arp), 0u);
  Bytes wrong_version = tcp;
  wrong_version[14] = 0x65;
  EXPECT_EQ(QueueFor(wrong_version), 0u);
  Bytes v6 = KernelFrame{.flow = TestFlowV6()}.Bytes();
  ASSERT_EQ(QueueFor(v6), 7u);
  v6[20] = 44;  // A fragment header where the TCP ports are.
  EXPECT_EQ(QueueFor(v6), 0u);
}

TEST_F(SteeringCodeTest, CutOffHeadersAreSpreadAndNotFollowed) {
  Add(FlowMatch{}, 7);
  for (const FlowKey& flow : {TestFlow(), TestFlowV6()}) {
    const Bytes whole = KernelFrame{.flow = flow}.Bytes();
    const size_t ports_end = flow.local.is_v4() ? 14 + 20 + 4 : 14 + 40 + 4;
    for (size_t bytes = 14; bytes < ports_end; ++bytes) {
      EXPECT_EQ(QueueFor(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes))), 0u)
          << bytes;
    }
  }
}

TEST_F(SteeringCodeTest, TheSpreadUsesEveryRssQueueAndNoOtherAndKeepsEachFlow) {
  const std::vector<uint32_t> rss = {1, 4, 6};
  ASSERT_TRUE(program_->SpreadOver(rss).ok());
  std::map<uint32_t, uint32_t> flows_per_queue;
  for (uint16_t port = 1000; port < 1300; ++port) {
    FlowKey flow = port % 2 == 0 ? TestFlow() : TestFlowV6();
    flow.remote_port = port;
    const uint32_t queue = QueueFor(KernelFrame{.flow = flow}.Bytes());
    EXPECT_EQ(QueueFor(KernelFrame{.flow = flow, .payload = {1}}.Bytes()), queue);
    ++flows_per_queue[queue];
  }
  ASSERT_EQ(flows_per_queue.size(), rss.size());
  for (const uint32_t queue : rss) EXPECT_GT(flows_per_queue[queue], 60u) << queue;
}

TEST_F(SteeringCodeTest, SpreadingOverAllQueuesOfTheLargestDeviceLoads) {
  std::vector<uint32_t> all(kQueuesMax);
  for (uint32_t queue = 0; queue < kQueuesMax; ++queue) all[queue] = queue;
  EXPECT_TRUE(program_->SpreadOver(all).ok());
}

// All 16 classes at once, over a small universe of addresses and ports so that rules overlap: the
// worst program there can be, and every decision compared with FlowMatcher's.
TEST_F(SteeringCodeTest, RandomRulesDecideEveryFlowAsTheMatcherDoes) {
  std::mt19937 random(7);
  const auto pick = [&](uint32_t count) { return static_cast<uint32_t>(random() % count); };
  const auto address = [&](bool v6) {
    return v6 ? TestAddressV6(static_cast<uint8_t>(1 + pick(3)))
              : IpAddress::FromV4(0xc0000200 + pick(3));
  };
  const auto port = [&] { return static_cast<uint16_t>(1 + pick(3)); };
  std::vector<FlowRule> installed;
  for (uint32_t round = 0; round < 400; ++round) {
    const uint32_t fields = pick(16);
    const bool v6 = pick(2) == 1;
    FlowMatch match;
    if ((fields & kSteerLocal) != 0) match.local = address(v6);
    if ((fields & kSteerRemote) != 0) match.remote = address(v6);
    if ((fields & kSteerLocalPort) != 0) match.local_port = port();
    if ((fields & kSteerRemotePort) != 0) match.remote_port = port();
    const uint32_t queue = 1 + pick(kQueues - 1);
    const auto id = rules_.Add(match, queue);
    if (id.ok()) {
      installed.push_back({*id, match, queue});
      ASSERT_TRUE(program_->Add(installed.back()).ok());
    } else if (!installed.empty()) {
      const size_t victim = pick(static_cast<uint32_t>(installed.size()));
      ASSERT_TRUE(program_->Delete(installed[victim]).ok());
      ASSERT_TRUE(rules_.Delete(installed[victim].id).ok());
      installed.erase(installed.begin() + static_cast<ptrdiff_t>(victim));
    }
    FlowMatcher matcher = rules_.Snapshot();
    for (int n = 0; n < 10; ++n) {
      const bool flow_v6 = pick(2) == 1;
      const FlowKey flow{.local = address(flow_v6),
                         .remote = address(flow_v6),
                         .local_port = port(),
                         .remote_port = port()};
      const FlowRule* rule = matcher.Match(flow);
      ASSERT_EQ(QueueFor(KernelFrame{.flow = flow}.Bytes()), rule == nullptr ? 0 : rule->queue)
          << "round " << round;
    }
  }
}

}  // namespace
}  // namespace devmem
