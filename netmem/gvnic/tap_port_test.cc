// SPDX-License-Identifier: Apache-2.0
//
// A gVNIC's packets to a real TAP and back: super-frames cross whole, checksums are made, and a
// datagram reaches a socket of the host. The kernel parts need root and /dev/net/tun.

#include "netmem/gvnic/tap_port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "netmem/gvnic/checksum_offload.h"
#include "netmem/wire/byte_order.h"
#include "selftests/testing/gvnic_frames.h"
#include "selftests/testing/tap_fixture.h"

namespace devmem {
namespace {

using testing::KernelFrame;
using testing::KernelSide;
using testing::TestFlow;
using testing::TestFlowV6;
using testing::TestFrame;
using testing::TestPayload;
using testing::UdpFrame;

struct CapturingPort final : Port {
  void Transmit(Packet packet) override { packets.push_back(std::move(packet)); }
  void EndBatch() override { ++batches; }
  std::vector<Packet> packets;
  int batches = 0;
};

Packet SuperFrame(const FlowKey& flow, uint32_t payload_bytes, uint8_t flags = kTcpAck) {
  const TestFrame frame{.flow = flow, .flags = flags, .payload = TestPayload(payload_bytes)};
  return {.bytes = frame.Bytes(),
          .segment_bytes = 1400,
          .header_bytes = static_cast<uint16_t>(frame.Header().size())};
}

TEST(TapVnetTest, ASuperFrameAsksTheKernelToCutItAndToSumEachFrame) {
  for (const FlowKey& flow : {TestFlow(), TestFlowV6()}) {
    Packet packet = SuperFrame(flow, 5000, kTcpAck | kTcpCwr);
    const FrameLayout layout = ReadFrameLayout(packet.bytes);
    const VnetFields vnet = VnetFieldsFor(packet, layout);
    const bool is_v6 = !flow.local.is_v4();
    EXPECT_EQ(vnet.flags, kVnetNeedsChecksum);
    EXPECT_EQ(vnet.gso_type, (is_v6 ? kVnetGsoTcpV6 : kVnetGsoTcpV4) | 0x80);
    EXPECT_EQ(vnet.gso_segment_bytes, 1400);
    EXPECT_EQ(vnet.header_bytes, layout.header_bytes);
    EXPECT_EQ(vnet.checksum_start, layout.l4_offset);
    EXPECT_EQ(vnet.checksum_offset, 16);
    // The pseudo-header's sum with the length of all of it.
    const TestFrame partial{.flow = flow,
                            .flags = kTcpAck | kTcpCwr,
                            .payload = TestPayload(5000),
                            .gso_segment_bytes = 1400};
    EXPECT_EQ(packet.bytes, partial.Bytes());
    // And back: the same packet, whole again.
    Packet back;
    ASSERT_TRUE(PacketFromVnet(vnet, packet.bytes, back));
    EXPECT_EQ(back.bytes, SuperFrame(flow, 5000, kTcpAck | kTcpCwr).bytes);
    EXPECT_EQ(back.segment_bytes, 1400);
    EXPECT_EQ(back.header_bytes, layout.header_bytes);
    EXPECT_TRUE(back.checksum_good);
  }
}

TEST(TapVnetTest, AnOrdinaryFrameSaysWhetherItsChecksumIsKnown) {
  Packet packet{.bytes = TestFrame().Bytes(), .checksum_good = true};
  const FrameLayout layout = ReadFrameLayout(packet.bytes);
  EXPECT_EQ(VnetFieldsFor(packet, layout).flags, kVnetDataValid);
  packet.checksum_good = false;
  EXPECT_EQ(VnetFieldsFor(packet, layout).flags, 0);
}

TEST(TapVnetTest, AChecksumOfAnotherProtocolIsMadeWhereTheKernelSays) {
  // ICMP as an example: no pseudo-header, the field at its third byte.
  std::vector<uint8_t> frame(14 + 20 + 8, 0);
  frame[12] = 0x08;
  EmitIpv4({.total_bytes = 28,
            .protocol = 1,
            .source = IpAddress::FromV4(1),
            .destination = IpAddress::FromV4(2)},
           std::span(frame).subspan(14));
  frame[34] = 8;
  const VnetFields vnet{.flags = kVnetNeedsChecksum, .checksum_start = 34, .checksum_offset = 2};
  Packet packet;
  ASSERT_TRUE(PacketFromVnet(vnet, frame, packet));
  EXPECT_EQ(VerifyL4Checksum(packet.bytes, ReadFrameLayout(packet.bytes)), L4Check::kGood);
}

TEST(TapVnetTest, HeadersThatLieAreRefused) {
  std::vector<uint8_t> frame(60, 0);
  Packet packet;
  EXPECT_FALSE(PacketFromVnet(
      {.flags = kVnetNeedsChecksum, .checksum_start = 59, .checksum_offset = 0}, frame, packet));
  EXPECT_FALSE(PacketFromVnet(
      {.flags = kVnetNeedsChecksum, .checksum_start = UINT16_MAX, .checksum_offset = UINT16_MAX},
      frame, packet));
  EXPECT_FALSE(
      PacketFromVnet({.gso_type = kVnetGsoTcpV4, .gso_segment_bytes = 100}, frame, packet));
  EXPECT_FALSE(PacketFromVnet({.gso_type = kVnetGsoTcpV4}, TestFrame().Bytes(), packet));
}

class TapPortTest : public testing::TapTest {
 protected:
  void SetUp() override {
    TapTest::SetUp();
    if (IsSkipped()) return;
    absl::StatusOr<std::unique_ptr<TapDevice>> device =
        TapDevice::Create({.name = kName, .kernel_address = "192.0.2.1/24"});
    ASSERT_TRUE(device.ok()) << device.status();
    port_ = std::make_unique<TapPort>(*std::move(device));
    port_->SetReceiver(&received_);
  }
  // Waits for frames from the kernel and takes them over.
  void Read() {
    pollfd waiter{port_->fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&waiter, 1, testing::kPatienceMilliseconds), 1);
    port_->OnReadable();
  }
  void ToKernel(std::vector<uint8_t>& bytes) {
    std::copy_n(port_->device().kernel_mac().bytes().begin(), 6, bytes.begin());
  }

  CapturingPort received_;
  std::unique_ptr<TapPort> port_;
};

TEST_F(TapPortTest, ASuperFrameOfTheKernelArrivesWholeWithItsChecksumMade) {
  if (port_ == nullptr) return;
  KernelSide kernel(kName);
  const KernelFrame frame{.payload = TestPayload(20000), .gso_segment_bytes = 1448};
  kernel.Send(frame);
  Read();
  ASSERT_EQ(received_.packets.size(), 1u);
  const Packet& packet = received_.packets[0];
  EXPECT_EQ(packet.segment_bytes, 1448);
  EXPECT_TRUE(packet.checksum_good);
  EXPECT_EQ(VerifyL4Checksum(packet.bytes, ReadFrameLayout(packet.bytes)), L4Check::kGood);
  EXPECT_EQ(received_.batches, 1);
  EXPECT_EQ(port_->stats().from_host_super_frames, 1u);
}

TEST_F(TapPortTest, ADatagramReachesASocketOfTheHost) {
  if (port_ == nullptr) return;
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(5201);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  // Over UDP's largest frame, cut into datagrams before the kernel sees them.
  std::vector<uint8_t> bytes = UdpFrame(TestFlow(), TestPayload(1500));
  ToKernel(bytes);
  port_->Transmit({.bytes = bytes, .segment_bytes = 1000, .header_bytes = 42});
  EXPECT_EQ(port_->stats().to_host, 2u);
  for (const size_t expected : {size_t{1000}, size_t{500}}) {
    pollfd waiter{socket.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waiter, 1, testing::kPatienceMilliseconds), 1);
    uint8_t buffer[2000];
    EXPECT_EQ(::recv(socket.get(), buffer, sizeof(buffer), 0), static_cast<ssize_t>(expected));
  }
}

TEST_F(TapPortTest, ASuperFrameCrossesToTheKernelWhole) {
  if (port_ == nullptr) return;
  const UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int on = 1;
  ASSERT_EQ(::setsockopt(socket.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_IP);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(kName));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);

  Packet packet = SuperFrame(TestFlow(), 30000);
  ToKernel(packet.bytes);
  port_->Transmit(std::move(packet));
  EXPECT_EQ(port_->stats().to_host_super_frames, 1u);
  EXPECT_EQ(port_->stats().drop_refused, 0u);
  // The packet socket also sees what the kernel answers; the first frame in is ours.
  pollfd waiter{socket.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiter, 1, testing::kPatienceMilliseconds), 1);
  std::vector<uint8_t> buffer(kVnetHeaderBytes + 65536);
  const ssize_t bytes = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
  EXPECT_EQ(bytes, static_cast<ssize_t>(kVnetHeaderBytes + 54 + 30000));
  VnetFields vnet;
  std::memcpy(&vnet, buffer.data(), sizeof(vnet));
  EXPECT_EQ(vnet.gso_type, kVnetGsoTcpV4);
  EXPECT_EQ(vnet.gso_segment_bytes, 1400);
}

TEST_F(TapPortTest, AnInterfaceThatIsDownRefusesAndIsCounted) {
  if (port_ == nullptr) return;
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::string(kName).copy(request.ifr_name, IFNAMSIZ - 1);
  ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &request), 0);
  port_->Transmit({.bytes = TestFrame().Bytes()});
  port_->OnReadable();
  EXPECT_EQ(port_->stats().drop_refused, 1u);
  EXPECT_EQ(port_->stats().to_host, 0u);
}

}  // namespace
}  // namespace devmem
