// SPDX-License-Identifier: Apache-2.0
//
// Reading device memory back: what a dma-buf's exporter is told around each copy, and what becomes
// of its refusals. The dma-buf is a memfd that the machine of the test takes for one.

#include "uapi/read_back.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "provider/import_provider.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 32768;
constexpr uint64_t kOffset = 8192;
constexpr uint64_t kStart = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ;
constexpr uint64_t kEnd = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;

class ReadBackTest : public ::testing::Test {
 protected:
  ReadBackTest() : region_(MakeRegion(kBytes)) {
    machine_.set_answer([this](int fd, unsigned long request, void* argument) {
      EXPECT_EQ(request, DMA_BUF_IOCTL_SYNC);
      EXPECT_GE(::fcntl(fd, F_GETFD), 0);
      if (!errors_.empty()) {
        errno = errors_.back();
        errors_.pop_back();
        return -1;
      }
      announced_.push_back(static_cast<struct dma_buf_sync*>(argument)->flags);
      return 0;
    });
    const uint8_t mark = 0x5a;
    EXPECT_EQ(::pwrite(region_->fd(), &mark, 1, kOffset), 1);
  }

  ReadBack Open(int dmabuf) {
    absl::StatusOr<ReadBack> made = ReadBack::Open(*region_, kOffset, dmabuf, machine_);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }

  TestMachine machine_;
  std::unique_ptr<Region> region_;
  std::vector<int> errors_;  // The next answers, the last one first.
  std::vector<uint64_t> announced_;
};

TEST_F(ReadBackTest, HostMemoryIsReadWithoutAWordToAnybody) {
  const ReadBack read_back = Open(-1);
  EXPECT_TRUE(read_back.mapped());
  {
    const auto copy = read_back.Begin();
    ASSERT_TRUE(copy.ok()) << copy.status();
    EXPECT_EQ(copy->bytes().size(), kBytes - kOffset);
    EXPECT_EQ(copy->bytes()[0], 0x5a);
  }
  EXPECT_TRUE(announced_.empty());
}

TEST_F(ReadBackTest, EachCopyOfADmabufIsAnnouncedFromItsStartToItsEnd) {
  const ReadBack read_back = Open(region_->fd());
  EXPECT_TRUE(announced_.empty());
  for (size_t copies = 1; copies <= 2; ++copies) {
    {
      const auto copy = read_back.Begin();
      ASSERT_TRUE(copy.ok()) << copy.status();
      EXPECT_EQ(announced_.back(), kStart);
      EXPECT_EQ(copy->bytes()[0], 0x5a);
    }
    EXPECT_EQ(announced_.size(), 2 * copies);
    EXPECT_EQ(announced_.back(), kEnd);
  }
}

TEST_F(ReadBackTest, TheDmabufStaysOpenWhenItsGiverClosesIt) {
  UniqueFd given(::dup(region_->fd()));
  const ReadBack read_back = Open(given.get());
  given.Reset();
  EXPECT_TRUE(read_back.Begin().ok());  // The machine looks whether the descriptor is open.
  EXPECT_EQ(announced_, (std::vector<uint64_t>{kStart, kEnd}));
}

TEST_F(ReadBackTest, AnInterruptedAnnouncementIsMadeAgainAtBothEnds) {
  const ReadBack read_back = Open(region_->fd());
  {
    errors_ = {EAGAIN, EINTR, EAGAIN};
    const auto copy = read_back.Begin();
    ASSERT_TRUE(copy.ok()) << copy.status();
    EXPECT_EQ(announced_, std::vector<uint64_t>{kStart});
    errors_ = {EINTR, EAGAIN};
  }
  EXPECT_TRUE(errors_.empty());
  EXPECT_EQ(announced_, (std::vector<uint64_t>{kStart, kEnd}));
}

TEST_F(ReadBackTest, ARefusalOfTheExporterIsToldAndEndsNothing) {
  const ReadBack read_back = Open(region_->fd());
  errors_ = {ENOMEM};
  const absl::Status refused = read_back.Begin().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_NE(refused.message().find("DMA_BUF_IOCTL_SYNC"), absl::string_view::npos);
  EXPECT_TRUE(announced_.empty());
  EXPECT_TRUE(read_back.Begin().ok());
}

TEST_F(ReadBackTest, MemoryThatTheProcessorCannotMapIsForTheDeviceAlone) {
  machine_.Disguise(region_->fd(), DMA_BUF_MAGIC);
  machine_.set_answer([](int, unsigned long, void*) { return errno = EIO, -1; });
  const auto imported = ImportDmabuf({.fd = region_->fd()}, machine_);
  ASSERT_TRUE(imported.ok()) << imported.status();
  const auto read_back = ReadBack::Open(**imported, 0, (*imported)->fd(), machine_);
  ASSERT_TRUE(read_back.ok()) << read_back.status();
  EXPECT_FALSE(read_back->mapped());
  const absl::Status refused = read_back->Begin().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("use Recv()"), absl::string_view::npos) << refused;
}

}  // namespace
}  // namespace devmem
