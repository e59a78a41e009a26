// SPDX-License-Identifier: Apache-2.0
// Importing what another process may have passed on: which descriptors are taken, what is refused
// in which words, and that no holder of the file can pull pages from under a NIC. A memfd in
// disguise stands for a dma-buf where the machine has none.
#include "provider/import_provider.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/hugetlb_provider.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 8 * kSmallPageBytes;

UniqueFd MakeFile(uint64_t bytes, unsigned flags = MFD_ALLOW_SEALING) {
  UniqueFd fd(::memfd_create("weights", flags | MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  return fd;
}

void ExpectRefused(const absl::Status& refusal, absl::StatusCode code, absl::string_view words) {
  EXPECT_EQ(refusal.code(), code) << refusal;
  EXPECT_TRUE(absl::StrContains(refusal.message(), words)) << refusal;
}

absl::Status Refusal(int fd, uint64_t offset = 0, uint64_t bytes = 0) {
  return ImportDmabuf({.fd = fd, .offset = offset, .bytes = bytes}).status();
}

TEST(ImportProviderTest, ARegionOfAnotherHolderIsTheSameBytes) {
  const auto exported = MakeRegion(kBytes);
  auto handle = exported->ShareHandle();
  ASSERT_TRUE(handle.ok()) << handle.status();
  const auto region = ImportDmabuf({.fd = handle->get()});
  ASSERT_TRUE(region.ok()) << region.status();
  handle->Reset();
  EXPECT_EQ((*region)->provider_name(), "import");
  EXPECT_EQ((*region)->label(), "test");
  EXPECT_EQ((*region)->size_bytes(), kBytes);
  EXPECT_NE((*region)->id(), exported->id());
  const auto attachment = MakeAttachment(**region);
  attachment->mapping().Write(kBytes - 1, std::array<uint8_t, 1>{3});
  const auto view = RegionView::Map(*exported);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes()[kBytes - 1], 3);
}

TEST(ImportProviderTest, APartOfAFileBeginsAtItsOffset) {
  const UniqueFd file = MakeFile(kBytes);
  const auto region =
      ImportDmabuf({.fd = file.get(), .offset = 2 * kSmallPageBytes, .bytes = kSmallPageBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->size_bytes(), kSmallPageBytes);
  MakeAttachment(**region)->mapping().Write(5, std::array<uint8_t, 1>{7});
  uint8_t byte = 0;
  ASSERT_EQ(::pread(file.get(), &byte, 1, 2 * kSmallPageBytes + 5), 1);
  EXPECT_EQ(byte, 7);
}

TEST(ImportProviderTest, NoBytesMeansToTheEnd) {
  const UniqueFd file = MakeFile(kBytes);
  const auto region = ImportDmabuf({.fd = file.get(), .offset = 3 * kSmallPageBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->size_bytes(), kBytes - 3 * kSmallPageBytes);
}

TEST(ImportProviderTest, TheCallerKeepsItsDescriptorAndTheRegionItsOwn) {
  UniqueFd file = MakeFile(kBytes);
  auto region = ImportDmabuf({.fd = file.get()});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_NE((*region)->fd(), file.get());
  EXPECT_EQ(::fcntl((*region)->fd(), F_GETFD), FD_CLOEXEC);
  region->reset();
  EXPECT_EQ(::fcntl(file.get(), F_GETFD), FD_CLOEXEC);
}

TEST(ImportProviderTest, AFileThatCouldShrinkIsSealedBeforeItIsUsed) {
  const UniqueFd file = MakeFile(kBytes);
  const auto region = ImportDmabuf({.fd = file.get()});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ(::ftruncate(file.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  // Growing is harmless, and stays its maker's affair.
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(2 * kBytes)), 0);
  EXPECT_EQ((*region)->size_bytes(), kBytes);
}

TEST(ImportProviderTest, AFileThatCanNeverBeSealedIsRefused) {
  const UniqueFd file = MakeFile(kBytes, 0);
  ExpectRefused(Refusal(file.get()), absl::StatusCode::kFailedPrecondition,
                "it could be shrunk while payload is written");
}

TEST(ImportProviderTest, AFileSealedAgainstWritingIsRefused) {
  for (const int seal : {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE}) {
    const UniqueFd file = MakeFile(kBytes);
    ASSERT_EQ(::fcntl(file.get(), F_ADD_SEALS, seal), 0);
    ExpectRefused(Refusal(file.get()), absl::StatusCode::kFailedPrecondition,
                  "it is sealed against writing");
  }
}

TEST(ImportProviderTest, ADescriptorForReadingOnlyIsRefused) {
  const UniqueFd file = MakeFile(kBytes);
  const UniqueFd reading(
      ::open(absl::StrCat("/proc/self/fd/", file.get()).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(reading.valid());
  ExpectRefused(Refusal(reading.get()), absl::StatusCode::kPermissionDenied, "O_RDWR");
}

TEST(ImportProviderTest, AClosedDescriptorIsRefusedByItsNumber) {
  UniqueFd file = MakeFile(kBytes);
  const int number = file.get();
  file.Reset();
  for (const int fd : {number, -1, INT32_MAX}) {
    ExpectRefused(Refusal(fd), absl::StatusCode::kInvalidArgument,
                  absl::StrCat("descriptor ", fd, " cannot be imported: it is not open"));
  }
}

TEST(ImportProviderTest, OtherKindsOfFilesAreRefusedWithWhatTheyAre) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ExpectRefused(Refusal(null.get()), absl::StatusCode::kInvalidArgument,
                "(\"/dev/null\") cannot be imported: it is neither a dma-buf nor a memfd");
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ExpectRefused(Refusal(socket.get()), absl::StatusCode::kInvalidArgument, "(\"socket:[");
  // A file of the same file system as a memfd, which it is not.
  const UniqueFd tmpfs(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (tmpfs.valid()) {
    ExpectRefused(Refusal(tmpfs.get()), absl::StatusCode::kInvalidArgument, "neither a dma-buf");
  }
}

TEST(ImportProviderTest, RangesThatLeaveTheFileAreRefusedAlsoWhereTheirSumOverflows) {
  const UniqueFd file = MakeFile(kBytes);
  const auto code = absl::StatusCode::kOutOfRange;
  ExpectRefused(Refusal(file.get(), 0, kBytes + kSmallPageBytes), code, "there are 32768 bytes");
  ExpectRefused(Refusal(file.get(), kBytes + kSmallPageBytes), code, "there are 32768 bytes");
  ExpectRefused(Refusal(file.get(), kSmallPageBytes, UINT64_MAX - kSmallPageBytes + 1), code,
                "stay inside");
  ExpectRefused(Refusal(file.get(), UINT64_MAX - kSmallPageBytes + 1, 2 * kSmallPageBytes), code,
                "stay inside");
}

TEST(ImportProviderTest, RangesOfPartsOfPagesAreRefused) {
  const UniqueFd file = MakeFile(kBytes);
  const auto code = absl::StatusCode::kInvalidArgument;
  ExpectRefused(Refusal(file.get(), 1, kSmallPageBytes), code, "4096 bytes");
  ExpectRefused(Refusal(file.get(), 0, 100), code, "multiples of the page size, 4096 bytes");
  ExpectRefused(Refusal(file.get(), kBytes), code, "the length not 0");
  ExpectRefused(Refusal(MakeFile(0).get()), code, "the length not 0");
  ExpectRefused(Refusal(MakeFile(100).get()), code, "multiples of the page size");
}

TEST(ImportProviderTest, ANameWithControlCharactersDoesNotReachAMessage) {
  const UniqueFd file(::memfd_create("a\nb\x1b[31m", MFD_CLOEXEC));
  const absl::Status refusal = Refusal(file.get());
  EXPECT_TRUE(absl::StrContains(refusal.message(), "memfd:a?b?[31m")) << refusal;
}

TEST(ImportProviderTest, HugePagesAreRecognisedAndRangesAreOfThese) {
  HugePageStock stock;
  if (!stock.Have(2)) GTEST_SKIP() << "no free huge pages, and no right to make them";
  const auto exported = HugetlbProvider().Allocate({.bytes = 2 * kHugePageBytes});
  ASSERT_TRUE(exported.ok()) << exported.status();
  const auto region = ImportDmabuf({.fd = (*exported)->fd(), .offset = kHugePageBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->page_bytes(), kHugePageBytes);
  MakeAttachment(**region)->mapping().Write(0, std::array<uint8_t, 1>{1});
  const auto view = RegionView::Map(**exported);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes()[kHugePageBytes], 1);
  ExpectRefused(Refusal((*exported)->fd(), kSmallPageBytes), absl::StatusCode::kInvalidArgument,
                "2097152 bytes");
}

// A memfd that the code takes for a dma-buf, and what the kernel was told about it.
class DisguisedDmabuf : public ::testing::Test {
 protected:
  DisguisedDmabuf() {
    machine_.Disguise(file_.get(), DMA_BUF_MAGIC);
    machine_.set_answer([this](int, unsigned long request, void* argument) {
      if (interruptions_ > 0) {
        errno = --interruptions_ % 2 == 0 ? EINTR : EAGAIN;
        return -1;
      }
      if (request != DMA_BUF_IOCTL_SYNC) return errno = ENOTTY, -1;
      announced_.push_back(static_cast<struct dma_buf_sync*>(argument)->flags);
      return 0;
    });
  }

  absl::StatusOr<std::unique_ptr<Region>> Import(uint64_t offset = 0) {
    auto region = ImportDmabuf({.fd = file_.get(), .offset = offset}, machine_);
    announced_.clear();
    return region;
  }

  UniqueFd file_ = MakeFile(kBytes, 0);  // A dma-buf has no seals, and needs none.
  int interruptions_ = 0;
  std::vector<uint64_t> announced_;
  TestMachine machine_;
};

TEST_F(DisguisedDmabuf, IsMappedBetweenAnAnnouncedStartAndEnd) {
  const auto region = Import(kSmallPageBytes);
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->size_bytes(), kBytes - kSmallPageBytes);
  EXPECT_TRUE((*region)->cpu_visible());
  auto attachment = MakeAttachment(**region);
  EXPECT_TRUE(attachment->locked());
  EXPECT_EQ(announced_, (std::vector<uint64_t>{DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW}));
  attachment->mapping().Write(0, std::array<uint8_t, 1>{9});
  attachment.reset();
  EXPECT_EQ(announced_.back(), uint64_t{DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW});
  uint8_t byte = 0;
  ASSERT_EQ(::pread(file_.get(), &byte, 1, kSmallPageBytes), 1);
  EXPECT_EQ(byte, 9);
}

TEST_F(DisguisedDmabuf, ALookIsAnnouncedAsReading) {
  const auto region = Import();
  ASSERT_TRUE(region.ok()) << region.status();
  ASSERT_TRUE(RegionView::Map(**region).ok());
  EXPECT_EQ(announced_, (std::vector<uint64_t>{DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ,
                                               DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ}));
}

TEST_F(DisguisedDmabuf, AnInterruptedAnnouncementIsRepeated) {
  const auto region = Import();
  ASSERT_TRUE(region.ok()) << region.status();
  interruptions_ = 5;
  ASSERT_TRUE(RegionView::Map(**region).ok());
  EXPECT_EQ(announced_.size(), 2u);
  EXPECT_EQ(interruptions_, 0);
}

TEST_F(DisguisedDmabuf, RevokeTakesItsPagesAndTheLastUserEndsTheAnnouncement) {
  const auto region = Import();
  ASSERT_TRUE(region.ok()) << region.status();
  auto attachment = MakeAttachment(**region);
  (*region)->Revoke("a test");
  attachment->mapping().Write(0, std::array<uint8_t, 1>{9});
  uint8_t byte = 1;
  ASSERT_EQ(::pread(file_.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 0);
  attachment.reset();
  EXPECT_EQ(announced_.size(), 2u);
}

// No dma-buf shrinks; a driver whose device has gone refuses its pages in the same way.
TEST_F(DisguisedDmabuf, PagesThatItsDriverDoesNotSupplyRefuseTheAttachment) {
  const auto region = Import();
  ASSERT_TRUE(region.ok()) << region.status();
  ASSERT_EQ(::ftruncate(file_.get(), kSmallPageBytes), 0);
  ExpectRefused(Attachment::Create(**region, {.name = "dm0"}).status(),
                absl::StatusCode::kUnavailable,
                "the device's driver does not supply all pages from byte 0 of 32768 on");
}

TEST_F(DisguisedDmabuf, OneThatTheProcessorCannotMapIsForTheKernelsBackends) {
  machine_.set_answer([](int, unsigned long, void*) { return errno = EIO, -1; });
  const auto region = Import();
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_FALSE((*region)->cpu_visible());
  EXPECT_TRUE((*region)->ExportDmabuf(0, kBytes).ok());
  ExpectRefused(RegionView::Map(**region).status(), absl::StatusCode::kFailedPrecondition,
                "announcing the processor to a dma-buf (DMA_BUF_IOCTL_SYNC)");
  const auto attachment = MakeAttachment(**region);
  EXPECT_TRUE(attachment->staged());
  const auto staging = MakeRegion(kSmallPageBytes);
  const auto staging_attachment = MakeAttachment(*staging);
  ExpectRefused(attachment->CreateEngine(**region, staging_attachment->mapping()).status(),
                absl::StatusCode::kFailedPrecondition, "bind it with a backend of the kernel");
}

TEST_F(DisguisedDmabuf, OnlyTheWholeOfItCanBeADmabufAgain) {
  const auto whole = Import();
  const auto part = Import(kSmallPageBytes);
  ASSERT_TRUE(whole.ok() && part.ok());
  const auto again = (*whole)->ExportDmabuf(0, kBytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(machine_.FileSystemOf(again->get()), uint64_t{DMA_BUF_MAGIC});
  ExpectRefused((*whole)->ExportDmabuf(0, kSmallPageBytes).status(),
                absl::StatusCode::kFailedPrecondition, "cannot be divided");
  ExpectRefused((*part)->ExportDmabuf(0, kBytes - kSmallPageBytes).status(),
                absl::StatusCode::kFailedPrecondition, "from byte 4096 on in a dma-buf of 32768");
}

TEST(ImportProviderTest, TheProviderSaysHowItIsUsed) {
  ImportProvider provider;
  EXPECT_TRUE(provider.Probe().ok());
  ExpectRefused(provider.Allocate({.bytes = kBytes}).status(),
                absl::StatusCode::kFailedPrecondition, "import takes a handle: use ImportDmabuf()");
}

}  // namespace
}  // namespace devmem
