// SPDX-License-Identifier: Apache-2.0
// Memory of PCI devices: which devices are found, and what a region of one mapping can and cannot
// do, on a machine of the test's making; and, where a device offers memory, a real one.
#include "provider/p2pmem_provider.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/dma_mapping.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 8 * kSmallPageBytes;
constexpr char kNear[] = "0000:01:00.0";
constexpr char kFar[] = "0000:82:00.0";

void ExpectRefused(const absl::Status& refusal, absl::StatusCode code, absl::string_view words) {
  EXPECT_EQ(refusal.code(), code) << refusal;
  EXPECT_TRUE(absl::StrContains(refusal.message(), words)) << refusal;
}

// A machine with two devices of which one publishes its memory; a file stands for each's.
class P2pmemTest : public ::testing::Test {
 protected:
  P2pmemTest() {
    machine_.Write("/sys/bus/pci/devices/0000:00:01.0/vendor", "0x8086\n");
    AddDevice(kNear, 4 * kBytes, 2 * kBytes, true);
    AddDevice(kFar, 16 * kBytes, 16 * kBytes, false);
  }

  static std::string FileOf(const std::string& device, const std::string& file) {
    return absl::StrCat("/sys/bus/pci/devices/", device, "/p2pmem/", file);
  }

  void AddDevice(const std::string& device, uint64_t size, uint64_t available, bool published) {
    machine_.Write(FileOf(device, "size"), absl::StrCat(size, "\n"));
    machine_.Write(FileOf(device, "available"), absl::StrCat(available, "\n"));
    machine_.Write(FileOf(device, "published"), published ? "1\n" : "0\n");
    // What others left in the memory is not to be seen.
    machine_.Write(FileOf(device, "allocate"), std::string(size, 'x'));
  }

  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) {
    return P2pmemProvider(machine_).Allocate(options);
  }

  TestMachine machine_;
};

TEST_F(P2pmemTest, ARegionIsLocalZeroedAndOnItsDevice) {
  const auto region = Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->provider_name(), "p2pmem");
  EXPECT_EQ((*region)->fd(), -1);
  ExpectRefused((*region)->ShareHandle().status(), absl::StatusCode::kFailedPrecondition,
                "it is a mapping of this process");
  ExpectRefused((*region)->ExportDmabuf(0, kBytes).status(), absl::StatusCode::kFailedPrecondition,
                "cannot be a dma-buf");
  EXPECT_EQ((*region)->FindResidence()->where, "the memory of PCI device 0000:01:00.0");
  EXPECT_EQ((*region)->FindResidence()->device_bytes, kBytes);
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(std::count(view->bytes().begin(), view->bytes().end(), 0), int64_t{kBytes});
}

TEST_F(P2pmemTest, ItsOneMappingHasOneUserAtATimeAndKeepsItsBytes) {
  const auto region = Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  auto attachment = MakeAttachment(**region);
  EXPECT_TRUE(attachment->locked());
  attachment->mapping().Write(kBytes - 1, std::array<uint8_t, 1>{4});
  ExpectRefused(RegionView::Map(**region).status(), absl::StatusCode::kFailedPrecondition,
                "has one mapping, and somebody uses it already");
  attachment.reset();
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes().back(), 4);
}

TEST_F(P2pmemTest, ARevokeTakesItsBytesForGood) {
  const auto region = Allocate({.bytes = kBytes, .kind = AttachmentKind::kMayRevoke});
  ASSERT_TRUE(region.ok()) << region.status();
  auto attachment = MakeAttachment(**region);
  attachment->Revoke();
  attachment->mapping().Write(0, std::array<uint8_t, 1>{4});
  attachment.reset();
  ExpectRefused(RegionView::Map(**region).status(), absl::StatusCode::kFailedPrecondition,
                "was revoked from its only mapping");
}

TEST_F(P2pmemTest, TheMemoryLivesAsLongAsItsAttachment) {
  auto region = Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  const auto attachment = MakeAttachment(**region);
  region->reset();
  attachment->mapping().Write(0, std::array<uint8_t, 1>{4});
  std::array<uint8_t, 1> out = {};
  attachment->mapping().CopyOut(0, out);
  EXPECT_EQ(out[0], 4);
}

TEST_F(P2pmemTest, ADeviceIsChosenByItsAddress) {
  const auto region = Allocate({.bytes = kBytes, .device = kFar});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->FindResidence()->where, "the memory of PCI device 0000:82:00.0");
  for (const char* const device : {"0000:00:01.0", "../devices/0000:01:00.0", "nvme0"}) {
    ExpectRefused(Allocate({.bytes = kBytes, .device = device}).status(),
                  absl::StatusCode::kUnavailable, "choose one of: 0000:01:00.0, 0000:82:00.0");
  }
}

TEST_F(P2pmemTest, ProbeAndDevicesSayWhatIsFree) {
  P2pmemProvider provider(machine_);
  EXPECT_EQ(*provider.Probe(),
            "PCI devices 0000:01:00.0 (65536 of 131072 bytes free), 0000:82:00.0 (524288 of 524288 "
            "bytes free, not published)");
  ASSERT_EQ(provider.Devices().size(), 2u);
  EXPECT_EQ(provider.Devices()[0].name, kNear);
  EXPECT_EQ(provider.Devices()[0].pci_address, kNear);
}

TEST_F(P2pmemTest, MachinesAndKernelsWithoutSuchMemoryAreTold) {
  const TestMachine empty;
  ExpectRefused(P2pmemProvider(empty).Probe().status(), absl::StatusCode::kUnavailable,
                "no PCI device here offers memory to its peers");
  ExpectRefused(P2pmemProvider(empty).Allocate({.bytes = kBytes}).status(),
                absl::StatusCode::kUnavailable, "CONFIG_PCI_P2PDMA");
  for (const char* const device : {kNear, kFar}) {
    std::filesystem::remove(machine_.PathOf(FileOf(device, "allocate")));
  }
  ExpectRefused(P2pmemProvider(machine_).Probe().status(), absl::StatusCode::kUnavailable,
                "use Linux 6.2 or later");
}

TEST_F(P2pmemTest, AForbiddenFileIsAQuestionOfRights) {
  machine_.Forbid(FileOf(kNear, "allocate"));
  EXPECT_TRUE(P2pmemProvider(machine_).Probe().ok());  // The other device can be used.
  ExpectRefused(Allocate({.bytes = kBytes, .device = kNear}).status(),
                absl::StatusCode::kPermissionDenied, "no right to open");
}

TEST_F(P2pmemTest, MoreThanTheDeviceHasOrHasFreeIsRefused) {
  ExpectRefused(Allocate({.bytes = 5 * kBytes}).status(), absl::StatusCode::kOutOfRange,
                "PCI device 0000:01:00.0 has 131072 bytes of memory");
  ExpectRefused(Allocate({.bytes = 3 * kBytes}).status(), absl::StatusCode::kResourceExhausted,
                "PCI device 0000:01:00.0 has 65536 bytes free");
  ExpectRefused(Allocate({.bytes = 0}).status(), absl::StatusCode::kInvalidArgument, "0 bytes");
  ExpectRefused(Allocate({.bytes = 100}).status(), absl::StatusCode::kInvalidArgument, "4096");
}

TEST_F(P2pmemTest, MovableMemoryAndHugePagesAreRefused) {
  ExpectRefused(Allocate({.bytes = kBytes, .kind = AttachmentKind::kMayMove}).status(),
                absl::StatusCode::kFailedPrecondition, "may move");
  ExpectRefused(Allocate({.bytes = kBytes, .huge_pages = true}).status(),
                absl::StatusCode::kFailedPrecondition, "the device chooses its pages");
}

// The device went between the look at its size and the mapping.
TEST_F(P2pmemTest, PagesThatAreGoneRefuseTheRegion) {
  std::filesystem::resize_file(machine_.PathOf(FileOf(kNear, "allocate")), 0);
  ExpectRefused(Allocate({.bytes = kBytes}).status(), absl::StatusCode::kUnavailable,
                "does not supply all pages");
}

TEST(P2pmemDriverTest, ARealDevicesMemoryIsWrittenAndReadBack) {
  P2pmemProvider provider;
  const auto found = provider.Probe();
  if (!found.ok()) GTEST_SKIP() << found.status().message();
  const auto region = provider.Allocate({.bytes = kBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  MakeAttachment(**region)->mapping().Write(kBytes - 1, std::array<uint8_t, 1>{4});
  const auto view = RegionView::Map(**region);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->bytes().back(), 4);
  EXPECT_EQ(view->bytes().front(), 0);
}

}  // namespace
}  // namespace devmem
