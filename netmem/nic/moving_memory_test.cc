// SPDX-License-Identifier: Apache-2.0
//
// A queue whose bound memory is evicted: nothing is delivered that did not land, also where the
// pool gives net_iovs that nobody looked at before.

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "netmem/nic/host_delivery.h"
#include "netmem/nic/wire_nic.h"
#include "provider/attachment.h"
#include "provider/memfd_provider.h"
#include "provider/region_view.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/test_frames.h"

namespace devmem::testing {
namespace {

// More slabs than one call of the pool's slow path looks at.
constexpr uint64_t kBytes = uint64_t{kSlowPathSlabsPerCall + 256} * kSlabBytesDefault;
// Of the slab that has room, and that the first such call does not reach.
constexpr uint32_t kRoomyPiece = kSlowPathSlabsPerCall + 40;

TEST(MovingMemoryTest, WhatThePoolGivesUnaskedIsNotDeliveredFromWhereItDidNotLand) {
  const auto region = ValueOrFail(
      MemfdProvider().Allocate({.bytes = kBytes, .kind = AttachmentKind::kMayMove}), "region");
  const auto attachment = ValueOrFail(Attachment::Create(*region, {.name = "test"}), "attachment");
  const RegionView view = ValueOrFail(RegionView::Map(*region), "view");
  MemoryProvider provider;
  provider.region_id = region->id();
  provider.bytes = kBytes;
  provider.device = true;
  const auto pool = ValueOrFail(PagePool::Create(provider, kFramePayloadBytesMax), "pool");
  TestLink link({.a = {.queue_count = 2}});
  RxQueue& queue = link.a().queue(1);
  ASSERT_TRUE(queue.Bind({pool.get(), &attachment->mapping()}).ok());
  ASSERT_TRUE(link.a().AddRule({.local_port = 5201}, 1).ok());

  // All is held, one slab a piece; then one of them, far behind, comes back and is evicted.
  std::vector<Piece> held(kBytes / kSlabBytesDefault);
  for (Piece& piece : held) {
    ASSERT_EQ(pool->Take(kSlabBytesDefault, std::span(&piece, 1)), 1u);
  }
  // All but its first net_iov, so that it is not whole and only the slow path finds it.
  pool->TrimTail(held[kRoomyPiece], kSlabBytesDefault - kNetIovBytesDefault);
  ASSERT_TRUE(region->Evict(kRoomyPiece * uint64_t{kSlabBytesDefault}, 1).ok());

  const TestFrame sent{.payload = TestPayload(1448)};
  RxBatch batch;
  uint32_t delivered = 0;
  for (int tries = 0; tries < 4 && delivered == 0; ++tries) {
    ASSERT_TRUE(link.a().Inject(sent.Bytes()));
    delivered = queue.Poll(batch);
    if (delivered == 0 || batch.frames[0].placed_bytes == 0) {
      delivered = 0;
      continue;
    }
    const Piece& piece = batch.PiecesOf(batch.frames[0])[0];
    const auto shown = view.bytes().subspan(pool->RegionOffset(piece), piece.length_bytes);
    EXPECT_EQ(std::vector<uint8_t>(shown.begin(), shown.end()), sent.payload) << "try " << tries;
    pool->Put(piece);
  }
  EXPECT_EQ(delivered, 1u);
  EXPECT_EQ(queue.stats().drop_revoked, 1u);  // The try that was written where nothing lies.
  for (const Piece& piece : held) pool->Put(piece);
  queue.Unbind();
  EXPECT_TRUE(pool->Audit().ok()) << pool->Audit();
}

}  // namespace
}  // namespace devmem::testing
