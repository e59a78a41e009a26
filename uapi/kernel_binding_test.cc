// SPDX-License-Identifier: Apache-2.0
//
// A kernel binding against a kernel that plays every case of devmem TCP: what is received as which
// frags, what goes back in which calls, and what is refused.

#include "uapi/kernel_binding.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "provider/dma_mapping.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"
#include "selftests/testing/fake_kernel.h"

namespace devmem {
namespace {

using testing::FakeKernel;
using Outcome = SocketQueue::Outcome;
using Runs = std::vector<std::pair<uint32_t, uint32_t>>;

constexpr uint64_t kBytes = 4u << 20;
constexpr uint64_t kPage = kKernelNetIovBytes;
constexpr uint64_t kRegionOffset = 1u << 20;
constexpr int kSocket = 1000001;  // No descriptor of this process.
constexpr int kOther = 1000002;

std::vector<uint8_t> Numbered(size_t count, uint8_t from = 0) {
  std::vector<uint8_t> bytes(count);
  std::iota(bytes.begin(), bytes.end(), from);
  return bytes;
}

class KernelBindingTest : public ::testing::Test {
 protected:
  KernelBindingTest() : region_(MakeRegion(2 * kBytes)), host_(*HostArea::Create(4 << 20)) {
    Make(kBytes);
  }
  ~KernelBindingTest() override {
    for (const Frag& frag : held_) Release(frag);
    binding_->FlushReleases();
    EXPECT_TRUE(binding_->account().idle()) << binding_->account().ToString();
    EXPECT_TRUE(host_->account().idle()) << host_->account().ToString();
    EXPECT_EQ(kernel_.tokens_out(kSocket), 0u);
    binding_.reset();
  }

  void Make(uint64_t held_bytes_max) {
    KernelBindingSetup setup{.dmabuf_id = FakeKernel::kDmabufId,
                             .region_id = region_->id(),
                             .region_offset = kRegionOffset,
                             .bytes = kBytes,
                             .held_bytes_max = held_bytes_max};
    machine_.set_answer([this](int, unsigned long, void*) {
      ++announcements_;
      return sync_error_ == 0 ? 0 : (errno = sync_error_, -1);
    });
    setup.read_back = *ReadBack::Open(*region_, kRegionOffset, region_->fd(), machine_);
    binding_ = *KernelBinding::Create(
        std::move(setup),
        {.host = host_.get(), .calls = &kernel_, .stats = &stats_, .kernel_stats = &kernel_stats_});
    EXPECT_TRUE(binding_->AddSocket(kSocket));
  }

  // The next frags; they are held until the test releases them, or ends.
  std::vector<Frag> Receive(size_t frags_max = 16, int socket = kSocket) {
    std::vector<Frag> frags(frags_max);
    last_ = binding_->Receive(socket, frags);
    frags.resize(last_.outcome == Outcome::kBytes ? last_.frags : 0);
    held_.insert(held_.end(), frags.begin(), frags.end());
    return frags;
  }
  bool Release(const Frag& frag) {
    if (frag.region_id == host_->region().id()) return host_->Release(frag.token);
    return binding_->Release(frag.token);
  }
  void ReleaseAll() {
    for (const Frag& frag : std::exchange(held_, {})) EXPECT_TRUE(Release(frag));
    binding_->FlushReleases();
  }
  // The runs of the last SO_DEVMEM_DONTNEED.
  Runs LastRuns() const {
    Runs runs;
    for (const auto& run : kernel_.dontneeds.back().runs) {
      runs.emplace_back(run.token_start, run.token_count);
    }
    return runs;
  }
  std::vector<uint8_t> HostBytes(const Frag& frag) {
    const RegionView view = *RegionView::Map(host_->region());
    const auto bytes = view.bytes().subspan(frag.offset, frag.length_bytes);
    return {bytes.begin(), bytes.end()};
  }

  TestMachine machine_;
  uint32_t announcements_ = 0;
  int sync_error_ = 0;
  std::unique_ptr<Region> region_;
  std::unique_ptr<HostArea> host_;
  FakeKernel kernel_;
  SocketStats stats_;
  KernelStats kernel_stats_;
  std::shared_ptr<KernelBinding> binding_;
  SocketQueue::Received last_;
  std::vector<Frag> held_;
};

TEST_F(KernelBindingTest, APieceIsAFragAtItsPlaceInTheRegion) {
  kernel_.Devmem(kSocket, 5 * kPage + 100, 1448);
  const std::vector<Frag> frags = Receive();
  ASSERT_EQ(frags.size(), 1u);
  EXPECT_EQ(frags[0].region_id, region_->id());
  EXPECT_EQ(frags[0].offset, kRegionOffset + 5 * kPage + 100);
  EXPECT_EQ(frags[0].length_bytes, 1448u);
  EXPECT_EQ(last_.bytes, 1448u);
  EXPECT_EQ(binding_->account().used, 1u);
  EXPECT_EQ(stats_.region_bytes.value(), 1448u);
  EXPECT_EQ(stats_.bounced_bytes.value(), 0u);
}

TEST_F(KernelBindingTest, NeighboursAreOneFragAndGoBackAsOneRun) {
  for (uint64_t page = 8; page < 12; ++page) kernel_.Devmem(kSocket, page * kPage, kPage);
  ASSERT_EQ(Receive().size(), 1u);
  EXPECT_EQ(held_[0].length_bytes, 4 * kPage);
  EXPECT_EQ(binding_->account().used, 4u);
  ReleaseAll();
  EXPECT_EQ(LastRuns(), (Runs{{1, 4}}));
  EXPECT_EQ(kernel_stats_.dontneed_calls.value(), 1u);
}

TEST_F(KernelBindingTest, OneFragStandsForIdsThatAreScattered) {
  for (uint64_t page = 0; page < 3; ++page) kernel_.Devmem(kSocket, 2 * page * kPage, kPage);
  ASSERT_EQ(Receive().size(), 3u);
  // Ids 1 and 3 are free again, 2 is held: the next four pieces get 1, 3, 4 and 5.
  EXPECT_TRUE(Release(held_[0]) && Release(held_[2]));
  held_ = {held_[1]};
  binding_->FlushReleases();
  for (uint64_t page = 20; page < 24; ++page) kernel_.Devmem(kSocket, page * kPage, kPage);
  ASSERT_EQ(Receive().size(), 1u);
  EXPECT_TRUE(Release(held_[1]));
  held_.pop_back();
  binding_->FlushReleases();
  EXPECT_EQ(LastRuns(), (Runs{{1, 1}, {3, 3}}));
  EXPECT_EQ(kernel_.tokens_out(kSocket), 1u);
}

TEST_F(KernelBindingTest, AnIdThatIsGivenOutAgainIsSafeFromAnOldSerial) {
  kernel_.Devmem(kSocket, 0, kPage);
  const Frag old = Receive().front();
  ReleaseAll();
  kernel_.Devmem(kSocket, kPage, kPage);  // The kernel's id is 1 again.
  ASSERT_EQ(Receive().size(), 1u);
  EXPECT_FALSE(Release(old));
  binding_->FlushReleases();
  EXPECT_EQ(kernel_.tokens_out(kSocket), 1u);
}

TEST_F(KernelBindingTest, MadeUpSerialsAreRefused) {
  kernel_.Devmem(kSocket, 0, kPage);
  const Frag frag = Receive().front();
  EXPECT_FALSE(binding_->Release(0));
  EXPECT_FALSE(binding_->Release(frag.token + 1));
  EXPECT_FALSE(binding_->Release(1));
  EXPECT_TRUE(binding_->Holds(frag.token));
}

TEST_F(KernelBindingTest, LinearBytesAreFragsOfTheHostRegionInStreamOrder) {
  kernel_.Linear(kSocket, Numbered(100, 1));
  kernel_.Devmem(kSocket, 0, kPage);
  kernel_.Devmem(kSocket, kPage, 500);
  kernel_.Linear(kSocket, Numbered(50, 200));
  kernel_.Linear(kSocket, Numbered(10, 3));
  const std::vector<Frag> frags = Receive();
  ASSERT_EQ(frags.size(), 3u);
  EXPECT_EQ(HostBytes(frags[0]), Numbered(100, 1));
  EXPECT_EQ(frags[1].length_bytes, kPage + 500);
  EXPECT_EQ(frags[1].region_id, region_->id());
  // Linear bytes with nothing between them are one frag.
  std::vector<uint8_t> both = Numbered(50, 200);
  for (const uint8_t byte : Numbered(10, 3)) both.push_back(byte);
  EXPECT_EQ(HostBytes(frags[2]), both);
  EXPECT_EQ(kernel_stats_.linear_bytes.value(), 160u);
  EXPECT_EQ(stats_.bounced_bytes.value(), 160u);
  EXPECT_EQ(stats_.region_bytes.value(), kPage + 500);
}

TEST_F(KernelBindingTest, AStreamThatIsHalfOnAnotherQueueIsReceivedInOrder) {
  kernel_.Plain(kSocket, Numbered(200));
  kernel_.Devmem(kSocket, 0, kPage);
  kernel_.Plain(kSocket, Numbered(30, 90));
  EXPECT_EQ(HostBytes(Receive().front()), Numbered(200));
  EXPECT_EQ(Receive().front().length_bytes, kPage);
  EXPECT_EQ(HostBytes(Receive().front()), Numbered(30, 90));
  EXPECT_EQ(kernel_stats_.unbound_bytes.value(), 230u);
  EXPECT_EQ(kernel_stats_.linear_bytes.value(), 0u);
  EXPECT_EQ(stats_.bounced_bytes.value(), 230u);
}

TEST_F(KernelBindingTest, SeveralFragsMayShareANetIov) {
  kernel_.Devmem(kSocket, 0, 2048);
  kernel_.Devmem(kSocket, 8 * kPage, 100);
  kernel_.Devmem(kSocket, 2048, 2048);
  ASSERT_EQ(Receive().size(), 3u);
  EXPECT_EQ(binding_->account().used, 2u);
  EXPECT_TRUE(Release(held_[0]));
  EXPECT_EQ(binding_->account().used, 2u);
  EXPECT_TRUE(Release(held_[2]));
  EXPECT_EQ(binding_->account().used, 1u);
  held_ = {held_[1]};
}

TEST_F(KernelBindingTest, NoMoreFragsComeThanThereIsRoomFor) {
  for (uint64_t i = 0; i < 5; ++i) kernel_.Devmem(kSocket, 2 * i * kPage, kPage);
  EXPECT_EQ(Receive(2).size(), 2u);
  EXPECT_EQ(Receive(1).size(), 1u);
  EXPECT_EQ(Receive(16).size(), 2u);
}

TEST_F(KernelBindingTest, AControlBufferThatIsTooSmallGrowsAndNoFragIsLost) {
  kernel_.control_bytes_wanted = 300;
  for (uint64_t i = 0; i < 3; ++i) kernel_.Devmem(kSocket, 2 * i * kPage, 3);
  EXPECT_EQ(Receive(1).size(), 1u);
  EXPECT_GT(kernel_stats_.control_grown.value(), 0u);
  uint64_t bytes = held_[0].length_bytes;
  while (bytes < 9) {
    const std::vector<Frag> frags = Receive(1);
    ASSERT_EQ(frags.size(), 1u);
    bytes += frags[0].length_bytes;
  }
}

TEST_F(KernelBindingTest, AControlBufferThatNeverSufficesBreaksTheConnection) {
  kernel_.control_bytes_wanted = 1 << 20;
  kernel_.Devmem(kSocket, 0, kPage);
  EXPECT_TRUE(Receive().empty());
  EXPECT_EQ(last_.outcome, Outcome::kBroken);
  EXPECT_TRUE(absl::IsInternal(last_.why)) << last_.why;
}

TEST_F(KernelBindingTest, ACutControlMessageIsDataLossAndWhatItNamedGoesBack) {
  kernel_.truncates_control = true;
  kernel_.control_bytes_wanted = 0;
  for (uint64_t i = 0; i < 3; ++i) kernel_.Devmem(kSocket, 2 * i * kPage, kPage);
  // An old kernel cuts what does not fit its idea of the room.
  std::array<KernelPiece, 8> pieces;
  std::array<uint64_t, 12> control{};  // 96 bytes: two messages, and 16 bytes of a third.
  std::array<uint8_t, 64> room;
  iovec vector{room.data(), 3 * kPage};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = sizeof(control);
  const ssize_t got = kernel_.ReceiveMessage(kSocket, &message, MSG_SOCK_DEVMEM);
  ASSERT_GT(got, 0);
  const ControlReading reading = ReadControl(message, static_cast<size_t>(got), pieces);
  EXPECT_EQ(reading.verdict, ControlReading::Verdict::kTruncated);
  EXPECT_EQ(reading.count, 2u);
  kernel_.stream(kSocket).tokens.clear();
}

TEST_F(KernelBindingTest, BytesOfAnotherBindingBreakTheConnectionAndGoBack) {
  kernel_.Devmem(kSocket, 0, kPage);
  kernel_.Devmem(kSocket, kPage, kPage, FakeKernel::kDmabufId + 1);
  EXPECT_TRUE(Receive().empty());
  EXPECT_EQ(last_.outcome, Outcome::kBroken);
  EXPECT_TRUE(absl::IsDataLoss(last_.why)) << last_.why;
  EXPECT_TRUE(kernel_.stream(kSocket).reset);
  EXPECT_EQ(kernel_.tokens_out(kSocket), 0u);
}

TEST_F(KernelBindingTest, BytesOutsideTheBindingBreakTheConnection) {
  kernel_.Devmem(kSocket, kBytes - 100, 200);
  EXPECT_TRUE(Receive().empty());
  EXPECT_TRUE(absl::IsDataLoss(last_.why)) << last_.why;
  EXPECT_EQ(kernel_stats_.control_damaged.value(), 1u);
}

TEST_F(KernelBindingTest, ErrorsOfTheKernelAreToldApart) {
  kernel_.Error(kSocket, ENODEV);
  Receive();
  EXPECT_EQ(last_.outcome, Outcome::kBroken);
  EXPECT_TRUE(absl::IsFailedPrecondition(last_.why)) << last_.why;
  kernel_.Error(kSocket, EFAULT);
  Receive();
  EXPECT_TRUE(absl::IsInternal(last_.why)) << last_.why;
  kernel_.Error(kSocket, ECONNRESET);
  Receive();
  EXPECT_EQ(last_.outcome, Outcome::kBroken);
  EXPECT_EQ(last_.error, ECONNRESET);
  // No memory for tokens is no end: the bytes are still there.
  kernel_.Error(kSocket, ENOMEM);
  Receive();
  EXPECT_EQ(last_.outcome, Outcome::kNoRoom);
  Receive();
  EXPECT_EQ(last_.outcome, Outcome::kEmpty);
  kernel_.End(kSocket);
  Receive();
  EXPECT_EQ(last_.outcome, Outcome::kEnd);
}

TEST_F(KernelBindingTest, AnErrorBehindBytesComesWithTheNextCall) {
  kernel_.Devmem(kSocket, 0, kPage);
  kernel_.Error(kSocket, ECONNRESET);
  EXPECT_EQ(Receive().size(), 1u);
  Receive();
  EXPECT_EQ(last_.error, ECONNRESET);
}

TEST_F(KernelBindingTest, NothingIsReceivedWhileTheBudgetIsHeld) {
  Make(3 * kPage);
  for (uint64_t i = 0; i < 6; ++i) kernel_.Devmem(kSocket, 2 * i * kPage, kPage);
  EXPECT_EQ(Receive(2).size(), 2u);
  // One net_iov of the budget is left: the kernel is asked for no more than that.
  EXPECT_EQ(Receive().size(), 1u);
  EXPECT_EQ(kernel_.receive_bytes_asked.back(), kPage);
  const size_t calls = kernel_.receive_calls();
  EXPECT_TRUE(Receive().empty());
  EXPECT_EQ(last_.outcome, Outcome::kNoRoom);
  EXPECT_EQ(kernel_.receive_calls(), calls);
  EXPECT_TRUE(Release(held_.back()));
  held_.pop_back();
  EXPECT_EQ(Receive().size(), 1u);
}

TEST_F(KernelBindingTest, ReadCopiesOutInStreamOrderAndHoldsNothing) {
  const std::vector<uint8_t> landed = Numbered(300, 7);
  MakeAttachment(*region_)->mapping().Write(kRegionOffset + 2 * kPage, landed);
  kernel_.Linear(kSocket, Numbered(20, 90));
  kernel_.Devmem(kSocket, 2 * kPage, 300);
  kernel_.Linear(kSocket, Numbered(5, 60));
  std::vector<uint8_t> expected = Numbered(20, 90);
  expected.insert(expected.end(), landed.begin(), landed.end());
  for (const uint8_t byte : Numbered(5, 60)) expected.push_back(byte);

  std::vector<uint8_t> read(1000);
  const SocketQueue::Received received = binding_->Read(kSocket, read);
  ASSERT_EQ(received.outcome, Outcome::kBytes);
  read.resize(received.bytes);
  EXPECT_EQ(read, expected);
  EXPECT_EQ(stats_.bytes_read_back.value(), 300u);
  EXPECT_EQ(kernel_.tokens_out(kSocket), 0u);
  EXPECT_EQ(announcements_, 2u);
}

TEST_F(KernelBindingTest, BytesThatTheExporterDoesNotLetReadEndTheConnectionAndGoBack) {
  kernel_.Devmem(kSocket, 0, kPage);
  sync_error_ = ENOMEM;
  std::array<uint8_t, 100> bytes;
  const SocketQueue::Received broken = binding_->Read(kSocket, bytes);
  EXPECT_EQ(broken.outcome, Outcome::kBroken);
  EXPECT_EQ(broken.why.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(broken.why.message().find("DMA_BUF_IOCTL_SYNC"), absl::string_view::npos);
  EXPECT_TRUE(kernel_.stream(kSocket).reset);
  EXPECT_EQ(kernel_.tokens_out(kSocket), 0u);
  EXPECT_EQ(stats_.bytes_read_back.value(), 0u);
}

TEST_F(KernelBindingTest, ReadTakesNoMoreThanItsRoom) {
  kernel_.Devmem(kSocket, 0, kPage);
  std::array<uint8_t, 10> few;
  EXPECT_EQ(binding_->Read(kSocket, few).bytes, few.size());
  EXPECT_EQ(Receive().front().offset, kRegionOffset + few.size());
}

TEST_F(KernelBindingTest, AClosedConnectionsSocketStaysOpenUntilItsLastTokenIsBack) {
  UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = file.get();
  ASSERT_TRUE(binding_->AddSocket(number));
  kernel_.Devmem(number, 0, kPage);
  kernel_.Devmem(number, 2 * kPage, kPage);
  ASSERT_EQ(Receive(16, number).size(), 2u);
  binding_->TakeSocket(std::move(file));
  EXPECT_TRUE(kernel_.stream(number).ended);
  EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(Release(held_[0]));
  binding_->FlushReleases();
  EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(Release(held_[1]));
  held_.clear();
  binding_->FlushReleases();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  EXPECT_EQ(kernel_.tokens_out(number), 0u);
}

TEST_F(KernelBindingTest, AConnectionThatLeavesBytesUnreadIsReset) {
  UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = file.get();
  ASSERT_TRUE(binding_->AddSocket(number));
  kernel_.Devmem(number, 0, kPage);
  kernel_.Devmem(number, 2 * kPage, kPage);
  ASSERT_EQ(Receive(1, number).size(), 1u);
  binding_->TakeSocket(std::move(file));
  EXPECT_TRUE(kernel_.stream(number).reset);
  ReleaseAll();
}

TEST_F(KernelBindingTest, TokensThatTheKernelDoesNotTakeAtOnceKeepTheSocketToo) {
  UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = file.get();
  ASSERT_TRUE(binding_->AddSocket(number));
  kernel_.Devmem(number, 0, kPage);
  kernel_.dontneed_error = ENOMEM;
  std::array<uint8_t, 100> bytes;
  EXPECT_EQ(binding_->Read(number, bytes).bytes, bytes.size());
  binding_->TakeSocket(std::move(file));
  EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
  kernel_.dontneed_error = 0;
  binding_->FlushReleases();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  EXPECT_EQ(kernel_.tokens_out(number), 0u);
}

TEST_F(KernelBindingTest, ClosingReturnsEveryTokenAndResetsTheConnections) {
  kernel_.Devmem(kSocket, 0, 20 * kPage);
  ASSERT_TRUE(binding_->AddSocket(kOther));
  kernel_.Devmem(kOther, 40 * kPage, kPage);
  Receive();
  Receive(16, kOther);
  const std::vector<Frag> frags = std::exchange(held_, {});
  binding_->Close(absl::UnavailableError("unbound"));
  EXPECT_EQ(kernel_.tokens_out(kSocket), 0u);
  EXPECT_EQ(kernel_.tokens_out(kOther), 0u);
  EXPECT_TRUE(kernel_.stream(kSocket).reset && kernel_.stream(kOther).reset);
  EXPECT_FALSE(binding_->Release(frags[0].token));
  EXPECT_FALSE(binding_->AddSocket(kSocket));
  Receive();
  EXPECT_EQ(last_.outcome, Outcome::kClosed);
  EXPECT_EQ(last_.why.message(), "unbound");
}

TEST_F(KernelBindingTest, ARegionThatIsBeingRemovedReceivesNoMore) {
  kernel_.Devmem(kSocket, 0, kPage);
  binding_->StopPosting();
  EXPECT_TRUE(Receive().empty());
  EXPECT_EQ(last_.outcome, Outcome::kNoRoom);
  EXPECT_EQ(kernel_.receive_calls(), 0u);
}

TEST_F(KernelBindingTest, AFullHostRegionStopsReceivingUntilItHasRoom) {
  // 8 slots of 512 KiB: one frag in each keeps them all, and no slot has room for a largest call.
  for (int slot = 0; slot < 8; ++slot) {
    for (int call = 0; call < 2; ++call) {
      kernel_.Plain(kSocket, std::vector<uint8_t>(kKernelReceiveBytesMax));
      ASSERT_EQ(Receive().size(), 1u);
    }
  }
  kernel_.Devmem(kSocket, 0, kPage);
  EXPECT_TRUE(Receive().empty());
  EXPECT_EQ(last_.outcome, Outcome::kNoRoom);
  EXPECT_EQ(host_->account().free, 0u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Release(held_.back()));
    held_.pop_back();
  }
  EXPECT_EQ(Receive().size(), 1u);
}

}  // namespace
}  // namespace devmem
