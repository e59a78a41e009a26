// SPDX-License-Identifier: Apache-2.0
// Regions of the kernel's heaps: which heaps are found, what a heap is told and what it refuses, on
// a machine of the test's making; and, where there is one, a real heap.
#include "provider/dma_heap_provider.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/magic.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 8 * kSmallPageBytes;

void ExpectRefused(const absl::Status& refusal, absl::StatusCode code, absl::string_view words) {
  EXPECT_EQ(refusal.code(), code) << refusal;
  EXPECT_TRUE(absl::StrContains(refusal.message(), words)) << refusal;
}

// A machine with two heaps, which hand out memfds.
class DmaHeapTest : public ::testing::Test {
 protected:
  DmaHeapTest() {
    machine_.Write("/dev/dma_heap/system", "");
    machine_.Write("/dev/dma_heap/reserved", "");
    machine_.set_answer([this](int fd, unsigned long request, void* argument) {
      if (request == DMA_BUF_IOCTL_SYNC) return 0;
      if (request != DMA_HEAP_IOCTL_ALLOC || refuse_with_ != 0) {
        errno = refuse_with_ != 0 ? refuse_with_ : ENOTTY;
        return -1;
      }
      auto* const told = static_cast<struct dma_heap_allocation_data*>(argument);
      told_.push_back(*told);
      heap_ = SystemCalls::OfThisMachine().ReadLink("/proc/self/fd/" + std::to_string(fd)).value();
      const int buffer = ::memfd_create("heap", MFD_CLOEXEC);
      if (::ftruncate(buffer, static_cast<off_t>(told->len)) != 0) return -1;
      machine_.Disguise(buffer, DMA_BUF_MAGIC);
      told->fd = static_cast<uint32_t>(buffer);
      return 0;
    });
  }

  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) {
    return DmaHeapProvider(machine_).Allocate(options);
  }

  TestMachine machine_;
  int refuse_with_ = 0;
  std::string heap_;
  std::vector<struct dma_heap_allocation_data> told_;
};

TEST_F(DmaHeapTest, TheSystemHeapIsToldSizeAndAccess) {
  const auto region = Allocate({.bytes = kBytes, .label = "weights"});
  ASSERT_TRUE(region.ok()) << region.status();
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(absl::EndsWith(heap_, "/dev/dma_heap/system")) << heap_;
  EXPECT_EQ(told_[0].len, kBytes);
  EXPECT_EQ(told_[0].fd, 0u);
  EXPECT_EQ(told_[0].fd_flags, uint32_t{O_RDWR | O_CLOEXEC});
  EXPECT_EQ(told_[0].heap_flags, 0u);
  EXPECT_EQ((*region)->provider_name(), "dma-heap");
  EXPECT_TRUE((*region)->cpu_visible());
  EXPECT_TRUE((*region)->ExportDmabuf(0, kBytes).ok());
  EXPECT_EQ((*region)->FindResidence()->where, "heap system, which never moves it");
}

TEST_F(DmaHeapTest, AHeapIsChosenByItsName) {
  ASSERT_TRUE(Allocate({.bytes = kBytes, .device = "reserved"}).ok());
  EXPECT_TRUE(absl::EndsWith(heap_, "/dev/dma_heap/reserved")) << heap_;
}

TEST_F(DmaHeapTest, WhatIsWrittenIsSeen) {
  const auto region = Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  const auto attachment = MakeAttachment(**region);
  attachment->mapping().Write(kBytes - 1, std::array<uint8_t, 1>{4});
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes().back(), 4);
}

TEST_F(DmaHeapTest, UnknownNamesAreRefusedWithTheHeapsThatThereAre) {
  for (const char* const name : {"secure", "../udmabuf", "system/../../dma_heap/system", "."}) {
    ExpectRefused(Allocate({.bytes = kBytes, .device = name}).status(),
                  absl::StatusCode::kUnavailable, "choose one of: reserved, system");
  }
  EXPECT_TRUE(told_.empty());
}

TEST_F(DmaHeapTest, ProbeAndDevicesNameTheHeapsThatCanBeOpened) {
  DmaHeapProvider provider(machine_);
  EXPECT_EQ(*provider.Probe(), "heaps in /dev/dma_heap: reserved, system");
  machine_.Forbid("/dev/dma_heap/system");
  EXPECT_EQ(*provider.Probe(), "heaps in /dev/dma_heap: reserved");
  ASSERT_EQ(provider.Devices().size(), 1u);
  EXPECT_EQ(provider.Devices()[0].name, "reserved");
  machine_.Forbid("/dev/dma_heap/reserved");
  ExpectRefused(provider.Probe().status(), absl::StatusCode::kPermissionDenied,
                "no right to open /dev/dma_heap/reserved");
  EXPECT_TRUE(provider.Devices().empty());
}

TEST_F(DmaHeapTest, AKernelWithoutHeapsIsNamedWithItsOptions) {
  const TestMachine empty;
  DmaHeapProvider provider(empty);
  ExpectRefused(provider.Probe().status(), absl::StatusCode::kUnavailable,
                "there is no heap in /dev/dma_heap: use a kernel with CONFIG_DMABUF_HEAPS");
  ExpectRefused(provider.Allocate({.bytes = kBytes}).status(), absl::StatusCode::kUnavailable,
                "CONFIG_DMABUF_HEAPS_SYSTEM");
  EXPECT_TRUE(provider.Devices().empty());
}

TEST_F(DmaHeapTest, WrongSizesKindsAndPagesAreRefused) {
  ExpectRefused(Allocate({.bytes = 0}).status(), absl::StatusCode::kInvalidArgument, "0 bytes");
  ExpectRefused(Allocate({.bytes = 100}).status(), absl::StatusCode::kInvalidArgument, "4096");
  ExpectRefused(Allocate({.bytes = UINT64_MAX}).status(), absl::StatusCode::kOutOfRange, "most");
  ExpectRefused(Allocate({.bytes = kBytes, .kind = AttachmentKind::kMayMove}).status(),
                absl::StatusCode::kFailedPrecondition, "may move");
  ExpectRefused(Allocate({.bytes = kHugePageBytes, .huge_pages = true}).status(),
                absl::StatusCode::kFailedPrecondition, "the heap chooses its pages");
  EXPECT_TRUE(told_.empty());
}

TEST_F(DmaHeapTest, AHeapThatHasNoMoreSaysSo) {
  refuse_with_ = ENOMEM;
  ExpectRefused(Allocate({.bytes = kBytes}).status(), absl::StatusCode::kResourceExhausted,
                "allocating 32768 bytes from the heap system");
}

TEST(DmaHeapDriverTest, ARealHeapGivesZeroedMemoryThatIsWritten) {
  DmaHeapProvider provider;
  const auto found = provider.Probe();
  if (!found.ok()) GTEST_SKIP() << found.status().message();
  const auto region = provider.Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ(SystemCalls::OfThisMachine().FileSystemOf((*region)->fd()), uint64_t{DMA_BUF_MAGIC});
  EXPECT_TRUE((*region)->cpu_visible());
  const auto attachment = MakeAttachment(**region);
  EXPECT_TRUE(attachment->locked());
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(std::count(view->bytes().begin(), view->bytes().end(), 0), int64_t{kBytes});
  attachment->mapping().Write(kBytes - 1, std::array<uint8_t, 1>{4});
  EXPECT_EQ(view->bytes().back(), 4);
  (*region)->Revoke("a test");
  EXPECT_EQ(view->bytes().back(), 0);
}

}  // namespace
}  // namespace devmem
