// SPDX-License-Identifier: Apache-2.0
//
// A TAP NIC in a network namespace of its own, with the kernel's side of the wire in the test's
// hands. Used by tests of netmem/nic and of what stands above it. Needs root and /dev/net/tun; a
// test says so and is skipped where they are missing.

#pragma once

#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "netmem/nic/header_prediction.h"
#include "netmem/nic/tap_interface.h"
#include "netmem/nic/tap_nic.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/frame_builder.h"
#include "provider/unique_fd.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/test_frames.h"

namespace devmem::testing {

// What a test waits for an event before it fails. Nothing takes so long; a stuck test does.
inline constexpr int kPatienceMilliseconds = 10'000;

// Moves the calling thread into a new network namespace with the loopback up, or says why not. IPv6
// is off in it unless asked for: its neighbour discovery would mix with the test's frames.
inline std::string EnterNewNetwork(bool with_ipv6 = false) {
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
    return "needs /dev/net/tun, readable and writable";
  }
  if (::unshare(CLONE_NEWNET) != 0) return "needs root to make a network namespace";
  for (const char* which : {"all", "default"}) {
    std::ofstream("/proc/sys/net/ipv6/conf/" + std::string(which) + "/disable_ipv6")
        << (with_ipv6 ? 0 : 1);
  }
  std::ofstream("/proc/sys/net/ipv4/tcp_congestion_control") << "reno";
  const absl::StatusOr<TapInterface> loopback = TapInterface::Open("lo");
  if (!loopback.ok() || !loopback->SetUp().ok()) return "cannot bring the loopback up";
  return "";
}

// A TCP frame for the TAP: a template in which a test names only what differs. The flow is seen
// from us.
struct KernelFrame {
  FlowKey flow = TestFlow();
  std::vector<uint8_t> payload = {};
  bool timestamps = false;  // 12 more header bytes.
  uint8_t flags = kTcpAck;
  SeqNum seq = SeqNum(0xfffffff0);
  // Not 0: a super-frame, with the pseudo-header sum only.
  uint16_t gso_segment_bytes = 0;

  std::vector<uint8_t> Header() const {
    std::vector<uint8_t> header(kTcpFrameHeaderBytesMax);
    TcpFrameSpec spec;
    spec.source_mac = MacAddress({2, 0, 0, 0, 0, 2});
    spec.destination_mac = MacAddress({2, 0, 0, 0, 0, 1});
    spec.flow = {.local = flow.remote,
                 .remote = flow.local,
                 .local_port = flow.remote_port,
                 .remote_port = flow.local_port};
    spec.seq = seq;
    spec.flags = flags;
    if (timestamps) spec.options.timestamps = TcpTimestamps{1, 2};
    spec.payload_bytes = static_cast<uint32_t>(payload.size());
    spec.payload_sum = PartialSum(payload);
    if (gso_segment_bytes != 0) spec.checksum = TcpChecksum::kPseudoHeaderOnly;
    header.resize(BuildTcpFrame(spec, header));
    return header;
  }
  std::vector<uint8_t> Bytes() const {
    std::vector<uint8_t> bytes = Header();
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
  }
};

// A packet socket on the kernel's side of an interface: what it sends is what the TAP delivers.
class KernelSide {
 public:
  explicit KernelSide(const std::string& interface)
      : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(socket_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }

  // Sends bytes as they are, behind a virtio-net header.
  void Send(std::span<const uint8_t> frame, const VnetFields& vnet = {}) {
    std::vector<uint8_t> bytes(sizeof(vnet));
    std::memcpy(bytes.data(), &vnet, sizeof(vnet));
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    EXPECT_EQ(::send(socket_.get(), bytes.data(), bytes.size(), 0), std::ssize(bytes))
        << std::strerror(errno);
  }

  void Send(const KernelFrame& frame) {
    const std::vector<uint8_t> header = frame.Header();
    const TxFrame tx{.header = header,
                     .payload = frame.payload,
                     .gso_segment_bytes = frame.gso_segment_bytes,
                     .l4_offset = static_cast<uint16_t>(frame.flow.local.is_v4() ? 34 : 54)};
    Send(frame.Bytes(), VnetHeader::For(tx, !frame.flow.local.is_v4()).fields());
  }

 private:
  UniqueFd socket_;
};

// Invariant: every test leaves the memory of every queue idle.
class TapTest : public ::testing::Test {
 protected:
  static constexpr char kName[] = "dmt0";

  void SetUp() override { EnterOrSkip(false); }
  void EnterOrSkip(bool with_ipv6) {
    const std::string reason = EnterNewNetwork(with_ipv6);
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  // Makes the NIC, or leaves nic_ empty and fails. Host memory of 1 MiB a queue.
  void MakeNic(TapOptions options, uint64_t host_bytes = 1u << 20) {
    options.name = kName;
    absl::StatusOr<std::unique_ptr<TapNic>> nic = TapNic::Create(options);
    ASSERT_TRUE(nic.ok()) << nic.status();
    nic_ = *std::move(nic);
    std::vector<QueueMemory> memories;
    for (uint32_t queue = 0; queue < options.queue_count; ++queue) {
      host_.push_back(std::make_unique<TestMemory>(TestMemory::Kind::kHost, host_bytes));
      memories.push_back(host_.back()->queue_memory());
    }
    const absl::Status started = nic_->Start(memories);
    ASSERT_TRUE(started.ok()) << started;
    kernel_ = std::make_unique<KernelSide>(kName);
  }

  void Bind(uint32_t queue, TestMemory& memory) {
    const absl::Status bound = nic_->queue(queue).Bind(memory.queue_memory());
    ASSERT_TRUE(bound.ok()) << bound;
  }

  void AddRule(const FlowMatch& match, uint32_t queue) {
    const absl::StatusOr<FlowRuleId> id = nic_->AddRule(match, queue);
    ASSERT_TRUE(id.ok()) << id.status();
  }

  // Polls until a frame is delivered, or fails after a while. Returns the frames.
  uint32_t Receive(uint32_t queue, RxBatch& batch) {
    pollfd waiter{nic_->queue(queue).fd(), POLLIN, 0};
    if (::poll(&waiter, 1, kPatienceMilliseconds) == 1) nic_->queue(queue).Poll(batch);
    EXPECT_GT(batch.frame_count, 0u) << "nothing came to queue " << queue;
    return batch.frame_count;
  }

  // The queue that has a frame waiting, or -1 if none comes. Nothing is read.
  int QueueWithFrame() {
    std::vector<pollfd> waiters;
    for (uint32_t queue = 0; queue < nic_->info().queue_count; ++queue) {
      waiters.push_back({nic_->queue(queue).fd(), POLLIN, 0});
    }
    if (::poll(waiters.data(), waiters.size(), kPatienceMilliseconds) < 1) return -1;
    for (size_t queue = 0; queue < waiters.size(); ++queue) {
      if ((waiters[queue].revents & POLLIN) != 0) return static_cast<int>(queue);
    }
    return -1;
  }

  // The bytes of a frame's payload, wherever its pieces lie.
  static std::vector<uint8_t> PayloadOf(const RxBatch& batch, const RxDescriptor& frame,
                                        const TestMemory& host, const TestMemory* device) {
    std::vector<uint8_t> out;
    for (const Piece& piece : batch.PiecesOf(frame)) {
      const TestMemory& memory = piece.netmem.is_device() ? *device : host;
      const std::vector<uint8_t> part = memory.BytesOf(std::span(&piece, 1));
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

  std::vector<std::unique_ptr<TestMemory>> host_;  // Before nic_: it outlives the queues.
  std::unique_ptr<TapNic> nic_;
  std::unique_ptr<KernelSide> kernel_;
};

// Header lengths of the frames of KernelFrame over IPv4.
inline constexpr uint32_t kPlainHeaderBytes = 54;
inline constexpr uint32_t kTimestampHeaderBytes = 66;

// One queue, bound, and a rule that sends the test's flow to it.
class BoundTapTest : public TapTest {
 protected:
  void SetUp() override {
    TapTest::SetUp();
    if (IsSkipped()) return;
    MakeNic({.queue_count = 1});
    if (nic_ == nullptr) return;
    Bind(0, device_);
    AddRule({.local_port = TestFlow().local_port}, 0);
  }

  // Sends one frame, receives it, and returns its payload; the pieces go back.
  std::vector<uint8_t> RoundTrip(const KernelFrame& frame) {
    kernel_->Send(frame);
    if (Receive(0, batch_) == 0) return {};
    const std::vector<uint8_t> payload = Payload();
    PutBackAll();
    return payload;
  }
  // Makes the queue expect timestamps in each header.
  void TeachTimestamps() {
    for (uint32_t n = 0; n < HeaderPrediction::kPatienceFramesMin; ++n) {
      RoundTrip({.payload = TestPayload(100, n), .timestamps = true});
    }
    ASSERT_EQ(nic_->queue(0).predicted_header_bytes(), kTimestampHeaderBytes);
  }
  std::vector<uint8_t> Payload(uint32_t frame = 0) {
    return PayloadOf(batch_, batch_.frames[frame], *host_[0], &device_);
  }
  void PutBackAll() { PutBack(batch_, &host_[0]->pool(), &device_.pool()); }

  // Sends a frame that must not be delivered. The one behind it shows that the first was dealt
  // with.
  void ExpectDropped(std::span<const uint8_t> bytes) {
    kernel_->Send(bytes);
    kernel_->Send(KernelFrame{.payload = {42}});
    ASSERT_EQ(Receive(0, batch_), 1u);
    EXPECT_EQ(Payload(), std::vector<uint8_t>{42});
    PutBackAll();
  }
  const RxQueueStats& stats() { return nic_->queue(0).stats(); }
  void TearDown() override {
    if (nic_ != nullptr) nic_->queue(0).Unbind();
  }

  TestMemory device_{TestMemory::Kind::kDevice};
  RxBatch batch_;
};

}  // namespace devmem::testing
