// SPDX-License-Identifier: Apache-2.0
//
// Receiving into memory that the NIC cannot write: what reaches the user, when, and what becomes of
// it when the device is slow, full or lost.

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "selftests/testing/device_region.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kRegionBytes = 1 << 20;
constexpr uint64_t kStreamBytes = 6 << 20;

WireWorldOptions WithoutRegion() {
  WireWorldOptions options;
  options.region_bytes = 0;
  return options;
}

class StackStagingTest : public ::testing::Test {
 protected:
  void Bind() { binding_ = ValueOrFail(world_.server().Bind(region_, {}), "staged binding"); }
  void TearDown() override {
    region_.device().asks_per_batch = 0;
    world_.StopTasks();
    connections_ = {};
    listener_.reset();
    world_.Settle();
    if (binding_.has_value()) {
      EXPECT_TRUE(world_.server().Unbind(*binding_).ok());
    }
    world_.ExpectNothingLeft();
    EXPECT_EQ(region_.device().engines, 0);
    EXPECT_EQ(region_.life()->user_count(), 0u);
  }

  void Open() {
    listener_ = ValueOrFail(
        world_.server().Listen({.address = kServerAddress, .port = kPort}, *binding_), "listener");
    connections_ = world_.Open(*listener_);
  }

  // The device's own copy of a frag, as a kernel on the device would see it.
  std::vector<uint8_t> OnDevice(const Frag& frag) {
    const std::lock_guard<std::mutex> lock(region_.device().mutex);
    const auto first = region_.device().bytes.begin() + static_cast<ptrdiff_t>(frag.offset);
    return {first, first + frag.length_bytes};
  }

  // Receives until the end of the stream, or a refusal. Checks every byte on the device at the
  // moment it is handed out.
  absl::Status ReceiveAll(uint64_t* received) {
    std::array<Frag, 64> frags;
    while (true) {
      const absl::StatusOr<size_t> count = connections_.server->Recv(frags);
      if (!count.ok()) return count.status();
      if (*count == 0) return absl::OkStatus();
      for (const Frag& frag : std::span(frags).first(*count)) {
        EXPECT_EQ(frag.region_id, region_.id());
        EXPECT_FALSE(FindMismatch(1, *received, OnDevice(frag)).has_value()) << *received;
        *received += frag.length_bytes;
      }
      EXPECT_TRUE(connections_.server->Release(std::span(frags).first(*count)).ok());
    }
  }

  WireWorld world_{WithoutRegion()};
  TestDeviceRegion region_{kRegionBytes};
  std::optional<BindingId> binding_;
  std::unique_ptr<Listener> listener_;
  ConnectionPair connections_;
};

TEST_F(StackStagingTest, FragsAreHandedOutOnlyWhenTheirBytesAreOnTheDevice) {
  Bind();
  Open();
  world_.PumpFrom(*connections_.client, 1, kStreamBytes);
  uint64_t received = 0;
  EXPECT_TRUE(ReceiveAll(&received).ok());
  EXPECT_EQ(received, kStreamBytes);
  EXPECT_EQ(world_.ServerStatistic("payload_bytes_staged"), kStreamBytes);
  EXPECT_EQ(world_.ServerStatistic("payload_bytes_bounced"), kStreamBytes);
  EXPECT_EQ(world_.ServerStatistic("missteered_bytes"), 0u);
}

TEST_F(StackStagingTest, ASlowDevicePushesThePeerBackAndLosesNothing) {
  region_.device().asks_per_batch = 40;
  Bind();
  Open();
  world_.PumpFrom(*connections_.client, 1, kStreamBytes);
  uint64_t received = 0;
  EXPECT_TRUE(ReceiveAll(&received).ok());
  EXPECT_EQ(received, kStreamBytes);
}

TEST_F(StackStagingTest, NetIovsOnTheirWayCountAsStaged) {
  region_.device().asks_per_batch = 1u << 30;
  Bind();
  Open();
  world_.PumpFrom(*connections_.client, 1, 100'000);
  ASSERT_TRUE(world_.RunUntil([&] { return world_.server().account(*binding_)->staged > 3; }));
  const Account account = *world_.server().account(*binding_);
  EXPECT_TRUE(account.balanced()) << account.ToString();
  EXPECT_EQ(account.used, 0u) << account.ToString();
  EXPECT_TRUE(world_.server_stack().Audit().ok()) << world_.server_stack().Audit();
  std::array<Frag, 4> frags;
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      connections_.server->Recv(frags, world_.now() + kMillisecond).status()));
}

TEST_F(StackStagingTest, UnbindingWaitsForCopiesAndPutsEverythingBack) {
  region_.device().asks_per_batch = 1u << 30;
  Bind();
  Open();
  world_.PumpFrom(*connections_.client, 1, 300'000);
  ASSERT_TRUE(world_.RunUntil([&] { return world_.server().account(*binding_)->staged > 3; }));
  EXPECT_TRUE(world_.server().Unbind(*binding_).ok());
  binding_.reset();
  EXPECT_EQ(region_.device().engines, 0);
  std::array<Frag, 4> frags;
  EXPECT_TRUE(absl::IsUnavailable(connections_.server->Recv(frags).status()));
}

TEST_F(StackStagingTest, ALostDeviceEndsItsConnectionsWithTheReasonAndNoOthers) {
  Bind();
  Open();
  const auto other_listener = world_.Listen(false, 80);
  ConnectionPair other = world_.Open(*other_listener);
  world_.PumpFrom(*connections_.client, 1, kStreamBytes);
  std::array<Frag, 8> frags;
  const absl::StatusOr<size_t> held = connections_.server->Recv(frags);
  ASSERT_TRUE(held.ok()) << held.status();
  region_.Lose();
  const absl::Status end = connections_.server->Recv(std::span(frags).subspan(*held)).status();
  EXPECT_TRUE(absl::IsAborted(end)) << end;
  EXPECT_TRUE(absl::IsInvalidArgument(connections_.server->Release(std::span(frags).first(*held))));
  const absl::Status binding = world_.server().BindingStatus(*binding_);
  EXPECT_TRUE(absl::IsAborted(binding)) << binding;
  EXPECT_NE(binding.message().find("unplugged"), absl::string_view::npos) << binding;
  EXPECT_TRUE(absl::IsAborted(world_.server().account(*binding_).status()));
  // The other one, in host memory, goes on.
  ASSERT_TRUE(other.client->Send(std::array<uint8_t, 3>{1, 2, 3}).ok());
  std::array<uint8_t, 8> bytes{};
  EXPECT_EQ(*other.server->Read(bytes), 3u);
  // The queue can be bound again, to memory that is there.
  EXPECT_TRUE(world_.server().Unbind(*binding_).ok());
  binding_.reset();
  const auto memory = world_.server().Allocate({.bytes = kRegionBytes});
  const absl::StatusOr<BindingId> again = world_.server().Bind(**memory, {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(world_.server().Unbind(*again).ok());
}

TEST_F(StackStagingTest, ABindingIsNotEndedUnderADeviceThatStillReads) {
  Bind();
  Open();
  world_.PumpFrom(*connections_.client, 1, 20'000);
  std::array<Frag, 4> frags;
  const absl::StatusOr<size_t> count = connections_.server->Recv(frags);
  ASSERT_TRUE(count.ok()) << count.status();
  bool signaled = false;
  ASSERT_TRUE(
      connections_.server
          ->Release(std::span(frags).first(*count), Fence::FromCallback([&] { return signaled; }))
          .ok());
  const absl::Status refused = world_.server().Unbind(*binding_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_GT(world_.server().account(*binding_)->used, 0u);
  signaled = true;
  (void)world_.server().Drive();
  EXPECT_TRUE(world_.server().Unbind(*binding_).ok());
  binding_.reset();
}

TEST_F(StackStagingTest, StagingMemoryIsChargedToTheSessionsQuotaAndRefusedBeyondIt) {
  const auto quota = Quota::Create({.staged_bytes = kStagingBytesPerQueue});
  WireWorldOptions options = WithoutRegion();
  options.link.b.queue_count = 3;
  options.server.quota = quota;
  options.server.quota_user = "tester";
  WireWorld world(options);
  const absl::Status refused = world.server().Bind(region_, {.queues = {1, 2}}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_EQ(quota->UsageOf("tester").staged_bytes, 0u);
  const absl::StatusOr<BindingId> bound = world.server().Bind(region_, {.queues = {1}});
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ(quota->UsageOf("tester").staged_bytes, kStagingBytesPerQueue);
  EXPECT_TRUE(world.server().Unbind(*bound).ok());
  EXPECT_EQ(quota->UsageOf("tester").staged_bytes, 0u);
}

// Whoever waits for something that ends meanwhile is told at once, and not at the deadline.
TEST_F(StackStagingTest, ARevokeEndsEveryWaitAtOnceWithItsReason) {
  Bind();
  Open();
  region_.Revoke("wanted back");
  const Nanos before = world_.now();
  const Nanos patience = before + 100 * kSecond;
  std::array<Frag, 4> frags;
  EXPECT_TRUE(absl::IsAborted(listener_->Accept(patience).status()));
  EXPECT_TRUE(absl::IsAborted(connections_.server->Recv(frags, patience).status()));
  EXPECT_TRUE(
      absl::IsAborted(connections_.server->Send(std::array<uint8_t, 1>{1}, patience).status()));
  EXPECT_TRUE(absl::IsAborted(connections_.server->Flush(patience)));
  EXPECT_LT(world_.now(), before + kSecond);
}

// Closed in order by both sides, all received, but not read: what is lost must not look like an
// end.
TEST_F(StackStagingTest, UnreadBytesThatGoWithTheirMemoryAreNoEndOfStream) {
  Bind();
  Open();
  ASSERT_TRUE(connections_.client->Send(std::vector<uint8_t>(5000, 7)).ok());
  ASSERT_TRUE(connections_.client->Shutdown().ok());
  ASSERT_TRUE(connections_.server->Shutdown().ok());
  world_.Run(10 * kSecond);
  region_.Revoke("wanted back");
  std::array<Frag, 4> frags;
  const auto end = connections_.server->Recv(frags);
  EXPECT_TRUE(absl::IsAborted(end.status())) << end.status();
}

TEST_F(StackStagingTest, BytesAreReadBackThroughTheDevice) {
  Bind();
  Open();
  world_.PumpFrom(*connections_.client, 1, 50'000);
  std::vector<uint8_t> bytes(50'000);
  size_t done = 0;
  while (done < bytes.size()) {
    const auto count = connections_.server->Read(std::span(bytes).subspan(done));
    ASSERT_TRUE(count.ok()) << count.status();
    done += *count;
  }
  EXPECT_FALSE(FindMismatch(1, 0, bytes).has_value());
  EXPECT_EQ(world_.ServerStatistic("bytes_read_back"), 50'000u);
}

}  // namespace
}  // namespace devmem::testing
