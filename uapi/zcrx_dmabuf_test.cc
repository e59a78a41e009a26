// SPDX-License-Identifier: Apache-2.0
//
// A zcrx queue over a dma-buf, into which the kernel cannot copy: what comes by recv(), what by the
// ring, and what the exporter is told when the processor reads.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "selftests/testing/zcrx_queue_rig.h"
#include "uapi/limits.h"

namespace devmem {
namespace {

// What a dma-buf cannot take ends a request with ENOMEM, before Linux 6.18 with EFAULT.
class ZcrxCopyRefusalTest : public ZcrxQueueTest, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(OfKernels, ZcrxCopyRefusalTest, ::testing::Values(ENOMEM, EFAULT));

TEST_P(ZcrxCopyRefusalTest, WhatADmabufCannotTakeComesThroughTheHostRegion) {
  Make({.copy_refusal = GetParam()}, 256, true);
  ASSERT_EQ(Send(Numbered(1448)), 1448u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  // Bytes of one queue and the other, in one stream: 3000 of the host, 500 of the area behind.
  port_->HostNext(socket_, 3000);
  ASSERT_EQ(Send(Numbered(3500)), 3500u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  ASSERT_EQ(host_held_.size(), 1u);
  EXPECT_EQ(host_held_[0].region_id, host_->region().id());
  EXPECT_EQ(host_held_[0].length_bytes, 3000u);
  EXPECT_EQ(stats_.bounced_bytes.value(), 3000u);
  EXPECT_EQ(landed_.size(), 1948u);
  EXPECT_TRUE(host_->Release(host_held_[0].token));
}

TEST_F(ZcrxQueueTest, HostBytesBehindOthersWaitForThemAndReadTakesBoth) {
  Make({}, 256, true);
  const std::vector<uint8_t> sent = Numbered(3000);
  ASSERT_EQ(Send(std::span(sent).first(1000)), 1000u);
  queue_->Drive();
  port_->HostNext(socket_, 1500);
  ASSERT_EQ(Send(std::span(sent).subspan(1000)), 2000u);
  queue_->Drive();
  std::vector<uint8_t> bytes;
  std::array<uint8_t, 700> part;
  while (bytes.size() < sent.size()) {
    const SocketQueue::Received received = queue_->Read(socket_, part);
    ASSERT_EQ(received.outcome, Outcome::kBytes);
    bytes.insert(bytes.end(), part.begin(), part.begin() + static_cast<ptrdiff_t>(received.bytes));
  }
  EXPECT_EQ(bytes, sent);
  EXPECT_EQ(stats_.bounced_bytes.value(), 1500u);
  EXPECT_EQ(stats_.bytes_read_back.value(), 1500u);
}

class ZcrxAreaKindTest : public ZcrxQueueTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(HostAndDmabuf, ZcrxAreaKindTest, ::testing::Bool());

TEST_P(ZcrxAreaKindTest, BytesOfAnotherQueuesMemoryBreakTheConnectionWithTheReason) {
  Make({}, 256, GetParam());
  ASSERT_EQ(Send(Numbered(10)), 10u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  port_->ForeignNext(socket_, 10);
  ASSERT_EQ(Send(Numbered(10)), 10u);
  for (int look = 0; look < 2; ++look) {
    const SocketQueue::Received broken = ReceiveAll();
    EXPECT_EQ(broken.outcome, Outcome::kBroken);
    EXPECT_NE(broken.why.message().find("bound to another queue"), absl::string_view::npos);
  }
  EXPECT_EQ(landed_.size(), 10u);
}

// Headers and payload of one packet apart, with payload in both: the ring cannot copy the one, and
// recv() refuses the whole.
TEST_F(ZcrxQueueTest, APacketInTwoPlacesEndsAConnectionThatADmabufReceives) {
  Make({}, 256, true);
  port_->MixedNext(socket_, 10);
  ASSERT_EQ(Send(Numbered(10)), 10u);
  const SocketQueue::Received broken = ReceiveAll();
  EXPECT_EQ(broken.outcome, Outcome::kBroken);
  EXPECT_TRUE(absl::IsDataLoss(broken.why)) << broken.why;
  EXPECT_EQ(zcrx_stats_.host_receives.value(), kZcrxHostRefusalsMax + 1);
}

TEST_F(ZcrxQueueTest, ReadOfADmabufIsAnnouncedAndARefusalTakesNothing) {
  Make({.packed = true}, 256, true);
  const std::vector<uint8_t> sent = Numbered(5000);
  ASSERT_EQ(Send(sent), sent.size());
  std::vector<uint8_t> bytes(1000);
  ASSERT_EQ(queue_->Read(socket_, bytes).bytes, 1000u);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), sent.begin()));
  EXPECT_EQ(announcements_, 2u);
  sync_error_ = ENOMEM;
  const SocketQueue::Received refused = queue_->Read(socket_, bytes);
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_NE(refused.why.message().find("DMA_BUF_IOCTL_SYNC"), absl::string_view::npos);
  EXPECT_EQ(announcements_, 3u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_, std::vector<uint8_t>(sent.begin() + 1000, sent.end()));
}

}  // namespace
}  // namespace devmem
