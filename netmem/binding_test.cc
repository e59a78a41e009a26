// SPDX-License-Identifier: Apache-2.0
//
// Bindings: who gets which queue and which bytes, and each refusal with what its message must say.

#include "netmem/binding.h"

#include <gtest/gtest.h>

#include <string>

#include "netmem/page_pool.h"

namespace devmem {
namespace {

constexpr uint64_t kMiB = 1u << 20;

class BindingTest : public testing::Test {
 protected:
  // A request that is granted: 1 MiB at the start of a region of 4 MiB, for queue 1, of owner 7.
  static BindRequest Request() {
    BindRequest request;
    request.owner_id = 7;
    request.region_id = 3;
    request.region_bytes = 4 * kMiB;
    request.range_bytes = kMiB;
    request.queues = {1};
    return request;
  }

  // Binds and expects a refusal whose message has all these parts and that changed nothing.
  void ExpectRefused(const BindRequest& request, absl::StatusCode code,
                     std::initializer_list<const char*> parts) {
    const size_t before = table_.bindings().size();
    const absl::StatusOr<BindingId> bound = table_.Bind(request);
    ASSERT_FALSE(bound.ok());
    EXPECT_EQ(bound.status().code(), code) << bound.status();
    const std::string message(bound.status().message());
    for (const char* part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
    }
    EXPECT_EQ(table_.bindings().size(), before);
  }

  BindingTable table_{4};
};

TEST_F(BindingTest, ABindingRemembersItsOwnerItsRangeAndItsQueue) {
  BindRequest request = Request();
  request.range_offset = 2 * kMiB;
  const absl::StatusOr<BindingId> id = table_.Bind(request);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, 1u);
  const Binding* binding = table_.Find(*id);
  ASSERT_NE(binding, nullptr);
  EXPECT_EQ(binding->id(), *id);
  EXPECT_EQ(binding->owner_id(), 7u);
  EXPECT_EQ(binding->region_id(), 3u);
  EXPECT_EQ(binding->range_offset(), 2 * kMiB);
  EXPECT_EQ(binding->range_bytes(), kMiB);
  EXPECT_EQ(binding->queues(), std::vector<uint32_t>{1});
  EXPECT_EQ(table_.FindByQueue(1), binding);
  EXPECT_EQ(table_.FindByQueue(0), nullptr);
  EXPECT_EQ(table_.FindByQueue(4), nullptr);
}

TEST_F(BindingTest, EachQueueGetsAnEqualSliceOfWholeSlabsInTheOrderOfTheRequest) {
  BindRequest request = Request();
  request.range_offset = kMiB;
  request.range_bytes = kMiB;
  request.queues = {3, 0, 2};
  const absl::StatusOr<BindingId> id = table_.Bind(request);
  ASSERT_TRUE(id.ok()) << id.status();
  const Binding& binding = *table_.Find(*id);
  // A third of 16 slabs is 5 slabs; the sixteenth is left unused.
  const uint64_t slice = 5 * uint64_t{kSlabBytesDefault};
  EXPECT_EQ(binding.slice_bytes(), slice);
  uint64_t offset = kMiB;
  for (const uint32_t queue : {3u, 0u, 2u}) {
    const absl::StatusOr<MemoryProvider> provider = binding.ProviderFor(queue);
    ASSERT_TRUE(provider.ok()) << provider.status();
    EXPECT_EQ(provider->region_id, 3u);
    EXPECT_EQ(provider->region_offset, offset);
    EXPECT_EQ(provider->bytes, slice);
    EXPECT_TRUE(provider->device);
    EXPECT_EQ(provider->net_iov_bytes, kNetIovBytesDefault);
    EXPECT_EQ(provider->slab_bytes, kSlabBytesDefault);
    EXPECT_TRUE(PagePool::Create(*provider, kFramePayloadBytesMax).ok());
    offset += slice;
  }
}

TEST_F(BindingTest, ASliceOfAQueueThatTheBindingDoesNotHaveIsNotFound) {
  const absl::StatusOr<BindingId> id = table_.Bind(Request());
  ASSERT_TRUE(id.ok());
  const absl::Status status = table_.Find(*id)->ProviderFor(2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "queue 2 is not of binding 1 of owner 7");
}

TEST_F(BindingTest, AnEmptyQueueListIsRefused) {
  BindRequest request = Request();
  request.queues.clear();
  ExpectRefused(request, absl::StatusCode::kInvalidArgument, {"names no rx queue", "at least one"});
}

TEST_F(BindingTest, AQueueThatDoesNotExistIsRefusedWithItsNumberAndTheBound) {
  BindRequest request = Request();
  request.queues = {1, 4};
  ExpectRefused(request, absl::StatusCode::kOutOfRange,
                {"rx queue 4 does not exist", "the device has 4, counted from 0"});
  EXPECT_EQ(table_.FindByQueue(1), nullptr);
}

TEST_F(BindingTest, AQueueNamedTwiceIsRefused) {
  BindRequest request = Request();
  request.queues = {1, 2, 1};
  ExpectRefused(request, absl::StatusCode::kInvalidArgument, {"rx queue 1 is named twice"});
}

TEST_F(BindingTest, ABoundQueueIsRefusedAndTheMessageNamesTheBindingAndItsOwner) {
  ASSERT_TRUE(table_.Bind(Request()).ok());
  BindRequest request = Request();
  request.owner_id = 8;
  request.range_offset = kMiB;
  request.queues = {2, 1};
  ExpectRefused(request, absl::StatusCode::kFailedPrecondition,
                {"rx queue 1 is already bound", "binding 1 of owner 7", "unbind that first"});
  EXPECT_EQ(table_.FindByQueue(2), nullptr);
}

TEST_F(BindingTest, ARangeThatEndsBeyondTheRegionIsRefusedWithAllThreeFigures) {
  BindRequest request = Request();
  request.range_offset = 3 * kMiB;
  request.range_bytes = kMiB + 1;
  ExpectRefused(request, absl::StatusCode::kOutOfRange,
                {"range of 1048577 bytes from byte 3145728", "ends beyond region 3",
                 "of 4194304 bytes", "larger region"});
}

TEST_F(BindingTest, ARangeThatStartsBeyondTheRegionIsRefused) {
  BindRequest request = Request();
  request.range_offset = 5 * kMiB;
  ExpectRefused(request, absl::StatusCode::kOutOfRange, {"ends beyond region 3"});
}

TEST_F(BindingTest, ARangeWhoseEndWrapsAroundIsRefused) {
  BindRequest request = Request();
  request.range_offset = 4096;
  request.range_bytes = UINT64_MAX - 4095;
  ExpectRefused(request, absl::StatusCode::kOutOfRange, {"ends beyond region 3"});
}

TEST_F(BindingTest, AnOffsetInsideAPageIsRefusedWithThePageSize) {
  BindRequest request = Request();
  request.range_offset = 6144;
  ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                {"starts at byte 6144 of region 3", "multiple of its page of 4096 bytes"});
  request.page_bytes = 2 * kMiB;
  request.range_offset = kMiB;
  ExpectRefused(request, absl::StatusCode::kInvalidArgument, {"page of 2097152 bytes"});
}

TEST_F(BindingTest, ARangeTooSmallForItsQueuesIsRefusedWithTheBytesNeeded) {
  BindRequest request = Request();
  request.queues = {0, 1, 2};
  request.range_bytes = 3 * kBindingBytesMin - 1;
  ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                {"range of 393215 bytes is too small for 3 queue(s)", "393216 bytes are needed",
                 "131072 for each", "slabs of 65536 bytes"});
  request.range_bytes = 0;
  ExpectRefused(request, absl::StatusCode::kInvalidArgument, {"range of 0 bytes is too small"});
}

TEST_F(BindingTest, WithSlabsLargerThanTheSmallestBindingOneSlabPerQueueIsNeeded) {
  BindRequest request = Request();
  request.queues = {0, 1};
  request.net_iov_bytes = static_cast<uint32_t>(kMiB);
  request.slab_bytes = static_cast<uint32_t>(kMiB);
  request.range_bytes = 2 * kMiB - 1;
  ExpectRefused(request, absl::StatusCode::kInvalidArgument, {"2097152 bytes are needed"});
  request.range_bytes = 2 * kMiB;
  EXPECT_TRUE(table_.Bind(request).ok());
}

TEST_F(BindingTest, TheSmallestRangeIsGranted) {
  BindRequest request = Request();
  request.queues = {0, 1, 2};
  request.range_bytes = 3 * kBindingBytesMin;
  const absl::StatusOr<BindingId> id = table_.Bind(request);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(table_.Find(*id)->slice_bytes(), kBindingBytesMin);
}

TEST_F(BindingTest, SizesThatCannotBeCutAreRefused) {
  BindRequest request = Request();
  request.net_iov_bytes = 3000;
  ExpectRefused(request, absl::StatusCode::kOutOfRange, {"net_iov size is 3000", "2048"});
  request = Request();
  request.slab_bytes = 2048;
  ExpectRefused(request, absl::StatusCode::kInvalidArgument, {"slab size is 2048", "4096"});
}

TEST_F(BindingTest, BytesThatAnotherBindingHasAreRefusedAndTheMessageNamesIt) {
  BindRequest request = Request();
  request.range_offset = kMiB;
  ASSERT_TRUE(table_.Bind(request).ok());
  request.queues = {2};
  request.owner_id = 8;
  request.range_offset = kMiB - 4096;
  ExpectRefused(request, absl::StatusCode::kFailedPrecondition,
                {"bytes 1044480 to 2093056 of region 3", "overlap bytes 1048576 to 2097152",
                 "binding 1 of owner 7"});
  request.range_offset = 2 * kMiB - 4096;
  ExpectRefused(request, absl::StatusCode::kFailedPrecondition, {"overlap"});
  request.range_offset = 0;
  request.range_bytes = 4 * kMiB;
  ExpectRefused(request, absl::StatusCode::kFailedPrecondition, {"overlap"});
}

TEST_F(BindingTest, NeighbouringRangesAndTheSameRangeOfAnotherRegionAreGranted) {
  BindRequest request = Request();
  request.range_offset = kMiB;
  ASSERT_TRUE(table_.Bind(request).ok());
  request.queues = {0};
  request.range_offset = 0;
  EXPECT_TRUE(table_.Bind(request).ok());
  request.queues = {2};
  request.range_offset = 2 * kMiB;
  EXPECT_TRUE(table_.Bind(request).ok());
  request.queues = {3};
  request.range_offset = kMiB;
  request.region_id = 4;
  EXPECT_TRUE(table_.Bind(request).ok());
  EXPECT_EQ(table_.bindings().size(), 4u);
}

TEST_F(BindingTest, UnbindingFreesTheQueuesAndTheRangeButNotTheId) {
  BindRequest request = Request();
  request.queues = {0, 1};
  const absl::StatusOr<BindingId> first = table_.Bind(request);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(table_.Unbind(*first).ok());
  EXPECT_EQ(table_.Find(*first), nullptr);
  EXPECT_EQ(table_.FindByQueue(0), nullptr);
  EXPECT_EQ(table_.FindByQueue(1), nullptr);
  const absl::StatusOr<BindingId> second = table_.Bind(request);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*second, 2u);
}

TEST_F(BindingTest, UnbindingWhatIsNotBoundIsNotFound) {
  const absl::StatusOr<BindingId> id = table_.Bind(Request());
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(table_.Unbind(*id).ok());
  for (const BindingId unknown : {BindingId{0}, *id, BindingId{9}}) {
    const absl::Status status = table_.Unbind(unknown);
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_NE(status.message().find("no binding " + std::to_string(unknown)), std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace devmem
