// SPDX-License-Identifier: Apache-2.0
//
// Exporters that act on the memory of a copy session: what its users learn, and when. Kernel
// sockets on the loopback are the peers; what can block has a deadline far away.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "provider/memfd_provider.h"
#include "provider/region_view.h"
#include "selftests/testing/device_region.h"
#include "selftests/testing/kernel_peer.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"
#include "uapi/copy_session.h"

namespace devmem::testing {
namespace {

constexpr char kLoopback[] = "127.0.0.1";
constexpr uint64_t kRegionBytes = 6 << 20;
constexpr uint64_t kStreamBytes = 24 << 20;

class CopyMemoryTest : public ::testing::Test {
 protected:
  // A stream of the kernel's into `region`; ends with the stream, or with why it broke.
  absl::Status Receive(Region& region, const std::function<std::vector<uint8_t>(const Frag&)>& look,
                       const std::function<void()>& after_first, uint64_t* received) {
    binding_ = ValueOrFail(session_->Bind(region, {}), "binding");
    listener_ = ValueOrFail(session_->Listen({.address = kLoopback}, binding_), "listener");
    std::thread sender([port = listener_->port()] {
      KernelPeer peer = KernelPeer::Connect(kLoopback, port);
      // A reset may come first; then there is nothing left to shut down.
      if (peer.SendPattern(3, kStreamBytes) == kStreamBytes) {
        (void)::shutdown(peer.fd(), SHUT_WR);
      }
      (void)peer.Read(1);
    });
    connection_ = ValueOrFail(listener_->Accept(Soon()), "connection");
    std::array<Frag, 32> frags;
    absl::Status end;
    while (true) {
      const absl::StatusOr<size_t> count = connection_->Recv(frags, Soon());
      end = count.status();
      if (!count.ok() || *count == 0) break;
      for (const Frag& frag : std::span(frags).first(*count)) {
        EXPECT_EQ(FindMismatch(3, *received, look(frag)), std::nullopt) << *received;
        *received += frag.length_bytes;
      }
      EXPECT_TRUE(connection_->Release(std::span(frags).first(*count)).ok());
      after_first();
    }
    connection_.reset();
    listener_.reset();
    sender.join();
    return end;
  }
  Nanos Soon() const { return session_->Now() + 60 * kSecond; }

  std::unique_ptr<Session> session_ = ValueOrFail(OpenCopySession({}, "a test"), "session");
  BindingId binding_ = 0;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> connection_;
};

std::function<std::vector<uint8_t>(const Frag&)> Through(const RegionView& view) {
  return [&view](const Frag& frag) {
    const auto bytes = view.bytes().subspan(frag.offset, frag.length_bytes);
    return std::vector<uint8_t>(bytes.begin(), bytes.end());
  };
}

TEST_F(CopyMemoryTest, AStreamGoesOnWhileItsMemoryMovesAndIsEvicted) {
  const auto region = ValueOrFail(
      MemfdProvider().Allocate({.bytes = kRegionBytes, .kind = AttachmentKind::kMayMove}),
      "movable region");
  const RegionView view = ValueOrFail(RegionView::Map(*region), "view");
  uint64_t received = 0;
  uint64_t acts = 0;
  const absl::Status end = Receive(
      *region, Through(view),
      [&] {
        const bool moves = ++acts % 2 == 0;
        EXPECT_TRUE((moves ? region->Move() : region->Evict(0, kRegionBytes)).ok());
      },
      &received);
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_EQ(received, kStreamBytes);
  EXPECT_TRUE(session_->Unbind(binding_).ok());
}

TEST_F(CopyMemoryTest, DeviceMemoryIsWrittenThroughItsEngine) {
  TestDeviceRegion region(kRegionBytes);
  uint64_t received = 0;
  const absl::Status end = Receive(
      region,
      [&](const Frag& frag) {
        const std::lock_guard<std::mutex> lock(region.device().mutex);
        const auto first = region.device().bytes.begin() + static_cast<ptrdiff_t>(frag.offset);
        return std::vector<uint8_t>(first, first + frag.length_bytes);
      },
      [] {}, &received);
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_EQ(received, kStreamBytes);
  EXPECT_TRUE(session_->Unbind(binding_).ok());
  EXPECT_EQ(region.device().engines, 0);
}

TEST_F(CopyMemoryTest, ARevokeInTheMiddleIsToldAtTheNextCallWithItsReason) {
  const auto region = ValueOrFail(
      MemfdProvider().Allocate({.bytes = kRegionBytes, .kind = AttachmentKind::kMayRevoke}),
      "region");
  const RegionView view = ValueOrFail(RegionView::Map(*region), "view");
  uint64_t received = 0;
  const absl::Status end = Receive(
      *region, Through(view), [&] { region->Revoke("wanted back"); }, &received);
  EXPECT_TRUE(absl::IsAborted(end)) << end;
  EXPECT_NE(end.message().find("wanted back"), absl::string_view::npos) << end;
  EXPECT_TRUE(absl::IsAborted(session_->BindingStatus(binding_)));
  // The queue is free again.
  const auto other = ValueOrFail(MemfdProvider().Allocate({.bytes = kRegionBytes}), "region");
  EXPECT_TRUE(session_->Bind(*other, {}).ok());
}

TEST_F(CopyMemoryTest, ABlockedReceiverHearsOfARevoke) {
  const auto region = ValueOrFail(MemfdProvider().Allocate({.bytes = kRegionBytes}), "region");
  binding_ = ValueOrFail(session_->Bind(*region, {}), "binding");
  listener_ = ValueOrFail(session_->Listen({.address = kLoopback}, binding_), "listener");
  const KernelPeer peer = KernelPeer::Connect(kLoopback, listener_->port());
  connection_ = ValueOrFail(listener_->Accept(Soon()), "connection");
  std::thread exporter([&] { region->Revoke("wanted back"); });
  std::array<Frag, 4> frags;
  const absl::Status end = connection_->Recv(frags, Soon()).status();
  exporter.join();
  EXPECT_TRUE(absl::IsAborted(end)) << end;
}

TEST_F(CopyMemoryTest, ARemovalDrainsWhatIsHeldAndThenEndsInOrder) {
  const auto region = ValueOrFail(MemfdProvider().Allocate({.bytes = kRegionBytes}), "region");
  binding_ = ValueOrFail(session_->Bind(*region, {}), "binding");
  listener_ = ValueOrFail(session_->Listen({.address = kLoopback}, binding_), "listener");
  KernelPeer peer = KernelPeer::Connect(kLoopback, listener_->port());
  connection_ = ValueOrFail(listener_->Accept(Soon()), "connection");
  ASSERT_TRUE(peer.SendAll(std::vector<uint8_t>(100'000, 5)));
  std::array<Frag, 4> frags;
  const absl::StatusOr<size_t> held = connection_->Recv(frags, Soon());
  ASSERT_TRUE(held.ok()) << held.status();
  region->BeginRemoval("maintenance");
  EXPECT_TRUE(absl::IsFailedPrecondition(session_->BindingStatus(binding_)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      connection_->Recv(std::span(frags).subspan(*held), session_->Now()).status()));
  EXPECT_TRUE(connection_->Release(std::span(frags).first(*held)).ok());
  EXPECT_TRUE(session_->Remove(*region, "maintenance", Soon()).ok());
  EXPECT_TRUE(absl::IsAborted(session_->BindingStatus(binding_)));
}

}  // namespace
}  // namespace devmem::testing
