// SPDX-License-Identifier: Apache-2.0
//
// A whole session whose region lies on a GPU, through the fake driver (provider/fake_cuda.h): the
// stream is staged, copied, hashed on the device and released by its events; and the GPU is lost in
// the middle of it.

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "provider/cuda_fence.h"
#include "provider/device_sha256.h"
#include "provider/test_cuda.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint64_t kRegionBytes = 1 << 20;
constexpr uint64_t kStreamBytes = 6 << 20;

class CudaSessionTest : public CudaTest {
 protected:
  CudaSessionTest() {
    WireWorldOptions options;
    options.region_bytes = 0;
    world_.emplace(options);
    region_ = MakeCudaRegion(kRegionBytes);
    binding_ = ValueOrFail(world_->server().Bind(*region_, {}), "binding on a GPU");
    listener_ = ValueOrFail(
        world_->server().Listen({.address = kServerAddress, .port = kPort}, *binding_), "listener");
    connections_ = world_->Open(*listener_);
  }

  void TearDown() override {
    FakeCuda().set_pace(FakeCudaPace::kAtOnce);
    world_->StopTasks();
    connections_ = {};
    listener_.reset();
    world_->Settle();
    if (binding_.has_value()) {
      EXPECT_TRUE(world_->server().Unbind(*binding_).ok());
    }
    world_->ExpectNothingLeft();
    EXPECT_EQ(FakeCuda().counts().host_ranges, 0);
  }

  // What the frags hold on the device when they are handed out, checked against the stream.
  void CheckOnDevice(std::span<const Frag> frags, std::vector<uint8_t>* stream) {
    for (const Frag& frag : frags) {
      const std::vector<uint8_t> bytes = Peek(*region_, frag.offset, frag.length_bytes);
      EXPECT_FALSE(FindMismatch(1, stream->size(), bytes).has_value()) << stream->size();
      stream->insert(stream->end(), bytes.begin(), bytes.end());
    }
  }

  std::optional<WireWorld> world_;
  std::unique_ptr<CudaRegion> region_;
  std::optional<BindingId> binding_;
  std::unique_ptr<Listener> listener_;
  ConnectionPair connections_;
};

// The device lags behind all the time: each question about an event does one piece of its work.
TEST_F(CudaSessionTest, AStreamIsOnTheGpuWhenItsFragsAreHandedOutAndHashedThere) {
  FakeCuda().set_pace(FakeCudaPace::kStep);
  auto hash = ValueOrFail(CreateDeviceSha256(*region_), "hash");
  const int copied_before = FakeCuda().counts().pageable_copies;
  world_->PumpFrom(*connections_.client, 1, kStreamBytes);
  std::vector<uint8_t> stream;
  std::array<Frag, 64> frags;
  for (;;) {
    const absl::StatusOr<size_t> count = connections_.server->Recv(frags);
    ASSERT_TRUE(count.ok()) << count.status();
    if (*count == 0) break;
    const std::span<const Frag> got = std::span(frags).first(*count);
    CheckOnDevice(got, &stream);
    std::vector<RegionPiece> pieces;
    for (const Frag& frag : got) pieces.push_back({frag.offset, frag.length_bytes});
    auto read = hash->Update(pieces);
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_TRUE(connections_.server->Release(got, Fence::FromCallback(*std::move(read))).ok());
  }
  EXPECT_EQ(stream.size(), kStreamBytes);
  EXPECT_EQ(FakeCuda().counts().pageable_copies, copied_before);
  std::array<uint8_t, 32> expected;
  SHA256(stream.data(), stream.size(), expected.data());
  EXPECT_EQ(*hash->Finish(), expected);
  EXPECT_EQ(world_->ServerStatistic("payload_bytes_staged"), kStreamBytes);
}

TEST_F(CudaSessionTest, AGpuLostInMidStreamEndsItsConnectionsWithTheDriversReason) {
  const auto other_listener = world_->Listen(false, 80);
  ConnectionPair other = world_->Open(*other_listener);
  world_->PumpFrom(*connections_.client, 1, kStreamBytes);
  std::array<Frag, 8> frags;
  const absl::StatusOr<size_t> held = connections_.server->Recv(frags);
  ASSERT_TRUE(held.ok()) << held.status();
  // Nobody revokes: the queue's own engine finds the loss at its next question.
  FakeCuda().lose(0, CUDA_ERROR_ECC_UNCORRECTABLE);
  absl::StatusOr<size_t> next = connections_.server->Recv(std::span(frags).subspan(*held));
  while (next.ok() && *next > 0) next = connections_.server->Recv(std::span(frags).last(1));
  EXPECT_TRUE(absl::IsAborted(next.status())) << next.status();
  const absl::Status binding = world_->server().BindingStatus(*binding_);
  EXPECT_TRUE(absl::IsAborted(binding)) << binding;
  EXPECT_NE(binding.message().find("device lost: CUDA_ERROR_ECC_UNCORRECTABLE"),
            absl::string_view::npos)
      << binding;
  // The other one, in host memory, goes on.
  ASSERT_TRUE(other.client->Send(std::array<uint8_t, 3>{1, 2, 3}).ok());
  std::array<uint8_t, 8> bytes{};
  EXPECT_EQ(*other.server->Read(bytes), 3u);
  EXPECT_TRUE(world_->server().Unbind(*binding_).ok());
  binding_.reset();
}

// What kernels of the application still read goes back only when their event says so.
TEST_F(CudaSessionTest, FragsGoBackWhenTheApplicationsStreamIsDone) {
  world_->PumpFrom(*connections_.client, 1, 20'000);
  std::array<Frag, 4> frags;
  const absl::StatusOr<size_t> count = connections_.server->Recv(frags);
  ASSERT_TRUE(count.ok()) << count.status();
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  ASSERT_EQ(api().DevicePrimaryCtxRetain(&context, 100), CUDA_SUCCESS);
  ASSERT_EQ(api().CtxPushCurrent(context), CUDA_SUCCESS);
  ASSERT_EQ(api().StreamCreate(&stream, 0), CUDA_SUCCESS);
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  const auto done = CudaEventDone::Record(*region_, stream);
  ASSERT_TRUE(done.ok()) << done.status();
  ASSERT_TRUE(
      connections_.server->Release(std::span(frags).first(*count), Fence::FromCallback(*done))
          .ok());
  (void)world_->server().Drive();
  EXPECT_GT(world_->server().account(*binding_)->used, 0u);
  ASSERT_EQ(api().StreamSynchronize(stream), CUDA_SUCCESS);
  FakeCuda().set_pace(FakeCudaPace::kAtOnce);
  (void)world_->server().Drive();
  (void)api().StreamDestroy(stream);
  (void)api().CtxPopCurrent(&context);
  (void)api().DevicePrimaryCtxRelease(100);
}

}  // namespace
}  // namespace devmem::testing
