// SPDX-License-Identifier: Apache-2.0
//
// Exporters on threads of their own: memory that is moved, evicted and revoked while a kernel peer
// sends into it at full speed, over a TAP, into a session with a thread per queue and into one
// without. Run under tsan too.

#include <atomic>
#include <future>
#include <thread>

#include "selftests/testing/tap_session.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kBytes = 48 << 20;
constexpr uint64_t kRegionBytes = 8 << 20;

class ThreadedMemoryTest : public TapSessionTest {
 protected:
  std::unique_ptr<Region> Allocate(AttachmentKind kind) {
    return ValueOrFail(session_->Allocate({.bytes = kRegionBytes, .kind = kind}), "region");
  }

  // Receives a stream of the kernel's into `region`, whose exporter acts again and again meanwhile,
  // on a thread of his own. Returns how often he did.
  uint64_t ReceiveWhile(Region& region, const std::function<absl::Status(uint64_t)>& act) {
    const RegionView view = ValueOrFail(RegionView::Map(region), "view");
    const BindingId binding = ValueOrFail(session_->Bind(region, {.queues = {2}}), "binding");
    std::unique_ptr<Listener> listener = Listen(5301, binding);
    std::thread sender([] {
      KernelPeer peer = KernelPeer::Connect(kOurs, 5301);
      EXPECT_EQ(peer.SendPattern(9, kBytes), kBytes);
      peer.ShutDownSending();
      EXPECT_TRUE(peer.Read(1).empty());
    });
    std::unique_ptr<Connection> connection = Accept(*listener);
    std::atomic<bool> over{false};
    uint64_t acts = 0;
    std::thread exporter([&] {
      while (!over.load()) {
        const absl::Status acted = act(acts);
        EXPECT_TRUE(acted.ok()) << acted;
        ++acts;
      }
    });
    std::array<Frag, 64> frags;
    uint64_t offset = 0;
    while (true) {
      const absl::StatusOr<size_t> count = connection->Recv(frags, Soon());
      EXPECT_TRUE(count.ok()) << count.status();
      if (!count.ok() || *count == 0) break;
      for (const Frag& frag : std::span(frags).first(*count)) {
        const auto part = view.bytes().subspan(frag.offset, frag.length_bytes);
        EXPECT_EQ(FindMismatch(9, offset, part), std::nullopt) << "from byte " << offset;
        offset += frag.length_bytes;
      }
      EXPECT_TRUE(connection->Release(std::span(frags).first(*count)).ok());
    }
    over.store(true);
    exporter.join();
    connection.reset();
    sender.join();
    EXPECT_EQ(offset, kBytes);
    listener.reset();
    EXPECT_TRUE(session_->account(binding)->idle());
    EXPECT_TRUE(session_->Unbind(binding).ok());
    return acts;
  }

  void RevokeUnderABlockedReceiver() {
    std::unique_ptr<Region> region = Allocate(AttachmentKind::kMayRevoke);
    const BindingId binding = ValueOrFail(session_->Bind(*region, {.queues = {2}}), "binding");
    std::unique_ptr<Listener> listener = Listen(5301, binding);
    // The peer stays until it is reset, which its connect() must not see.
    std::promise<void> connected;
    std::thread peer([&] {
      KernelPeer self = KernelPeer::Connect(kOurs, 5301);
      connected.set_value();
      (void)self.Read(1);
    });
    std::unique_ptr<Connection> connection = Accept(*listener);
    std::thread exporter([&] {
      connected.get_future().wait();
      region->Revoke("wanted back");
    });
    std::array<Frag, 4> frags;
    const absl::Status end = connection->Recv(frags, Soon()).status();
    exporter.join();
    peer.join();
    EXPECT_TRUE(absl::IsAborted(end)) << end;
    const absl::Status binding_end = session_->BindingStatus(binding);
    EXPECT_TRUE(absl::IsAborted(binding_end)) << binding_end;
    EXPECT_NE(binding_end.message().find("wanted back"), absl::string_view::npos) << binding_end;
    EXPECT_TRUE(
        absl::IsAborted(session_->Listen({.address = kOurs, .port = 5302}, binding).status()));
    connection.reset();
    listener.reset();
    EXPECT_TRUE(session_->Unbind(binding).ok());
  }
};

class InlineMemoryTest : public ThreadedMemoryTest {
 protected:
  Threading threading() const override { return Threading::kInline; }
};

TEST_F(ThreadedMemoryTest, AStreamSurvivesThatItsMemoryMovesAllTheTime) {
  std::unique_ptr<Region> region = Allocate(AttachmentKind::kMayMove);
  EXPECT_GT(ReceiveWhile(*region, [&](uint64_t) { return region->Move(); }), 0u);
}

TEST_F(ThreadedMemoryTest, AStreamSurvivesThatItsMemoryIsEvictedAllTheTime) {
  std::unique_ptr<Region> region = Allocate(AttachmentKind::kMayMove);
  const auto evict = [&](uint64_t act) {
    return region->Evict(act * kPagingBlockBytes % kRegionBytes, kPagingBlockBytes);
  };
  EXPECT_GT(ReceiveWhile(*region, evict), 0u);
}

TEST_F(ThreadedMemoryTest, ARevokeWakesAReceiverAndTellsHimWhy) { RevokeUnderABlockedReceiver(); }

TEST_F(InlineMemoryTest, AStreamSurvivesThatItsMemoryMovesAllTheTime) {
  std::unique_ptr<Region> region = Allocate(AttachmentKind::kMayMove);
  EXPECT_GT(ReceiveWhile(*region, [&](uint64_t) { return region->Move(); }), 0u);
}

TEST_F(InlineMemoryTest, ARevokeWakesAReceiverAndTellsHimWhy) { RevokeUnderABlockedReceiver(); }

TEST_F(ThreadedMemoryTest, AnExporterMayRevokeWhileTheSessionGoes) {
  std::unique_ptr<Region> region = Allocate(AttachmentKind::kMayRevoke);
  (void)ValueOrFail(session_->Bind(*region, {.queues = {2}}), "binding");
  std::thread exporter([&] { region->Revoke("wanted back"); });
  session_.reset();
  exporter.join();
  EXPECT_EQ(region->life()->user_count(), 0u);
}

// Many rounds of the same without a device, so that the two meet at many places.
TEST(SessionEndTest, AnExporterMayActWhileTheSessionGoes) {
  for (int round = 0; round < 40; ++round) {
    WireWorldOptions options;
    options.link.b.queue_count = 3;
    auto world = std::make_unique<WireWorld>(options);
    std::unique_ptr<Region> region = ValueOrFail(
        world->server().Allocate({.bytes = 1 << 20, .kind = AttachmentKind::kMayMove}), "region");
    (void)ValueOrFail(world->server().Bind(*region, {.queues = {2}}), "binding");
    std::thread exporter([&] {
      for (int act = 0; act < round % 4; ++act) EXPECT_TRUE(region->Move().ok());
      region->Revoke("wanted back");
    });
    for (int spin = 0; spin < round * 20; ++spin) std::this_thread::yield();
    world.reset();
    exporter.join();
    EXPECT_EQ(region->life()->user_count(), 0u);
  }
}

}  // namespace
}  // namespace devmem::testing
