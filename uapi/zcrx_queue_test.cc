// SPDX-License-Identifier: Apache-2.0
//
// A zcrx queue against a kernel that is played over connected sockets: where bytes land, what goes
// back and how often, credit, and every end that a request can have.

#include "uapi/zcrx_queue.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"
#include "provider/user_mapping.h"
#include "selftests/testing/fake_zcrx_port.h"

namespace devmem {
namespace {

using Outcome = SocketQueue::Outcome;

constexpr uint32_t kChunkBytes = 4096;

std::vector<uint8_t> Numbered(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  return bytes;
}

class ZcrxQueueTest : public testing::Test {
 protected:
  ~ZcrxQueueTest() override {
    if (queue_ == nullptr) return;
    if (!record_.closed) {
      for (const Frag& frag : held_) EXPECT_TRUE(queue_->Release(frag.token));
      queue_->FlushReleases();
      (void)port_->FlushRefill();
      EXPECT_EQ(record_.user_references, 0u);
      EXPECT_TRUE(queue_->account().idle()) << queue_->account().ToString();
    }
    EXPECT_EQ(record_.over_returned, 0u);
    queue_->Close(absl::UnavailableError("the test closes it"));
    EXPECT_TRUE(record_.closed);
    EXPECT_EQ(stats_.tokens_issued.value() - host_frags_, stats_.tokens_returned.value());
  }

  void Make(FakeZcrxPort::Options options, uint32_t chunks = 256, bool dmabuf = false,
            uint64_t held_bytes_max = 0) {
    const uint64_t bytes = uint64_t{chunks} * kChunkBytes;
    region_ = MakeRegion(kOffset + bytes);
    auto mapping = UserMapping::Map(*region_, 0, kOffset + bytes, MapAccess::kReadWrite);
    ASSERT_TRUE(mapping.ok()) << mapping.status();
    mapping_.emplace(*std::move(mapping));
    options.area = {static_cast<uint8_t*>(mapping_->address()) + kOffset, bytes};
    auto port = std::make_unique<FakeZcrxPort>(options, &record_);
    port_ = port.get();
    auto host = HostArea::Create(1 << 20);
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    auto queue = ZcrxQueue::Create({.index = 1,
                                    .region_id = region_->id(),
                                    .region_offset = kOffset,
                                    .chunk_count = chunks,
                                    .chunk_bytes = kChunkBytes,
                                    .dmabuf = dmabuf,
                                    .held_bytes_max = held_bytes_max,
                                    .read_back = ReadBackOf(dmabuf),
                                    .port = std::move(port)},
                                   {host_.get(), &stats_, &zcrx_stats_});
    ASSERT_TRUE(queue.ok()) << queue.status();
    queue_ = *std::move(queue);
    std::tie(peer_, socket_) = Connect();
  }

  ReadBack ReadBackOf(bool dmabuf) {
    machine_.set_answer([this](int, unsigned long, void*) {
      ++announcements_;
      return sync_error_ == 0 ? 0 : (errno = sync_error_, -1);
    });
    return *ReadBack::Open(*region_, kOffset, dmabuf ? region_->fd() : -1, machine_);
  }

  // A peer's end and ours, which the queue knows.
  std::pair<UniqueFd, int> Connect() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    EXPECT_TRUE(queue_->AddSocket(fds[1]));
    return {UniqueFd(fds[0]), fds[1]};
  }

  size_t Send(std::span<const uint8_t> bytes) {
    const ssize_t sent = ::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }

  // Everything that comes until something other than bytes does, which is returned; frags are held.
  SocketQueue::Received ReceiveAll() {
    std::array<Frag, 8> frags;
    for (;;) {
      const SocketQueue::Received received = queue_->Receive(socket_, frags);
      if (received.outcome != Outcome::kBytes) return received;
      for (size_t i = 0; i < received.frags; ++i) {
        landed_bytes_ += frags[i].length_bytes;
        if (frags[i].region_id == region_->id()) {
          Look(frags[i]);
          held_.push_back(frags[i]);
        } else {
          host_frags_ += 1;
          host_held_.push_back(frags[i]);
        }
      }
    }
  }
  void Look(const Frag& frag) {
    const auto view = RegionView::Map(*region_);
    const auto part = view->bytes().subspan(frag.offset, frag.length_bytes);
    landed_.insert(landed_.end(), part.begin(), part.end());
  }
  void ReleaseAll() {
    for (const Frag& frag : std::exchange(held_, {})) EXPECT_TRUE(queue_->Release(frag.token));
    queue_->FlushReleases();
  }

  static constexpr uint64_t kOffset = 2 * kChunkBytes;  // Of the area in its region.

  TestMachine machine_;
  uint32_t announcements_ = 0;  // Of the processor to a dma-buf.
  int sync_error_ = 0;
  std::unique_ptr<Region> region_;
  std::optional<UserMapping> mapping_;
  FakeZcrxPort::Record record_;
  FakeZcrxPort* port_ = nullptr;
  std::unique_ptr<HostArea> host_;
  SocketStats stats_;
  ZcrxStats zcrx_stats_;
  std::shared_ptr<ZcrxQueue> queue_;
  UniqueFd peer_;
  int socket_ = -1;
  std::vector<Frag> held_;
  std::vector<Frag> host_held_;
  std::vector<uint8_t> landed_;
  uint64_t landed_bytes_ = 0;
  uint64_t host_frags_ = 0;
};

TEST_F(ZcrxQueueTest, BytesLandInTheRegionInStreamOrder) {
  Make({});
  const std::vector<uint8_t> sent = Numbered(100'000);
  ASSERT_EQ(Send(sent), sent.size());
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_, sent);
  EXPECT_EQ(stats_.payload_bytes.value(), sent.size());
  EXPECT_EQ(stats_.bounced_bytes.value(), 0u);
}

TEST_F(ZcrxQueueTest, NeighboursThatTouchAreOneFrag) {
  Make({.packed = true});
  ASSERT_EQ(Send(Numbered(40'000)), 40'000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  // The kernel of this test takes chunks in rising order.
  EXPECT_EQ(held_.size(), 1u);
  EXPECT_EQ(landed_, Numbered(40'000));
}

TEST_F(ZcrxQueueTest, AChunkThatSeveralPacketsShareGoesBackOnceForEach) {
  Make({.packet_bytes = 1000, .packed = true});
  ASSERT_EQ(Send(Numbered(4000)), 4000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(record_.user_references, 4u);
  ReleaseAll();
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
}

TEST_F(ZcrxQueueTest, AChunkGoesBackOnlyWhenTheLastFragOfItIsReleased) {
  Make({.packet_bytes = 1000, .packed = true});
  std::array<Frag, 1> first;
  std::array<Frag, 1> second;
  ASSERT_EQ(Send(Numbered(1000)), 1000u);
  ASSERT_EQ(queue_->Receive(socket_, first).outcome, Outcome::kBytes);
  ASSERT_EQ(Send(Numbered(1000)), 1000u);
  ASSERT_EQ(queue_->Receive(socket_, second).outcome, Outcome::kBytes);
  ASSERT_EQ(first[0].offset / kChunkBytes, second[0].offset / kChunkBytes);
  EXPECT_EQ(queue_->account().used, 1u);
  EXPECT_TRUE(queue_->Release(first[0].token));
  queue_->FlushReleases();
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 2u);
  EXPECT_TRUE(queue_->Release(second[0].token));
  queue_->FlushReleases();
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
}

TEST_F(ZcrxQueueTest, ATokenIsGoodForOneReturn) {
  Make({});
  ASSERT_EQ(Send(Numbered(10)), 10u);
  std::array<Frag, 1> frags;
  ASSERT_EQ(queue_->Receive(socket_, frags).outcome, Outcome::kBytes);
  EXPECT_TRUE(queue_->Holds(frags[0].token));
  EXPECT_TRUE(queue_->Release(frags[0].token));
  EXPECT_FALSE(queue_->Release(frags[0].token));
  EXPECT_FALSE(queue_->Release(frags[0].token + 1));
}

TEST_F(ZcrxQueueTest, TheEndOfTheStreamIsNotTheEndOfItsCredit) {
  Make({}, 32, false, 32 * kChunkBytes);
  const std::vector<uint8_t> sent = Numbered(300'000);
  size_t done = 0;
  while (done < sent.size()) {
    done += Send(std::span(sent).subspan(done, std::min<size_t>(50'000, sent.size() - done)));
    EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
    ReleaseAll();
  }
  EXPECT_GT(zcrx_stats_.credits.value(), 0u);
  peer_.Reset();
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEnd);
  EXPECT_EQ(landed_, sent);
}

TEST_F(ZcrxQueueTest, AnEndRightAfterTheCreditIsStillAnEnd) {
  Make({.completions = 1024}, 1024);
  // The first request asks for an eighth of the area: send as much, and close.
  const std::vector<uint8_t> sent = Numbered(1024 * kChunkBytes / 8);
  size_t done = 0;
  while (done < sent.size()) {
    done += Send(std::span(sent).subspan(done));
    if (done == sent.size()) peer_.Reset();
    const Outcome outcome = ReceiveAll().outcome;
    EXPECT_EQ(outcome, done == sent.size() ? Outcome::kEnd : Outcome::kEmpty);
    ReleaseAll();
  }
  EXPECT_EQ(landed_, sent);
  EXPECT_EQ(zcrx_stats_.credits.value(), 1u);
}

TEST_F(ZcrxQueueTest, WhoHoldsTooMuchGetsNoMoreUntilSomethingIsReleased) {
  Make({.packet_bytes = kChunkBytes}, 256, false, 16 * kChunkBytes);
  const std::vector<uint8_t> sent = Numbered(200'000);
  ASSERT_EQ(Send(sent), sent.size());
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kNoRoom);
  EXPECT_LT(landed_.size(), sent.size());
  // A credit that was given before is used up; more than that is not held.
  EXPECT_LE(landed_.size(), 16 * kChunkBytes + (256u * kChunkBytes / 8));
  while (landed_.size() < sent.size()) {
    ReleaseAll();
    ASSERT_NE(ReceiveAll().outcome, Outcome::kBroken);
  }
  EXPECT_EQ(landed_, sent);
}

TEST_F(ZcrxQueueTest, AFullCompletionRingLosesNothing) {
  Make({.completions = 8, .packet_bytes = 100, .packed = true});
  const std::vector<uint8_t> sent = Numbered(20'000);
  ASSERT_EQ(Send(sent), sent.size());
  while (landed_.size() < sent.size()) ASSERT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_, sent);
  EXPECT_GT(zcrx_stats_.overflows.value(), 10u);
}

TEST_F(ZcrxQueueTest, AFullRefillRingIsFlushed) {
  Make({.refill_entries = 4});
  ASSERT_EQ(Send(Numbered(50'000)), 50'000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  ReleaseAll();
  EXPECT_GT(record_.flushes, 0u);
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
}

TEST_F(ZcrxQueueTest, WithoutAFlushWhatWaitsGoesBackAsTheKernelTakesSome) {
  Make({.refill_entries = 4, .can_flush = false}, 16, false, 16 * kChunkBytes);
  const std::vector<uint8_t> sent = Numbered(200'000);
  size_t done = 0;
  while (landed_.size() < sent.size()) {
    done += Send(std::span(sent).subspan(done));
    ASSERT_NE(ReceiveAll().outcome, Outcome::kBroken);
    ReleaseAll();
  }
  EXPECT_EQ(landed_, sent);
  EXPECT_GT(zcrx_stats_.refill_full.value(), 0u);
  // Nothing flushes at the end: four entries wait in the ring for the NIC.
  record_.user_references = 0;
  queue_->Close(absl::UnavailableError("over"));
}

TEST_F(ZcrxQueueTest, ACopyThatFoundNoChunkIsTriedAgainAfterARelease) {
  Make({});
  ASSERT_EQ(Send(Numbered(1448)), 1448u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  ASSERT_EQ(held_.size(), 1u);
  port_->FailNext(ENOMEM);
  ASSERT_EQ(Send(Numbered(1448)), 1448u);
  const SocketQueue::Received none = ReceiveAll();
  EXPECT_EQ(none.outcome, Outcome::kNoRoom);
  EXPECT_NE(none.why.message().find("bytes that it must copy"), absl::string_view::npos);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kNoRoom);
  ReleaseAll();
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_.size(), 2 * 1448u);
}

TEST_F(ZcrxQueueTest, WhatADmabufCannotTakeComesThroughTheHostRegion) {
  Make({}, 256, true);
  ASSERT_EQ(Send(Numbered(1448)), 1448u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  port_->FailNext(ENOMEM);
  ASSERT_EQ(Send(Numbered(3000)), 3000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  ASSERT_EQ(host_held_.size(), 1u);
  EXPECT_EQ(host_held_[0].region_id, host_->region().id());
  EXPECT_EQ(host_held_[0].length_bytes, 3000u);
  EXPECT_EQ(stats_.bounced_bytes.value(), 3000u);
  // The stream goes on in the area.
  ASSERT_EQ(Send(Numbered(500)), 500u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_.size(), 1948u);
  EXPECT_TRUE(host_->Release(host_held_[0].token));
}

TEST_F(ZcrxQueueTest, BytesOfAnotherQueuesMemoryBreakTheConnectionWithTheReason) {
  Make({});
  port_->FailNext(EFAULT);
  ASSERT_EQ(Send(Numbered(10)), 10u);
  const SocketQueue::Received broken = ReceiveAll();
  EXPECT_EQ(broken.outcome, Outcome::kBroken);
  EXPECT_NE(broken.why.message().find("bound to another queue"), absl::string_view::npos);
}

TEST_F(ZcrxQueueTest, AnEndInGoodOrderDoesNotHideThatBytesAreMissing) {
  Make({});
  constexpr uint64_t kFirstRequest = uint64_t{1} << 32;
  port_->Post(kFirstRequest, 10, IORING_CQE_F_MORE, 256 * kChunkBytes);
  peer_.Reset();
  const SocketQueue::Received broken = ReceiveAll();
  EXPECT_EQ(broken.outcome, Outcome::kBroken);
  EXPECT_NE(broken.why.message().find("which no chunk of it contains"), absl::string_view::npos)
      << broken.why;
}

TEST_F(ZcrxQueueTest, ASocketErrorBreaksTheConnectionAfterItsBytes) {
  Make({});
  ASSERT_EQ(Send(Numbered(10)), 10u);
  queue_->Drive();
  port_->FailNext(ECONNRESET);
  ASSERT_EQ(Send(Numbered(10)), 10u);
  queue_->Drive();
  const SocketQueue::Received broken = ReceiveAll();
  EXPECT_EQ(landed_.size(), 10u);
  EXPECT_EQ(broken.outcome, Outcome::kBroken);
  EXPECT_EQ(broken.error, ECONNRESET);
}

TEST_F(ZcrxQueueTest, AnotherThreadIsToldWhoseRingItIs) {
  Make({});
  port_->RefuseNextEnter(EEXIST);
  std::array<Frag, 1> frags;
  const SocketQueue::Received refused = queue_->Receive(socket_, frags);
  EXPECT_EQ(refused.outcome, Outcome::kBroken);
  EXPECT_EQ(refused.why.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ZcrxQueueTest, ReadCopiesBackAndReturnsWhatItHasRead) {
  Make({.packed = true});
  const std::vector<uint8_t> sent = Numbered(10'000);
  ASSERT_EQ(Send(sent), sent.size());
  std::vector<uint8_t> bytes(5000);
  ASSERT_EQ(queue_->Read(socket_, bytes).bytes, 5000u);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), sent.begin()));
  EXPECT_EQ(queue_->account().used, 2u);  // Of three chunks, the first is done with.
  ASSERT_EQ(queue_->Read(socket_, bytes).bytes, 5000u);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), sent.begin() + 5000));
  EXPECT_EQ(stats_.bytes_read_back.value(), 10'000u);
  EXPECT_EQ(announcements_, 0u);
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

TEST_F(ZcrxQueueTest, AConnectionThatGoesGivesBackWhatNobodyTook) {
  Make({});
  ASSERT_EQ(Send(Numbered(10'000)), 10'000u);
  queue_->Drive();
  EXPECT_GT(record_.user_references, 0u);
  queue_->TakeSocket(UniqueFd(socket_));
  (void)port_->FlushRefill();
  EXPECT_EQ(record_.user_references, 0u);
  EXPECT_EQ(queue_->account().used, 0u);
}

TEST_F(ZcrxQueueTest, FragsOutliveTheirConnection) {
  Make({});
  ASSERT_EQ(Send(Numbered(5000)), 5000u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  queue_->TakeSocket(UniqueFd(socket_));
  EXPECT_GT(queue_->account().used, 0u);
  landed_.clear();
  for (const Frag& frag : held_) Look(frag);
  EXPECT_EQ(landed_, Numbered(5000));
}

TEST_F(ZcrxQueueTest, ACompletionOfAConnectionThatHasGoneIsNobodys) {
  Make({});
  const int gone = socket_;
  ASSERT_EQ(queue_->Drive(), 0u);
  queue_->TakeSocket(UniqueFd(gone));
  port_->Post(uint64_t{1} << 32, 100, IORING_CQE_F_MORE, 0);
  port_->Post(~uint64_t{1}, 100, IORING_CQE_F_MORE, 0);
  queue_->Drive();
  EXPECT_EQ(queue_->account().used, 0u);
  std::tie(peer_, socket_) = Connect();
  ASSERT_EQ(Send(Numbered(100)), 100u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  EXPECT_EQ(landed_, Numbered(100));
}

TEST_F(ZcrxQueueTest, EventsAreCountedAndArmedAgainAndCopiesAreBounced) {
  Make({});
  port_->Post(ZcrxPort::kEventUserData, abi::ZCRX_EVENT_ALLOC_FAIL, 0, 0);
  port_->CountCopies(2, 3000);
  queue_->Drive();
  EXPECT_EQ(zcrx_stats_.alloc_fail_events.value(), 1u);
  EXPECT_EQ(port_->events_armed(), std::vector<uint32_t>{abi::ZCRX_EVENT_ALLOC_FAIL});
  EXPECT_EQ(zcrx_stats_.copies.value(), 2u);
  EXPECT_EQ(stats_.bounced_bytes.value(), 3000u);
  port_->CountCopies(3, 4000);
  queue_->Drive();
  EXPECT_EQ(stats_.bounced_bytes.value(), 4000u);
}

TEST_F(ZcrxQueueTest, AQueueThatStopsPostingAsksForNothingMore) {
  Make({});
  queue_->StopPosting();
  EXPECT_FALSE(queue_->posting());
  ASSERT_EQ(Send(Numbered(100)), 100u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kNoRoom);
  EXPECT_TRUE(landed_.empty());
}

TEST_F(ZcrxQueueTest, AClosedQueueHasTakenAllTokensBackAndReceivesNothing) {
  Make({});
  ASSERT_EQ(Send(Numbered(100)), 100u);
  EXPECT_EQ(ReceiveAll().outcome, Outcome::kEmpty);
  queue_->Close(absl::UnavailableError("unbound by the test"));
  const SocketQueue::Received closed = ReceiveAll();
  EXPECT_EQ(closed.outcome, Outcome::kClosed);
  EXPECT_EQ(closed.why.message(), "unbound by the test");
  EXPECT_TRUE(queue_->account().idle());
  EXPECT_FALSE(queue_->Release(held_[0].token));
  EXPECT_FALSE(queue_->AddSocket(socket_));
}

}  // namespace
}  // namespace devmem
