// SPDX-License-Identifier: Apache-2.0
// What a cuda region is, which requests are refused in which words, and what a machine without a
// usable driver answers. All through the fake driver: no GPU is needed.
#include "provider/cuda_provider.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "provider/attachment.h"
#include "provider/limits.h"
#include "provider/region_view.h"
#include "provider/test_cuda.h"
#include "provider/unique_fd.h"

namespace devmem {
namespace {

using CudaProviderTest = CudaTest;

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST_F(CudaProviderTest, ARegionHasWhatItsOptionsSay) {
  const auto region = MakeCudaRegion({.bytes = 3 * kSmallPageBytes,
                                      .label = "weights",
                                      .policy = ImportPolicy::Only({"dm0"}),
                                      .kind = AttachmentKind::kMayRevoke});
  EXPECT_EQ(region->size_bytes(), 3 * kSmallPageBytes);
  EXPECT_EQ(region->page_bytes(), kSmallPageBytes);
  EXPECT_EQ(region->attachment_kind(), AttachmentKind::kMayRevoke);
  EXPECT_EQ(region->policy().Describe(), "only dm0");
  EXPECT_FALSE(region->cpu_visible());
  EXPECT_EQ(region->device_ordinal(), 0);
  EXPECT_EQ(region->pci_address(), "0000:1a:00.0");
  EXPECT_EQ(CudaRegion::From(*region), region.get());
  EXPECT_EQ(region->Describe(), absl::StrCat("region ", region->id(),
                                             " (cuda \"weights\", 12288 bytes, pages of 4096 "
                                             "bytes)"));
}

TEST_F(CudaProviderTest, ANewRegionIsAllZeroBytes) {
  const auto region = MakeCudaRegion(kMiB);
  EXPECT_EQ(Peek(*region, 0, kMiB), std::vector<uint8_t>(kMiB, 0));
  EXPECT_EQ(FakeCuda().calls("cuMemsetD8"), 1);
}

TEST_F(CudaProviderTest, TheDeviceGivesWholeGranulesAndTheRegionStaysAsLargeAsAsked) {
  const auto region = MakeCudaRegion(kSmallPageBytes);
  EXPECT_EQ(region->size_bytes(), kSmallPageBytes);
  std::vector<uint8_t> rest(2 * kMiB);
  EXPECT_TRUE(FakeCuda().peek(region->device_pointer(), rest.data(), 2 * kMiB));
  EXPECT_FALSE(FakeCuda().peek(region->device_pointer(), rest.data(), 2 * kMiB + 1));
}

TEST_F(CudaProviderTest, EverythingIsGivenBackWithTheRegion) {
  auto region = MakeCudaRegion(kMiB);
  const FakeCudaCounts counts = FakeCuda().counts();
  EXPECT_EQ(counts.contexts, 1);
  EXPECT_EQ(counts.handles, 1);
  EXPECT_EQ(counts.reservations, 1);
  EXPECT_EQ(counts.mappings, 1);
  EXPECT_EQ(counts.current, 0);
  region.reset();
  ExpectNothingLeft();
}

TEST_F(CudaProviderTest, TheProcessorCannotMapARegionAndIsToldWhereItLies) {
  const auto region = MakeCudaRegion(kMiB);
  const absl::Status refusal = RegionView::Map(*region).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refusal.message(),
                                "cannot be mapped by the processor: it lies in the memory of GPU 0 "
                                "(Fake GPU 0, 0000:1a:00.0)"))
      << refusal;
}

TEST_F(CudaProviderTest, AnAttachmentIsStagedAndSaysWhy) {
  const auto region = MakeCudaRegion(kMiB);
  const auto attachment = Attachment::Create(*region, {.name = "dm0"});
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  EXPECT_TRUE((*attachment)->staged());
  EXPECT_EQ((*attachment)->stage_reason(), "the processor cannot map the memory");
}

TEST_F(CudaProviderTest, ResidenceIsWhatTheDriverSays) {
  const auto region = MakeCudaRegion(kMiB);
  const auto residence = region->FindResidence();
  ASSERT_TRUE(residence.ok()) << residence.status();
  EXPECT_EQ(residence->device_bytes, kMiB);
  EXPECT_EQ(residence->host_bytes, 0u);
  EXPECT_EQ(residence->where, "memory of GPU 0 (Fake GPU 0, 0000:1a:00.0)");
}

TEST_F(CudaProviderTest, TheHandleIsNotPassedToAProgramThatIsExecuted) {
  const auto region = MakeCudaRegion(kMiB);
  ASSERT_GE(region->fd(), 0);
  EXPECT_EQ(::fcntl(region->fd(), F_GETFD), FD_CLOEXEC);
}

TEST_F(CudaProviderTest, AnImportedHandleIsTheSameMemory) {
  const auto region = MakeCudaRegion(kMiB);
  auto handle = region->ShareHandle();
  ASSERT_TRUE(handle.ok()) << handle.status();
  const auto twin = provider_.ImportShared(handle->get(), {.bytes = kMiB});
  ASSERT_TRUE(twin.ok()) << twin.status();
  const CudaRegion* const second = CudaRegion::From(**twin);
  EXPECT_NE(second->device_pointer(), region->device_pointer());
  const auto staging = MakeStaging(kSmallPageBytes);
  const auto attachment = Attachment::Create(**twin, {.name = "dm0"});
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  const auto engine = (*attachment)->CreateEngine(**twin, *staging);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const DmaCopy copy = {.staging_offset = 8, .region_offset = 64, .bytes = 100};
  EXPECT_EQ((*engine)->Submit({&copy, 1}), 1u);
  EXPECT_TRUE((*engine)->Fence());
  EXPECT_EQ(Peek(*region, 64, 100), StagingBytes(8, 100));
}

// The child stands for another process: it has only the number of the descriptor.
TEST_F(CudaProviderTest, AnotherProcessFindsTheBytesBehindTheHandle) {
  const auto region = MakeCudaRegion(kMiB);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto twin = CudaProvider(FakeCudaLibrary()).ImportShared(region->fd(), {.bytes = kMiB});
    const bool zeroed = twin.ok() && FakeCuda().counts().handles == 2;
    ::_exit(zeroed ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(CudaProviderTest, TheMemoryOfAnotherGpuIsFoundWhenNoneIsNamed) {
  FakeCuda().reset(2);
  const auto region = MakeCudaRegion({.bytes = kMiB, .device = "1"});
  const auto twin = provider_.ImportShared(region->fd(), {.bytes = kMiB});
  ASSERT_TRUE(twin.ok()) << twin.status();
  EXPECT_EQ(CudaRegion::From(**twin)->device_ordinal(), 1);
  const absl::Status refusal =
      provider_.ImportShared(region->fd(), {.bytes = kMiB, .device = "0"}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "is memory of GPU 1, not of GPU 0")) << refusal;
}

TEST_F(CudaProviderTest, ADescriptorThatIsNoHandleIsRefused) {
  const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const absl::Status refusal = provider_.ImportShared(file.get(), {.bytes = kMiB}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "is no handle of CUDA memory")) << refusal;
  EXPECT_FALSE(provider_.ImportShared(-1, {.bytes = kMiB}).ok());
}

TEST_F(CudaProviderTest, AnImportOfAnotherSizeIsRefusedAndLeavesNothing) {
  const auto region = MakeCudaRegion(kMiB);
  const absl::Status refusal = provider_.ImportShared(region->fd(), {.bytes = 4 * kMiB}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FakeCuda().counts().handles, 1);
}

TEST_F(CudaProviderTest, AGpuWithoutHandlesGivesRegionsThatStayInTheProcess) {
  FakeCuda().device(0)->file_handles = false;
  const auto region = MakeCudaRegion(kMiB);
  const absl::Status refusal = region->ShareHandle().status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "does not give file handles")) << refusal;
}

TEST_F(CudaProviderTest, ADriverThatRefusesHandlesItClaimedStillGivesMemory) {
  FakeCuda().fail("cuMemCreate", CUDA_ERROR_NOT_SUPPORTED, 0);
  const auto region = MakeCudaRegion(kMiB);
  ASSERT_NE(region, nullptr);
  EXPECT_EQ(region->fd(), -1);
  EXPECT_TRUE(absl::StrContains(region->ShareHandle().status().message(),
                                "CUDA_ERROR_NOT_SUPPORTED (not offered)"));
}

TEST_F(CudaProviderTest, ADmabufIsOfWholePagesInsideTheRegion) {
  const auto region = MakeCudaRegion(kMiB);
  const auto dmabuf = region->ExportDmabuf(kSmallPageBytes, 2 * kSmallPageBytes);
  ASSERT_TRUE(dmabuf.ok()) << dmabuf.status();
  EXPECT_EQ(::fcntl(dmabuf->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(region->ExportDmabuf(1, kSmallPageBytes).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(region->ExportDmabuf(kMiB, kSmallPageBytes).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(region->ExportDmabuf(UINT64_MAX - 4095, 2 * kSmallPageBytes).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(CudaProviderTest, AGpuWithoutDmabufsSaysSo) {
  FakeCuda().device(0)->dmabuf = false;
  const auto region = MakeCudaRegion(kMiB);
  const absl::Status refusal = region->ExportDmabuf(0, kSmallPageBytes).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "open kernel modules")) << refusal;
}

TEST_F(CudaProviderTest, SizesLabelsAndKindsAreRefusedLikeElsewhere) {
  const auto refusal = [&](const AllocateOptions& options) {
    return provider_.Allocate(options).status();
  };
  EXPECT_EQ(refusal({.bytes = 0}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refusal({.bytes = 4097}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refusal({.bytes = kSmallPageBytes, .huge_pages = true}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refusal({.bytes = UINT64_MAX}).code(), absl::StatusCode::kOutOfRange);
  const absl::Status large = refusal({.bytes = 64 * kMiB + kSmallPageBytes});
  EXPECT_EQ(large.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(std::string(large.message()),
            "a cuda region of 67112960 bytes is refused: GPU 0 (Fake GPU 0, 0000:1a:00.0) has "
            "67108864 bytes of memory; ask for less");
  EXPECT_EQ(refusal({.bytes = kSmallPageBytes, .label = std::string(250, 'x')}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refusal({.bytes = kSmallPageBytes, .kind = AttachmentKind::kMayMove}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FakeCuda().calls("cuMemCreate"), 0);
}

TEST_F(CudaProviderTest, ADeviceThatIsFullSaysHowMuchIsFree) {
  const auto first = MakeCudaRegion(62 * kMiB);
  const absl::Status refusal = provider_.Allocate({.bytes = 4 * kMiB}).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(refusal.message()),
            "cuMemCreate of 4194304 bytes on GPU 0 (Fake GPU 0, 0000:1a:00.0): "
            "CUDA_ERROR_OUT_OF_MEMORY (no memory left); 2097152 of 67108864 bytes are free; ask "
            "for less, or end who uses the GPU (nvidia-smi)");
}

// Each step of an allocation refuses in turn; the fixture finds what would be left over.
TEST_F(CudaProviderTest, AnAllocationThatFailsHalfWayGivesBackWhatItHad) {
  for (const char* const call :
       {"cuDevicePrimaryCtxRetain", "cuCtxPushCurrent", "cuMemGetAllocationGranularity",
        "cuMemCreate", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess", "cuMemsetD8"}) {
    FakeCuda().fail(call, CUDA_ERROR_INVALID_VALUE, 0);
    const absl::Status refusal = provider_.Allocate({.bytes = kMiB}).status();
    EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument) << call;
    EXPECT_TRUE(absl::StrContains(refusal.message(), "CUDA_ERROR_INVALID_VALUE (a wrong argument)"))
        << call << ": " << refusal;
    EXPECT_EQ(FakeCuda().counts().handles + FakeCuda().counts().reservations, 0) << call;
  }
}

TEST_F(CudaProviderTest, SeveralRegionsOfSeveralGpusDoNotMeet) {
  FakeCuda().reset(2);
  const auto a = MakeCudaRegion({.bytes = kMiB, .device = "0"});
  const auto b = MakeCudaRegion({.bytes = kMiB, .device = "1"});
  const auto c = MakeCudaRegion({.bytes = kMiB, .device = "0000:2a:00.0"});
  EXPECT_EQ(b->device_ordinal(), 1);
  EXPECT_EQ(c->device_ordinal(), 1);
  EXPECT_EQ(FakeCuda().counts().contexts, 2);  // One of each GPU, shared by its regions.
  const auto staging = MakeStaging(kSmallPageBytes);
  const auto attachment = Attachment::Create(*b, {.name = "dm0"});
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  const auto engine = (*attachment)->CreateEngine(*b, *staging);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const DmaCopy copy = {.staging_offset = 0, .region_offset = 0, .bytes = 64};
  (*engine)->Submit({&copy, 1});
  EXPECT_TRUE((*engine)->Fence());
  EXPECT_EQ(Peek(*b, 0, 64), StagingBytes(0, 64));
  EXPECT_EQ(Peek(*a, 0, 64), std::vector<uint8_t>(64, 0));
  EXPECT_EQ(Peek(*c, 0, 64), std::vector<uint8_t>(64, 0));
}

}  // namespace
}  // namespace devmem
