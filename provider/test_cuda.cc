// SPDX-License-Identifier: Apache-2.0
// See test_cuda.h. The paths of the fake drivers come from the build.
#include "provider/test_cuda.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "provider/mapped_memory.h"
#include "provider/unique_fd.h"

namespace devmem {

std::string FakeCudaLibrary() { return DEVMEM_FAKE_CUDA_LIBRARY; }

std::string OldFakeCudaLibrary() { return DEVMEM_OLD_FAKE_CUDA_LIBRARY; }

const FakeCudaControl& FakeCuda() {
  static const FakeCudaControl* const control = [] {
    void* const library = ::dlopen(DEVMEM_FAKE_CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << ::dlerror();
    const auto find =
        reinterpret_cast<const FakeCudaControl* (*)()>(::dlsym(library, kFakeCudaSymbol));
    return find();
  }();
  return *control;
}

CudaTest::~CudaTest() { ExpectNothingLeft(); }

void CudaTest::ExpectNothingLeft() {
  const FakeCudaCounts left = FakeCuda().counts();
  EXPECT_EQ(LeftOver(left), 0) << "contexts " << left.contexts << ", current " << left.current
                               << ", handles " << left.handles << ", reservations "
                               << left.reservations << ", mappings " << left.mappings
                               << ", allocations " << left.allocations << ", host ranges "
                               << left.host_ranges << ", streams " << left.streams << ", events "
                               << left.events << ", modules " << left.modules << ", misuses "
                               << left.misuses;
}

const CudaApi& CudaTest::api() {
  const auto api = CudaApi::Load(FakeCudaLibrary());
  EXPECT_TRUE(api.ok()) << api.status();
  return **api;
}

std::unique_ptr<CudaRegion> CudaTest::MakeCudaRegion(const AllocateOptions& options) {
  auto region = provider_.Allocate(options);
  EXPECT_TRUE(region.ok()) << region.status();
  if (!region.ok()) return nullptr;
  return std::unique_ptr<CudaRegion>(static_cast<CudaRegion*>(region->release()));
}

std::unique_ptr<DmaMapping> CudaTest::MakeStaging(uint64_t bytes) {
  const UniqueFd fd(::memfd_create("staging", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  auto memory = MappedMemory::MapFile(fd.get(), bytes, MapAccess::kReadWrite);
  EXPECT_TRUE(memory.ok()) << memory.status();
  auto mapping = DmaMapping::Create(*std::move(memory));
  EXPECT_TRUE(mapping.ok()) << mapping.status();
  (*mapping)->Write(0, StagingBytes(0, bytes));
  return *std::move(mapping);
}

std::vector<uint8_t> CudaTest::Peek(const CudaRegion& region, uint64_t offset, size_t bytes) {
  std::vector<uint8_t> found(bytes);
  EXPECT_TRUE(FakeCuda().peek(region.device_pointer() + offset, found.data(), bytes));
  return found;
}

std::vector<uint8_t> StagingBytes(uint64_t offset, size_t bytes) {
  std::vector<uint8_t> expected(bytes);
  for (size_t i = 0; i < bytes; ++i) expected[i] = StagingByte(offset + i);
  return expected;
}

}  // namespace devmem
