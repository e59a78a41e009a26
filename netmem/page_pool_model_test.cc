// SPDX-License-Identifier: Apache-2.0
//
// The page pool against a naive model under seeded random operations. The model keeps a reference
// count for every net_iov, the list of all pieces, the stack of slabs and the posted window as a
// plain list of net_iovs; after every step the window, the pieces, the account and the audit must
// agree.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <ostream>
#include <random>
#include <utility>
#include <vector>

#include "netmem/page_pool.h"

namespace devmem {
namespace {

struct Shape {
  const char* name;
  uint32_t net_iov_bytes;
  uint32_t net_iovs_per_slab;
  uint32_t slabs;
  uint32_t post_bytes;
  uint32_t take_bytes_max;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

// What the pool should look like. Grows its window only by what the pool was seen to post, and
// checks that this was permitted.
class PoolModel {
 public:
  explicit PoolModel(const Shape& shape)
      : shape_(shape), refs_(size_t{shape.slabs} * shape.net_iovs_per_slab, 0) {}

  uint64_t window_bytes() const {
    return window_.size() * uint64_t{shape_.net_iov_bytes} - cursor_bytes_;
  }
  // Where the window begins, in bytes of the range; only for a window that is not empty.
  uint64_t cursor() const {
    return uint64_t{window_.front()} * shape_.net_iov_bytes + cursor_bytes_;
  }
  bool slab_is_free() const { return !stack_.empty() || fresh_ < shape_.slabs; }
  uint64_t returning_count() const { return account().returning; }

  // The stretches of neighbouring bytes that the first `bytes` of the window are made of.
  std::vector<PagePool::Run> Front(uint64_t bytes) const {
    std::vector<PagePool::Run> runs;
    uint64_t inside = cursor_bytes_;
    for (size_t n = 0; bytes > 0 && n < window_.size(); ++n, inside = 0) {
      const uint64_t offset = uint64_t{window_[n]} * shape_.net_iov_bytes + inside;
      const uint64_t part = std::min(bytes, shape_.net_iov_bytes - inside);
      if (runs.empty() || runs.back().offset + runs.back().bytes != offset) {
        runs.push_back({offset, 0});
      }
      runs.back().bytes += static_cast<uint32_t>(part);
      bytes -= part;
    }
    return runs;
  }

  // The pool moved its cursor on. Net_iovs left behind are not open any more.
  void Advance(uint64_t bytes) {
    cursor_bytes_ += bytes;
    while (cursor_bytes_ >= shape_.net_iov_bytes) {
      cursor_bytes_ -= shape_.net_iov_bytes;
      const uint32_t index = window_.front();
      window_.pop_front();
      Unref(index, 1);
    }
  }

  // Adds `delta` pieces on every net_iov that these bytes touch.
  void RefBytes(uint64_t offset, uint64_t bytes) {
    for (uint64_t i = offset / shape_.net_iov_bytes;
         i <= (offset + bytes - 1) / shape_.net_iov_bytes; ++i) {
      ++refs_[i];
    }
  }
  void UnrefBytes(uint64_t offset, uint64_t bytes) {
    for (uint64_t i = offset / shape_.net_iov_bytes;
         i <= (offset + bytes - 1) / shape_.net_iov_bytes; ++i) {
      Unref(static_cast<uint32_t>(i), 1);
    }
  }

  // The pool posted these net_iovs behind the window, in this order.
  void Posted(const std::vector<uint32_t>& appended) {
    for (size_t n = 0; n < appended.size();) {
      if (!slab_is_free()) {
        ASSERT_EQ(refs_[appended[n]], 0u) << "posted a net_iov that is held";
        Open(appended[n++]);
        gathered_ = true;
        continue;
      }
      // Last freed first, then the next that was never used; always whole and ascending.
      uint32_t slab = fresh_;
      if (stack_.empty()) {
        ++fresh_;
      } else {
        slab = stack_.back();
        stack_.pop_back();
      }
      ++refills_;
      for (uint32_t i = 0; i < shape_.net_iovs_per_slab; ++i, ++n) {
        ASSERT_LT(n, appended.size());
        ASSERT_EQ(appended[n], slab * shape_.net_iovs_per_slab + i);
        Open(appended[n]);
      }
    }
  }

  void CloseWindow() {
    for (const uint32_t index : std::exchange(window_, {})) Unref(index, 1);
    cursor_bytes_ = 0;
  }

  const std::deque<uint32_t>& window() const { return window_; }
  uint64_t refills() const { return refills_; }
  bool gathered() const { return gathered_; }
  uint32_t refs(size_t index) const { return refs_[index]; }

  Account account() const {
    Account account;
    account.total = refs_.size();
    account.open = window_.size();
    for (uint32_t slab = 0; slab < shape_.slabs; ++slab) {
      const auto first = refs_.begin() + slab * shape_.net_iovs_per_slab;
      const auto live = static_cast<uint64_t>(
          shape_.net_iovs_per_slab - std::count(first, first + shape_.net_iovs_per_slab, 0u));
      (live == 0 ? account.free : account.returning) += shape_.net_iovs_per_slab - live;
      account.used += live;
    }
    account.used -= account.open;
    return account;
  }

 private:
  void Open(uint32_t index) {
    window_.push_back(index);
    ++refs_[index];
  }
  void Unref(uint32_t index, uint32_t count) {
    refs_[index] -= count;
    const uint32_t slab = index / shape_.net_iovs_per_slab;
    const auto first = refs_.begin() + slab * shape_.net_iovs_per_slab;
    if (refs_[index] == 0 && std::count(first, first + shape_.net_iovs_per_slab, 0u) ==
                                 static_cast<ptrdiff_t>(shape_.net_iovs_per_slab)) {
      stack_.push_back(slab);
    }
  }

  const Shape shape_;
  std::vector<uint32_t> refs_;   // Pieces that touch a net_iov, + 1 while it is in the window.
  std::deque<uint32_t> window_;  // Net_iovs in posted order; the cursor stands in the first.
  uint64_t cursor_bytes_ = 0;    // How far it stands into it.
  std::vector<uint32_t> stack_;  // Whole slabs, freed last at the end.
  uint32_t fresh_ = 0;
  uint64_t refills_ = 0;
  bool gathered_ = false;
};

class PagePoolModelTest : public testing::TestWithParam<Shape> {
 protected:
  PagePoolModelTest() : shape_(GetParam()), model_(shape_) {
    absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(
        {.bytes = uint64_t{shape_.slabs} * shape_.net_iovs_per_slab * shape_.net_iov_bytes,
         .device = true,
         .net_iov_bytes = shape_.net_iov_bytes,
         .slab_bytes = shape_.net_iovs_per_slab * shape_.net_iov_bytes},
        shape_.post_bytes);
    EXPECT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
  }

  uint32_t Below(uint64_t bound) { return static_cast<uint32_t>(random_() % bound); }
  Piece& AnyPiece() { return pieces_[Below(pieces_.size())]; }
  uint64_t EndOf(const Piece& piece) const {
    return pool_->RangeOffset(piece) + piece.length_bytes;
  }

  // The pool's posted window as net_iovs, by looking at it only through Posted().
  std::vector<uint32_t> PostedNetIovs() {
    std::vector<uint32_t> net_iovs;
    for (const PagePool::Run& run : pool_->Posted()) {
      EXPECT_GT(run.bytes, 0u);
      for (uint64_t at = run.offset / shape_.net_iov_bytes;
           at < (run.offset + run.bytes) / shape_.net_iov_bytes; ++at) {
        net_iovs.push_back(static_cast<uint32_t>(at));
      }
    }
    return net_iovs;
  }

  // Lets the pool top up, tells the model what came behind the window, and checks that the pool did
  // not stop early.
  void Post() {
    const std::vector<uint32_t> now = PostedNetIovs();
    const std::deque<uint32_t>& before = model_.window();
    ASSERT_GE(now.size(), before.size());
    ASSERT_TRUE(std::equal(before.begin(), before.end(), now.begin()));
    model_.Posted({now.begin() + static_cast<ptrdiff_t>(before.size()), now.end()});
    ASSERT_EQ(pool_->posted_bytes(), model_.window_bytes());
    if (pool_->posted_bytes() < shape_.post_bytes) {
      ASSERT_TRUE(pool_->Posted().size() == kPostedRunsMax ||
                  (!model_.slab_is_free() && model_.returning_count() == 0));
    }
    const std::vector<PagePool::Run> expected = model_.Front(UINT64_MAX);
    const std::span<const PagePool::Run> runs = pool_->Posted();
    ASSERT_EQ(runs.size(), expected.size());
    for (size_t n = 0; n < runs.size(); ++n) {
      ASSERT_EQ(runs[n].offset, expected[n].offset);
      ASSERT_EQ(runs[n].bytes, expected[n].bytes);
    }
  }

  void Take() {
    Post();
    uint32_t bytes = 1 + Below(shape_.take_bytes_max);
    if (Below(8) == 0 && pool_->posted_bytes() != 0) bytes = pool_->Posted()[0].bytes;
    if (Below(8) == 0) bytes = pool_->posted_bytes() + Below(2);
    const std::vector<PagePool::Run> expected = model_.Front(bytes);
    std::array<Piece, kPostedRunsMax> out;
    const size_t room = Below(16) == 0 ? Below(3) : out.size();
    const uint32_t count = pool_->Take(bytes, std::span(out).first(room));
    if (bytes == 0 || bytes > model_.window_bytes() || expected.size() > room) {
      ASSERT_EQ(count, 0u);
      if (bytes != 0) ++failed_;
      return;
    }
    ++taken_;
    ASSERT_EQ(count, expected.size());
    for (uint32_t n = 0; n < count; ++n) {
      ASSERT_TRUE(out[n].netmem.is_device());
      ASSERT_LT(out[n].offset_bytes, shape_.net_iov_bytes);
      ASSERT_EQ(pool_->RangeOffset(out[n]), expected[n].offset);
      ASSERT_EQ(out[n].length_bytes, expected[n].bytes);
      model_.RefBytes(expected[n].offset, expected[n].bytes);
      pieces_.push_back(out[n]);
    }
    model_.Advance(bytes);
  }

  void Alloc() {
    Post();
    const uint64_t inside = model_.window().empty() ? 0 : model_.cursor() % shape_.net_iov_bytes;
    if (inside != 0) model_.Advance(shape_.net_iov_bytes - inside);
    const NetmemRef netmem = pool_->Alloc();
    if (netmem.is_null()) {
      ++failed_;
      ASSERT_TRUE(model_.window().empty());
      ASSERT_FALSE(model_.slab_is_free());
      ASSERT_EQ(model_.returning_count(), 0u);
      return;
    }
    ++taken_;
    if (model_.window().empty()) {
      // The rest that it skipped was all there was, and what it posted then came from that.
      std::vector<uint32_t> posted = {netmem.index()};
      const std::vector<uint32_t> more = PostedNetIovs();
      posted.insert(posted.end(), more.begin(), more.end());
      model_.Posted(posted);
    }
    ASSERT_EQ(netmem.index(), model_.window().front());
    const Piece piece{netmem, 0, shape_.net_iov_bytes};
    model_.RefBytes(pool_->RangeOffset(piece), piece.length_bytes);
    pieces_.push_back(piece);
    model_.Advance(shape_.net_iov_bytes);
  }

  void Ref() {
    const Piece piece = AnyPiece();
    pool_->Ref(piece);
    model_.RefBytes(pool_->RangeOffset(piece), piece.length_bytes);
    pieces_.push_back(piece);
  }

  void Put() {
    std::swap(AnyPiece(), pieces_.back());
    const Piece piece = pieces_.back();
    pieces_.pop_back();
    pool_->Put(piece);
    model_.UnrefBytes(pool_->RangeOffset(piece), piece.length_bytes);
  }

  // Up to a net_iov boundary, one byte beside it or anywhere.
  uint32_t CutOf(const Piece& piece) {
    uint32_t cut = Below(piece.length_bytes);
    if (Below(2) == 0) {
      const uint32_t to_boundary = shape_.net_iov_bytes - piece.offset_bytes + Below(3) - 1;
      if (to_boundary < piece.length_bytes) cut = to_boundary;
    }
    return cut;
  }

  // The model takes the references of what stays before it lets those of the whole go.
  void Replace(const Piece& whole, const Piece& kept) {
    model_.RefBytes(pool_->RangeOffset(kept), kept.length_bytes);
    model_.UnrefBytes(pool_->RangeOffset(whole), whole.length_bytes);
  }

  void Trim() {
    Piece& piece = AnyPiece();
    const Piece whole = piece;
    const uint32_t bytes = CutOf(piece);
    if (Below(2) == 0) {
      pool_->TrimHead(piece, bytes);
      ASSERT_EQ(pool_->RangeOffset(piece), pool_->RangeOffset(whole) + bytes);
      ASSERT_EQ(EndOf(piece), EndOf(whole));
    } else {
      pool_->TrimTail(piece, bytes);
      ASSERT_EQ(pool_->RangeOffset(piece), pool_->RangeOffset(whole));
      ASSERT_EQ(EndOf(piece), EndOf(whole) - bytes);
    }
    ASSERT_LT(piece.offset_bytes, shape_.net_iov_bytes);
    Replace(whole, piece);
  }

  void Split() {
    Piece& piece = AnyPiece();
    const Piece whole = piece;
    const uint32_t bytes = CutOf(piece);
    if (bytes == 0) return;
    const Piece rest = pool_->Split(piece, bytes);
    ASSERT_EQ(piece, (Piece{whole.netmem, whole.offset_bytes, bytes}));
    ASSERT_EQ(pool_->RangeOffset(rest), EndOf(piece));
    ASSERT_EQ(EndOf(rest), EndOf(whole));
    ASSERT_LT(rest.offset_bytes, shape_.net_iov_bytes);
    model_.RefBytes(pool_->RangeOffset(rest), rest.length_bytes);
    Replace(whole, piece);
    pieces_.push_back(rest);
  }

  // Looks for a neighbour first, so that most attempts succeed.
  void Merge() {
    const size_t first = Below(pieces_.size());
    size_t second = Below(pieces_.size());
    for (size_t n = 0; n < pieces_.size(); ++n) {
      if (pool_->RangeOffset(pieces_[n]) == EndOf(pieces_[first])) second = n;
    }
    Piece& piece = pieces_[first];
    const Piece before = piece;
    const Piece next = pieces_[second];
    const bool touches = EndOf(before) == pool_->RangeOffset(next);
    ASSERT_EQ(pool_->Merge(piece, next), touches);
    if (!touches) {
      ASSERT_EQ(piece, before);
      return;
    }
    ++merged_;
    ASSERT_EQ(piece,
              (Piece{before.netmem, before.offset_bytes, before.length_bytes + next.length_bytes}));
    model_.RefBytes(pool_->RangeOffset(piece), piece.length_bytes);
    model_.UnrefBytes(pool_->RangeOffset(before), before.length_bytes);
    model_.UnrefBytes(pool_->RangeOffset(next), next.length_bytes);
    pieces_.erase(pieces_.begin() + static_cast<ptrdiff_t>(second));
  }

  void CloseWindow() {
    pool_->CloseWindow();
    model_.CloseWindow();
    ASSERT_EQ(pool_->posted_bytes(), 0u);
  }

  void Check() {
    ASSERT_TRUE(pool_->Audit().ok()) << pool_->Audit();
    ASSERT_EQ(pool_->account().ToString(), model_.account().ToString());
    const Account account = pool_->account();
    ASSERT_EQ(pool_->available_bytes(), (account.total - account.used) * shape_.net_iov_bytes);
    ASSERT_EQ(pool_->stats().alloc_fast.value(), taken_);
    ASSERT_EQ(pool_->stats().alloc_failed.value(), failed_);
    // The model's counts are themselves checked against the pieces, from nothing.
    std::vector<uint32_t> refs(account.total, 0);
    for (const Piece& piece : pieces_) {
      const uint64_t last = (EndOf(piece) - 1) / shape_.net_iov_bytes;
      for (uint64_t i = piece.netmem.index(); i <= last; ++i) ++refs[i];
    }
    for (const uint32_t index : model_.window()) ++refs[index];
    for (size_t i = 0; i < refs.size(); ++i) ASSERT_EQ(refs[i], model_.refs(i)) << i;
  }

  void Step(bool filling) {
    const uint32_t action = Below(1000);
    if (action < (filling ? 600u : 250u)) return Take();
    if (action < (filling ? 650u : 270u)) return Alloc();
    if (action < 655) return action < 652 ? Post() : CloseWindow();
    if (pieces_.empty()) return;
    if (action < 670) return Ref();
    if (action < 740) return Trim();
    if (action < 800) return Split();
    if (action < 870) return Merge();
    Put();
  }

  const Shape shape_;
  std::unique_ptr<PagePool> pool_;
  PoolModel model_;
  std::vector<Piece> pieces_;
  std::mt19937_64 random_{20250314};
  uint64_t taken_ = 0;
  uint64_t failed_ = 0;
  uint64_t merged_ = 0;
};

TEST_P(PagePoolModelTest, RandomOperationsAgreeWithTheModel) {
  for (int n = 0; n < 30000; ++n) {
    // Long phases of draining and of filling up, so that an empty and a full pool are both met.
    const bool filling = n / 400 % 2 == 1;
    if (!filling && pieces_.size() > 8 && Below(3) == 0) Put();
    ASSERT_NO_FATAL_FAILURE(Step(filling)) << "step " << n;
    ASSERT_NO_FATAL_FAILURE(Check()) << "step " << n;
  }
  while (!pieces_.empty()) Put();
  CloseWindow();
  ASSERT_NO_FATAL_FAILURE(Check());
  EXPECT_EQ(pool_->account().free, pool_->net_iov_count());
  EXPECT_TRUE(pool_->account().idle());
  // The run was worth something: each path was taken.
  EXPECT_EQ(pool_->stats().alloc_refill.value(), model_.refills());
  EXPECT_EQ(pool_->stats().alloc_slow.value() > 0, model_.gathered());
  EXPECT_EQ(model_.gathered(), shape_.net_iovs_per_slab > 1);
  EXPECT_GT(failed_, 10u);
  EXPECT_GT(merged_, 100u);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PagePoolModelTest,
    testing::Values(Shape{"OneSmallestNetIov", 2048, 1, 1, 2048, 1500},
                    Shape{"OneSlab", 4096, 4, 1, 16384, 6000},
                    Shape{"ThreeNetIovsInSlabsOfOne", 4096, 1, 3, 8192, 6000},
                    Shape{"SmallSlabs", 2048, 2, 16, 8192, 4000},
                    Shape{"PostsLessThanANetIov", 4096, 2, 8, 1, 3000},
                    Shape{"PostsManySlabs", 2048, 4, 32, 65536, 20000},
                    Shape{"SlabsOfOneNetIovAndLargeFrames", 2048, 1, 96, 65536, 65536},
                    Shape{"TheDefaultCut", 4096, 16, 8, 65536, 40000},
                    Shape{"LargeNetIovs", 65536, 2, 6, 65536, 30000}),
    [](const testing::TestParamInfo<Shape>& shape) { return std::string(shape.param.name); });

}  // namespace
}  // namespace devmem
