// SPDX-License-Identifier: Apache-2.0
// See fake_cuda.h: the fake driver's memory. Physical memory is a memfd, a device address a range
// that the processor may not touch; what the fake itself reads and writes is a second mapping of
// the memfd elsewhere.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "provider/fake_cuda_state.h"

#pragma GCC visibility push(default)

namespace devmem {
namespace {

// The name of the files, by which an import knows them; the device's ordinal follows.
constexpr char kFileName[] = "/memfd:fake-cuda-";

CUdeviceptr Reserve(size_t bytes) {
  void* const address =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return address == MAP_FAILED ? 0 : reinterpret_cast<CUdeviceptr>(address);
}

uint64_t MakeAllocation(size_t bytes, int ordinal, bool shareable) {
  const std::string name = "fake-cuda-" + std::to_string(ordinal);
  FakeAllocation allocation = {::memfd_create(name.c_str(), MFD_CLOEXEC), bytes, ordinal,
                               shareable};
  if (::ftruncate(allocation.fd, static_cast<off_t>(bytes)) != 0) return 0;
  const uint64_t handle = ++TheFake().last_handle;
  TheFake().allocations[handle] = allocation;
  return handle;
}

// What is on the device, memory of every kind together.
size_t BytesInUse(int ordinal) {
  size_t bytes = 0;
  for (const auto& [handle, allocation] : TheFake().allocations) {
    if (allocation.ordinal == ordinal) bytes += allocation.bytes;
  }
  return bytes;
}

void MapAlias(FakeReservation& range, const FakeAllocation& allocation) {
  void* const alias =
      ::mmap(nullptr, range.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, allocation.fd, 0);
  range.alias = static_cast<uint8_t*>(alias);
  range.ordinal = allocation.ordinal;
}

bool IsGranular(size_t bytes) { return bytes > 0 && bytes % kFakeCudaGranuleBytes == 0; }

// The device of the memory behind a descriptor; -1 for a file that is none of ours.
int OrdinalOfFile(int fd) {
  char target[64] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  if (::readlink(link.c_str(), target, sizeof(target) - 1) <= 0) return -1;
  if (std::strncmp(target, kFileName, sizeof(kFileName) - 1) != 0) return -1;
  return std::atoi(target + sizeof(kFileName) - 1);
}

}  // namespace

extern "C" {

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  const FakeCall call("cuMemGetInfo");
  if (call.result() != CUDA_SUCCESS) return call.result();
  *total = TheFake().devices[static_cast<size_t>(call.ordinal())].memory_bytes;
  *free = *total - BytesInUse(call.ordinal());
  return CUDA_SUCCESS;
}

CUresult cuMemGetAllocationGranularity(size_t* bytes, const CUmemAllocationProp* /*properties*/,
                                       CUmemAllocationGranularity_flags /*option*/) {
  const FakeCall call("cuMemGetAllocationGranularity");
  *bytes = kFakeCudaGranuleBytes;
  return call.result();
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t bytes,
                     const CUmemAllocationProp* properties, unsigned long long /*flags*/) {
  const FakeCall call("cuMemCreate");
  if (call.result() != CUDA_SUCCESS) return call.result();
  if (!IsGranular(bytes)) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  const FakeCudaDevice& device = TheFake().devices[static_cast<size_t>(properties->location.id)];
  if (BytesInUse(properties->location.id) + bytes > device.memory_bytes) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *handle =
      MakeAllocation(bytes, properties->location.id,
                     properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  const FakeCall call("cuMemRelease", FakeCall::kInit);
  const auto found = TheFake().allocations.find(handle);
  if (found == TheFake().allocations.end()) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  ::close(found->second.fd);
  TheFake().allocations.erase(found);
  return call.result();
}

CUresult cuMemAddressReserve(CUdeviceptr* address, size_t bytes, size_t /*alignment*/,
                             CUdeviceptr /*wanted*/, unsigned long long /*flags*/) {
  const FakeCall call("cuMemAddressReserve");
  if (call.result() != CUDA_SUCCESS) return call.result();
  if (!IsGranular(bytes)) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  *address = Reserve(bytes);
  TheFake().reservations[*address] = {.bytes = bytes};
  return CUDA_SUCCESS;
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t bytes) {
  const FakeCall call("cuMemAddressFree", FakeCall::kInit);
  const auto found = TheFake().reservations.find(address);
  if (found == TheFake().reservations.end() || found->second.bytes != bytes ||
      found->second.alias != nullptr) {
    return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  }
  ::munmap(reinterpret_cast<void*>(address), bytes);
  TheFake().reservations.erase(found);
  return call.result();
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long /*flags*/) {
  const FakeCall call("cuMemMap");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const auto range = TheFake().reservations.find(address);
  const auto allocation = TheFake().allocations.find(handle);
  if (range == TheFake().reservations.end() || allocation == TheFake().allocations.end() ||
      range->second.bytes != bytes || range->second.alias != nullptr || offset != 0) {
    return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (allocation->second.bytes != bytes) return CUDA_ERROR_INVALID_VALUE;
  MapAlias(range->second, allocation->second);
  return CUDA_SUCCESS;
}

CUresult cuMemUnmap(CUdeviceptr address, size_t bytes) {
  const FakeCall call("cuMemUnmap", FakeCall::kInit);
  const auto found = TheFake().reservations.find(address);
  if (found == TheFake().reservations.end() || found->second.bytes != bytes ||
      found->second.alias == nullptr) {
    return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  }
  ::munmap(found->second.alias, bytes);
  found->second.alias = nullptr;
  return call.result();
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* access,
                        size_t count) {
  const FakeCall call("cuMemSetAccess");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const auto found = TheFake().reservations.find(address);
  if (found == TheFake().reservations.end() || found->second.bytes != bytes || count != 1 ||
      access->location.id != found->second.ordinal) {
    return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  }
  found->second.accessible = access->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return CUDA_SUCCESS;
}

CUresult cuMemExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType /*type*/,
                                      unsigned long long /*flags*/) {
  const FakeCall call("cuMemExportToShareableHandle");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const auto found = TheFake().allocations.find(handle);
  if (found == TheFake().allocations.end() || !found->second.shareable) {
    return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  }
  *static_cast<int*>(shareable) = ::dup(found->second.fd);
  return CUDA_SUCCESS;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shareable,
                                        CUmemAllocationHandleType /*type*/) {
  const FakeCall call("cuMemImportFromShareableHandle");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(shareable));
  struct stat file = {};
  const int ordinal = OrdinalOfFile(fd);
  if (ordinal < 0 || ::fstat(fd, &file) != 0) return CUDA_ERROR_INVALID_VALUE;
  *handle = ++TheFake().last_handle;
  TheFake().allocations[*handle] = {::dup(fd), static_cast<size_t>(file.st_size), ordinal, true};
  return CUDA_SUCCESS;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties,
                                                CUmemGenericAllocationHandle handle) {
  const FakeCall call("cuMemGetAllocationPropertiesFromHandle");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const auto found = TheFake().allocations.find(handle);
  if (found == TheFake().allocations.end()) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  properties->location = {CU_MEM_LOCATION_TYPE_DEVICE, found->second.ordinal};
  return CUDA_SUCCESS;
}

// The dma-buf is a stand-in: an empty file of that name.
CUresult cuMemGetHandleForAddressRange(void* handle, CUdeviceptr address, size_t bytes,
                                       CUmemRangeHandleType /*type*/,
                                       unsigned long long /*flags*/) {
  const FakeCall call("cuMemGetHandleForAddressRange");
  if (call.result() != CUDA_SUCCESS) return call.result();
  if (FakeAlias(address, bytes) == nullptr || address % 4096 != 0 || bytes % 4096 != 0) {
    return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  }
  *static_cast<int*>(handle) = ::memfd_create("fake-dmabuf", 0);
  return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  const FakeCall call("cuPointerGetAttribute");
  if (call.result() != CUDA_SUCCESS) return call.result();
  if (FakeAlias(address, 1) == nullptr) return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  if (attribute == CU_POINTER_ATTRIBUTE_MEMORY_TYPE) {
    *static_cast<CUmemorytype*>(value) = CU_MEMORYTYPE_DEVICE;
  } else {
    *static_cast<int*>(value) =
        std::prev(TheFake().reservations.upper_bound(address))->second.ordinal;
  }
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  const FakeCall call("cuMemAlloc");
  if (call.result() != CUDA_SUCCESS) return call.result();
  const size_t rounded = (bytes + 4095) / 4096 * 4096;
  *address = Reserve(rounded);
  FakeReservation& range = TheFake().reservations[*address];
  range = {.bytes = rounded, .accessible = true, .by_alloc = true};
  const uint64_t handle = MakeAllocation(rounded, call.ordinal(), false);
  MapAlias(range, TheFake().allocations[handle]);
  ::close(TheFake().allocations[handle].fd);
  TheFake().allocations.erase(handle);
  ++TheFake().counts.allocations;
  return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  const FakeCall call("cuMemFree", FakeCall::kInit);
  const auto found = TheFake().reservations.find(address);
  if (found == TheFake().reservations.end() || !found->second.by_alloc) {
    return FakeMisuse(CUDA_ERROR_INVALID_VALUE);
  }
  ::munmap(found->second.alias, found->second.bytes);
  ::munmap(reinterpret_cast<void*>(address), found->second.bytes);
  TheFake().reservations.erase(found);
  --TheFake().counts.allocations;
  return call.result();
}

CUresult cuMemHostRegister_v2(void* address, size_t bytes, unsigned /*flags*/) {
  const FakeCall call("cuMemHostRegister");
  if (call.result() != CUDA_SUCCESS) return call.result();
  if (FakeIsRegistered(address, 1)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  TheFake().host_ranges[reinterpret_cast<uintptr_t>(address)] = bytes;
  return CUDA_SUCCESS;
}

CUresult cuMemHostUnregister(void* address) {
  const FakeCall call("cuMemHostUnregister", FakeCall::kInit);
  if (TheFake().host_ranges.erase(reinterpret_cast<uintptr_t>(address)) == 0) {
    return FakeMisuse(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  }
  return call.result();
}

}  // extern "C"
}  // namespace devmem

#pragma GCC visibility pop
