// SPDX-License-Identifier: Apache-2.0
//
// The copy backend's data path over a pair of connected sockets: where bytes land, what a full pool
// does to the sender, tokens, and the ends of a queue.

#include "uapi/copy_queue.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <vector>

#include "provider/region_view.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

using Outcome = CopyQueue::Outcome;

constexpr uint64_t kRegionBytes = 1u << 20;

class CopyQueueTest : public testing::Test {
 protected:
  CopyQueueTest() : region_(MakeRegion(kRegionBytes)), attachment_(MakeAttachment(*region_)) {
    MakeQueue({.region_id = region_->id(), .bytes = kRegionBytes, .device = true});
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    peer_.Reset(fds[0]);
    socket_.Reset(fds[1]);
  }
  ~CopyQueueTest() override {
    queue_->Close(absl::UnavailableError("the test closes it"));
    EXPECT_TRUE(queue_->account().idle()) << queue_->account().ToString();
    EXPECT_EQ(stats_.tokens_issued.value(), stats_.tokens_returned.value());
  }

  void MakeQueue(const MemoryProvider& memory) {
    auto queue =
        CopyQueue::Create(3, memory, *RegionWriter::Create(*region_, *attachment_), &stats_);
    ASSERT_TRUE(queue.ok()) << queue.status();
    queue_ = *std::move(queue);
  }

  // Sends as much of `bytes` as the socket takes at once.
  size_t SendFromPeer(std::span<const uint8_t> bytes) {
    const ssize_t sent = ::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }

  std::vector<uint8_t> Landed(std::span<const Frag> frags) {
    const auto view = RegionView::Map(*region_);
    EXPECT_TRUE(view.ok()) << view.status();
    std::vector<uint8_t> bytes;
    for (const Frag& frag : frags) {
      EXPECT_EQ(frag.region_id, region_->id());
      const auto part = view->bytes().subspan(frag.offset, frag.length_bytes);
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
    return bytes;
  }

  std::unique_ptr<Region> region_;
  std::unique_ptr<Attachment> attachment_;
  SocketStats stats_;
  std::unique_ptr<CopyQueue> queue_;
  UniqueFd peer_;
  UniqueFd socket_;
  std::array<Frag, 64> frags_;
};

std::vector<uint8_t> Numbered(size_t count) {
  std::vector<uint8_t> bytes(count);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  return bytes;
}

TEST_F(CopyQueueTest, BytesLandInTheRegionInStreamOrder) {
  const std::vector<uint8_t> sent = Numbered(100'000);
  ASSERT_EQ(SendFromPeer(sent), sent.size());
  std::vector<uint8_t> landed;
  std::vector<Frag> held;
  while (landed.size() < sent.size()) {
    const CopyQueue::Received received = queue_->Receive(socket_.get(), frags_);
    ASSERT_EQ(received.outcome, Outcome::kBytes);
    const auto part = Landed(std::span(frags_).first(received.frags));
    EXPECT_EQ(part.size(), received.bytes);
    landed.insert(landed.end(), part.begin(), part.end());
    held.insert(held.end(), frags_.begin(), frags_.begin() + received.frags);
  }
  EXPECT_EQ(landed, sent);
  EXPECT_EQ(stats_.region_bytes.value(), sent.size());
  for (const Frag& frag : held) EXPECT_TRUE(queue_->Release(frag.token));
}

TEST_F(CopyQueueTest, ASilentSocketIsEmptyAndAClosedOneEnds) {
  EXPECT_EQ(queue_->Receive(socket_.get(), frags_).outcome, Outcome::kEmpty);
  peer_.Reset();
  EXPECT_EQ(queue_->Receive(socket_.get(), frags_).outcome, Outcome::kEnd);
}

TEST_F(CopyQueueTest, APromptOwnerGetsTheSameMemoryAgainAndAgain) {
  const std::vector<uint8_t> sent = Numbered(10'000);
  uint64_t highest_offset = 0;
  for (int round = 0; round < 1000; ++round) {
    ASSERT_EQ(SendFromPeer(sent), sent.size());
    const CopyQueue::Received received = queue_->Receive(socket_.get(), frags_);
    ASSERT_EQ(received.bytes, sent.size());
    for (const Frag& frag : std::span(frags_).first(received.frags)) {
      highest_offset = std::max(highest_offset, frag.offset + frag.length_bytes);
      ASSERT_TRUE(queue_->Release(frag.token));
    }
  }
  // The posted window and the slabs that come and go beside it, not the whole MiB.
  EXPECT_LE(highest_offset, kCopyBounceBytes + 2 * kSlabBytesDefault);
}

TEST_F(CopyQueueTest, AFullPoolTakesNothingFromTheSocketUntilAFragIsReleased) {
  const std::vector<uint8_t> chunk = Numbered(50'000);
  std::vector<uint8_t> sent;
  std::vector<uint8_t> landed;
  std::vector<Frag> held;
  CopyQueue::Received received;
  do {
    const size_t taken = SendFromPeer(chunk);
    sent.insert(sent.end(), chunk.begin(), chunk.begin() + static_cast<ptrdiff_t>(taken));
    received = queue_->Receive(socket_.get(), frags_);
    const auto part = Landed(std::span(frags_).first(received.frags));
    landed.insert(landed.end(), part.begin(), part.end());
    held.insert(held.end(), frags_.begin(), frags_.begin() + received.frags);
  } while (received.outcome == Outcome::kBytes);
  ASSERT_EQ(received.outcome, Outcome::kNoRoom);
  EXPECT_EQ(landed.size(), kRegionBytes);  // Packed: not a byte of the region is wasted.
  EXPECT_EQ(stats_.receive_starved.value(), 1u);

  for (const Frag& frag : held) EXPECT_TRUE(queue_->Release(frag.token));
  while ((received = queue_->Receive(socket_.get(), frags_)).outcome == Outcome::kBytes) {
    const auto part = Landed(std::span(frags_).first(received.frags));
    landed.insert(landed.end(), part.begin(), part.end());
    for (const Frag& frag : std::span(frags_).first(received.frags)) queue_->Release(frag.token);
  }
  EXPECT_EQ(landed, sent);
}

TEST_F(CopyQueueTest, NeverMoreFragsThanThereIsRoomFor) {
  // Every second slab stays held, so the window is made of single slabs.
  const std::vector<uint8_t> slab = Numbered(kSlabBytesDefault);
  std::vector<Frag> held;
  for (uint64_t i = 0; i < kRegionBytes / kSlabBytesDefault; ++i) {
    ASSERT_EQ(SendFromPeer(slab), slab.size());
    const CopyQueue::Received received = queue_->Receive(socket_.get(), frags_);
    ASSERT_EQ(received.frags, 1u);
    held.push_back(frags_[0]);
  }
  for (size_t i = 0; i < held.size(); i += 2) ASSERT_TRUE(queue_->Release(held[i].token));
  std::vector<uint8_t> two = slab;
  two.insert(two.end(), slab.begin(), slab.end());
  ASSERT_EQ(SendFromPeer(two), two.size());
  const CopyQueue::Received one = queue_->Receive(socket_.get(), std::span(frags_).first(1));
  EXPECT_EQ(one.frags, 1u);
  EXPECT_EQ(one.bytes, kSlabBytesDefault);
  const CopyQueue::Received rest = queue_->Receive(socket_.get(), std::span(frags_).subspan(1));
  EXPECT_EQ(rest.bytes, kSlabBytesDefault);
}

TEST_F(CopyQueueTest, ATokenIsGoodForOneReturn) {
  ASSERT_EQ(SendFromPeer(Numbered(10)), 10u);
  ASSERT_EQ(queue_->Receive(socket_.get(), frags_).frags, 1u);
  EXPECT_FALSE(queue_->Release(frags_[0].token + 1));
  EXPECT_TRUE(queue_->Release(frags_[0].token));
  EXPECT_FALSE(queue_->Release(frags_[0].token));
  EXPECT_FALSE(queue_->Release(0));
}

TEST_F(CopyQueueTest, AFullTokenTableSaysSo) {
  MakeQueue({.region_id = region_->id(),
             .bytes = kRegionBytes,
             .device = true,
             .net_iov_bytes = 256u << 10,
             .slab_bytes = 256u << 10});  // Four net_iovs, so sixteen tokens.
  for (int i = 0; i < 16; ++i) {
    ASSERT_EQ(SendFromPeer(Numbered(1)), 1u);
    ASSERT_EQ(queue_->Receive(socket_.get(), frags_).outcome, Outcome::kBytes);
  }
  ASSERT_EQ(SendFromPeer(Numbered(1)), 1u);
  EXPECT_EQ(queue_->Receive(socket_.get(), frags_).outcome, Outcome::kNoTokens);
  EXPECT_TRUE(queue_->Release(frags_[0].token));
  EXPECT_EQ(queue_->Receive(socket_.get(), frags_).outcome, Outcome::kBytes);
}

TEST_F(CopyQueueTest, BytesThatMissARevokedRegionAreNotHandedOut) {
  ASSERT_EQ(SendFromPeer(Numbered(10)), 10u);
  attachment_->Revoke();
  EXPECT_EQ(queue_->Receive(socket_.get(), frags_).outcome, Outcome::kRevoked);
  EXPECT_EQ(stats_.tokens_issued.value(), 0u);
  EXPECT_EQ(queue_->account().used, 0u);
}

TEST_F(CopyQueueTest, AClosedQueueHasTakenAllTokensBackAndReceivesNothing) {
  ASSERT_EQ(SendFromPeer(Numbered(10)), 10u);
  ASSERT_EQ(queue_->Receive(socket_.get(), frags_).frags, 1u);
  EXPECT_TRUE(queue_->AddSocket(socket_.get()));
  queue_->Close(absl::UnavailableError("the test closes it"));
  EXPECT_TRUE(queue_->account().idle());
  EXPECT_EQ(queue_->account().open, 0u);
  EXPECT_EQ(queue_->Receive(socket_.get(), frags_).outcome, Outcome::kClosed);
  EXPECT_FALSE(queue_->Release(frags_[0].token));
  EXPECT_FALSE(queue_->AddSocket(socket_.get()));
}

TEST_F(CopyQueueTest, AFailingSocketBreaksWithItsError) {
  socket_.Reset();
  const CopyQueue::Received received = queue_->Receive(socket_.get(), frags_);
  EXPECT_EQ(received.outcome, Outcome::kBroken);
  EXPECT_EQ(received.error, EBADF);
}

}  // namespace
}  // namespace devmem
