// SPDX-License-Identifier: Apache-2.0
// Attaching: who may, what is true of the memory afterwards, and how long it lives.
#include "provider/attachment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_region.h"
#include "provider/unique_fd.h"

namespace devmem {
namespace {

constexpr uint64_t kRegionBytes = 16 * kSmallPageBytes;

// A region whose promise and whose mapping the test chooses.
class FakeRegion final : public Region {
 public:
  FakeRegion(AttachmentKind kind, int fd)
      : Region({.provider_name = "fake",
                .label = {},
                .size_bytes = kRegionBytes,
                .page_bytes = kSmallPageBytes,
                .attachment_kind = kind,
                .fd = {}}),
        mapped_fd_(fd) {}

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    return MappedMemory::MapFile(mapped_fd_, kRegionBytes, access);
  }

  const int mapped_fd_;
};

// One number, in KiB, of the kernel's account of the mapping that begins at `address`.
int64_t MappingKib(const void* address, const std::string& key) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool found = false;
  while (std::getline(smaps, line)) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) == 2) {
      found = begin == reinterpret_cast<uintptr_t>(address);
    } else if (found && line.rfind(key + ":", 0) == 0) {
      return std::stoll(line.substr(key.size() + 1));
    }
  }
  return -1;
}

TEST(AttachmentTest, AnAttachmentKnowsItsRegionAndItsImporter) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  EXPECT_EQ(attachment->region_id(), region->id());
  EXPECT_EQ(attachment->size_bytes(), kRegionBytes);
  EXPECT_EQ(attachment->page_bytes(), kSmallPageBytes);
  EXPECT_EQ(attachment->importer_name(), "dm0");
  EXPECT_EQ(attachment->kind(), AttachmentKind::kPinned);
  EXPECT_EQ(attachment->mapping().size_bytes(), kRegionBytes);
}

TEST(AttachmentTest, EveryPageIsPresentBeforeTheFirstAccess) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  const void* const address = attachment->mapping().Iov(0, 1).iov_base;
  EXPECT_EQ(MappingKib(address, "Rss"), int64_t{kRegionBytes / 1024});
}

// The kernel writes the pages, past the C library, so that no sanitizer's shadow memory is touched.
TEST(AttachmentTest, TheFirstWriteDoesNotFault) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  const UniqueFd zeroes(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const struct iovec run = attachment->mapping().Iov(0, kRegionBytes);
  const auto read_zeroes = [&](void* to, size_t bytes) {
    return ::syscall(SYS_read, zeroes.get(), to, bytes);
  };
  struct rusage before = {};
  struct rusage after = {};
  ASSERT_EQ(read_zeroes(&after, sizeof(after)), long{sizeof(after)});
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &before), 0);
  const long bytes_read = read_zeroes(run.iov_base, run.iov_len);
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &after), 0);
  EXPECT_EQ(bytes_read, long{kRegionBytes});
  EXPECT_LE(after.ru_minflt - before.ru_minflt, 1);  // Not sixteen; one may be the stack's.
  EXPECT_EQ(after.ru_majflt, before.ru_majflt);
}

TEST(AttachmentTest, ItsPagesAreLockedInMemoryWhereTheLimitAllows) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  if (!attachment->locked()) GTEST_SKIP() << attachment->lock_note();
  EXPECT_EQ(attachment->lock_note(), "");
  const void* const address = attachment->mapping().Iov(0, 1).iov_base;
  EXPECT_EQ(MappingKib(address, "Locked"), int64_t{kRegionBytes / 1024});
}

// Runs in a child process, which then has neither the right nor the room to lock the region.
// Prints what the attachment says; exits with 0 if it works without its lock.
[[noreturn]] void AttachBelowTheMemlockLimit(const Region& region) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<struct __user_cap_data_struct, 2> caps = {};
  if (::syscall(SYS_capget, &header, caps.data()) != 0) ::_exit(2);
  caps[0].effective &= ~(1u << CAP_IPC_LOCK);
  caps[0].permitted &= ~(1u << CAP_IPC_LOCK);
  if (::syscall(SYS_capset, &header, caps.data()) != 0) ::_exit(3);
  const struct rlimit limit = {kSmallPageBytes, kSmallPageBytes};
  if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) ::_exit(4);

  const auto attachment = Attachment::Create(region, {.name = "dm0"});
  if (!attachment.ok() || (*attachment)->locked()) ::_exit(5);
  std::fprintf(stderr, "%s\n", std::string((*attachment)->lock_note()).c_str());
  DmaMapping& mapping = (*attachment)->mapping();
  mapping.Write(kRegionBytes - 1, std::array<uint8_t, 1>{9});
  std::array<uint8_t, 1> read_back = {};
  mapping.CopyOut(kRegionBytes - 1, read_back);
  const void* const address = mapping.Iov(0, 1).iov_base;
  const bool present = MappingKib(address, "Rss") == int64_t{kRegionBytes / 1024};
  ::_exit(read_back[0] == 9 && present ? 0 : 6);
}

TEST(AttachmentDeathTest, ALockRefusedByTheLimitIsANoteWithTheLimitAndTheBytesWanted) {
  struct rlimit limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  if (limit.rlim_max < kSmallPageBytes) {
    GTEST_SKIP() << "RLIMIT_MEMLOCK is below the " << kSmallPageBytes << " bytes of this test";
  }
  const auto region = MakeRegion(kRegionBytes);
  EXPECT_EXIT(AttachBelowTheMemlockLimit(*region), testing::ExitedWithCode(0),
              "is not locked in memory, and may be swapped out under pressure: mlock of 65536 "
              "bytes: Cannot allocate memory; RLIMIT_MEMLOCK is 4096 bytes, 65536 bytes are "
              "wanted; raise it \\(`ulimit -l`, which counts KiB\\) or grant CAP_IPC_LOCK");
}

TEST(AttachmentTest, AnImporterThatThePolicyNamesMayAttach) {
  const auto region = MakeRegion(kRegionBytes, ImportPolicy::Only({"dm0"}));
  EXPECT_TRUE(Attachment::Create(*region, {.name = "dm0"}).ok());
}

TEST(AttachmentTest, AForeignImporterIsRefusedByNameWithThePolicy) {
  const auto region = MakeRegion(kRegionBytes, ImportPolicy::Only({"dm0", "dm1"}));
  const absl::Status refusal = Attachment::Create(*region, {.name = "eth7"}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(std::string(refusal.message()),
            absl::StrCat("importer \"eth7\" may not attach region ", region->id(),
                         " (memfd \"test\", 65536 bytes, pages of 4096 bytes): its policy allows "
                         "only dm0, dm1; allocate the region with a policy that names this "
                         "importer"));
}

TEST(AttachmentTest, MemoryThatMayBeRevokedRefusesAnImporterThatCannotStop) {
  const FakeRegion region(AttachmentKind::kMayRevoke, -1);
  const absl::Status refusal =
      Attachment::Create(region, {.name = "dm0", .caps = ImporterCaps::kNeither}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(refusal.message()),
            absl::StrCat("importer \"dm0\" can use region ", region.id(),
                         " (fake, 65536 bytes, pages of 4096 bytes) not at all: the memory may be "
                         "revoked, and the importer cannot be stopped in bounded time; attach "
                         "memory that is pinned"));
}

TEST(AttachmentTest, MemoryThatMayMoveIsStagedForAnImporterThatCannotFollow) {
  const auto backing = MakeRegion(kRegionBytes);
  const FakeRegion region(AttachmentKind::kMayMove, backing->fd());
  const auto attachment =
      Attachment::Create(region, {.name = "dm0", .caps = ImporterCaps::kRevoke});
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  EXPECT_TRUE((*attachment)->staged());
  EXPECT_EQ((*attachment)->stage_reason(),
            "the memory may move, and the importer can stop but not follow it");
}

TEST(AttachmentTest, AnExporterMayHaveItsMemoryStaged) {
  auto region =
      MakeRegion(kRegionBytes, ImportPolicy::Ask([](const ImportRequest& request) {
                   const bool near = request.distance < PciDistance::kNode;
                   return ImportAnswer{near ? AttachmentVerdict::kAllow : AttachmentVerdict::kStage,
                                       near ? "" : "the importer is on another node"};
                 }));
  const auto near = Attachment::Create(*region, {.name = "dm0", .distance = PciDistance::kPix});
  const auto far = Attachment::Create(*region, {.name = "dm0", .distance = PciDistance::kSys});
  ASSERT_TRUE(near.ok() && far.ok());
  EXPECT_FALSE((*near)->staged());
  EXPECT_EQ((*far)->stage_reason(), "the importer is on another node");
}

TEST(AttachmentTest, AnExporterThatLiesCannotAllowWhatItsPromiseForbids) {
  const auto backing = MakeRegion(kRegionBytes);
  const FakeRegion region(AttachmentKind::kMayMove, backing->fd());  // Its policy is everyone.
  const auto attachment =
      Attachment::Create(region, {.name = "dm0", .caps = ImporterCaps::kNeither});
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  EXPECT_TRUE((*attachment)->staged());
}

TEST(AttachmentTest, AMappingThatTheKernelRefusesRefusesTheAttachment) {
  const FakeRegion region(AttachmentKind::kPinned, -1);
  const absl::Status refusal = Attachment::Create(region, {.name = "dm0"}).status();
  EXPECT_EQ(std::string(refusal.message()),
            "mmap of 65536 bytes of device memory: Bad file descriptor");
}

TEST(AttachmentTest, PagesThatCannotBeSuppliedRefuseTheAttachment) {
  // The file ends before the mapping does, so its last pages do not exist.
  const UniqueFd file(::memfd_create("short", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), kSmallPageBytes), 0);
  const FakeRegion region(AttachmentKind::kPinned, file.get());
  const absl::Status refusal = Attachment::Create(region, {.name = "dm0"}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(refusal.message()),
            "the machine cannot supply 65536 bytes of memory now; ask for less or free some: "
            "Bad address");
}

TEST(AttachmentTest, TheMemoryLivesAsLongAsTheAttachment) {
  auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  const std::array<uint8_t, 2> payload = {1, 2};
  attachment->mapping().Write(100, payload);
  region.reset();
  attachment->mapping().Write(102, payload);
  std::array<uint8_t, 4> out = {};
  attachment->mapping().CopyOut(100, out);
  EXPECT_EQ(out, (std::array<uint8_t, 4>{1, 2, 1, 2}));
  EXPECT_FALSE(attachment->revoked());
}

TEST(AttachmentTest, TheEndOfAnAttachmentUnmapsIt) {
  const auto region = MakeRegion(kRegionBytes);
  auto attachment = MakeAttachment(*region);
  void* const address = attachment->mapping().Iov(0, 1).iov_base;
  attachment.reset();
  std::array<unsigned char, kRegionBytes / kSmallPageBytes> resident = {};
  EXPECT_EQ(::mincore(address, kRegionBytes, resident.data()), -1);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(AttachmentTest, RevokeEndsTheImportersAccess) {
  const auto region = MakeRegion(kRegionBytes);
  const auto attachment = MakeAttachment(*region);
  attachment->Revoke();
  EXPECT_TRUE(attachment->revoked());
  attachment->mapping().Write(0, std::array<uint8_t, 1>{1});
  const auto view = RegionView::Map(*region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes()[0], 0);
}

}  // namespace
}  // namespace devmem
