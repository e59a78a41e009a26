// SPDX-License-Identifier: Apache-2.0
//
// See copy_to_gpu.h.

#include "tools/copy_to_gpu.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/cuda_device.h"
#include "provider/cuda_memory.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// As large as copy_baseline's bounce buffer, and enough of them to keep the copy engine busy while
// the next one fills.
constexpr size_t kBufferBytes = 256u << 10;
constexpr size_t kBuffers = 4;
constexpr size_t kRingBytes = kBuffers * kBufferBytes;

class CudaCopy final : public CopyToGpu {
 public:
  explicit CudaCopy(std::shared_ptr<CudaMemory> memory)
      : memory_(std::move(memory)), current_(memory_->device()) {}

  ~CudaCopy() override {
    if (stream_ != nullptr) (void)api().StreamSynchronize(stream_);
    for (const CUevent event : copied_) {
      if (event != nullptr) (void)api().EventDestroy(event);
    }
    if (stream_ != nullptr) (void)api().StreamDestroy(stream_);
    if (registered_) (void)api().MemHostUnregister(ring_);
    if (ring_ != nullptr) ::munmap(ring_, kRingBytes);
  }

  absl::Status Prepare() {
    void* const ring = ::mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (ring == MAP_FAILED) {
      const int err = errno;
      return ErrnoToStatus(err, "cannot map a ring of buffers");
    }
    ring_ = static_cast<uint8_t*>(ring);
    CUresult result = api().MemHostRegister(ring_, kRingBytes, kCuMemHostRegisterPortable);
    registered_ = result == CUDA_SUCCESS;
    if (registered_) result = api().StreamCreate(&stream_, kCuStreamNonBlocking);
    for (CUevent& event : copied_) {
      if (result == CUDA_SUCCESS) result = api().EventCreate(&event, kCuEventDisableTiming);
      // Recorded once, so that every buffer is free at first.
      if (result == CUDA_SUCCESS) result = api().EventRecord(event, stream_);
    }
    return result == CUDA_SUCCESS ? absl::OkStatus() : api().ToStatus(result, "preparing copies");
  }

  absl::StatusOr<uint64_t> Receive(int socket) override {
    uint64_t total = 0;
    for (size_t slot = 0;; slot = (slot + 1) % kBuffers) {
      CUresult result = WaitFor(copied_[slot]);
      uint8_t* const buffer = ring_ + slot * kBufferBytes;
      const ssize_t got = result == CUDA_SUCCESS ? ::recv(socket, buffer, kBufferBytes, 0) : 0;
      if (got < 0) {
        const int err = errno;
        return ErrnoToStatus(err, "receiving broke off");
      }
      if (got == 0 && result == CUDA_SUCCESS) result = api().StreamSynchronize(stream_);
      if (got > 0) result = Copy(buffer, static_cast<size_t>(got), total, copied_[slot]);
      if (result != CUDA_SUCCESS) return api().ToStatus(result, "copying to the GPU");
      if (got == 0) return total;
      total += static_cast<uint64_t>(got);
    }
  }

  std::string device() const override { return memory_->device().info().name; }

 private:
  const CudaApi& api() const { return memory_->device().api(); }

  CUresult WaitFor(CUevent event) {
    CUresult result = api().EventQuery(event);
    while (result == CUDA_ERROR_NOT_READY) result = api().EventQuery(event);
    return result;
  }

  CUresult Copy(const uint8_t* from, size_t bytes, uint64_t total, CUevent copied) {
    const uint64_t offset = total % memory_->size_bytes();
    const size_t before_end = std::min<uint64_t>(bytes, memory_->size_bytes() - offset);
    CUresult result = api().MemcpyHtoDAsync(memory_->address() + offset, from, before_end, stream_);
    if (result == CUDA_SUCCESS && before_end < bytes) {
      result =
          api().MemcpyHtoDAsync(memory_->address(), from + before_end, bytes - before_end, stream_);
    }
    return result == CUDA_SUCCESS ? api().EventRecord(copied, stream_) : result;
  }

  const std::shared_ptr<CudaMemory> memory_;
  const CudaDevice::Current current_;  // For the life of this object, which stays on one thread.
  uint8_t* ring_ = nullptr;
  bool registered_ = false;
  CUstream stream_ = nullptr;
  std::array<CUevent, kBuffers> copied_ = {};
};

}  // namespace

absl::StatusOr<std::unique_ptr<CopyToGpu>> CopyToGpu::Create(uint64_t region_bytes) {
  const auto api = CudaApi::Load();
  if (!api.ok()) return api.status();
  const auto devices = ListCudaDevices(**api);
  if (!devices.ok()) return devices.status();
  const auto info = ChooseCudaDevice(*devices, "");
  if (!info.ok()) return info.status();
  auto device = CudaDevice::Open(**api, *info);
  if (!device.ok()) return device.status();
  auto memory = CudaMemory::Create(*std::move(device), region_bytes);
  if (!memory.ok()) return memory.status();
  auto copy = std::make_unique<CudaCopy>(*std::move(memory));
  absl::Status prepared = copy->Prepare();
  if (!prepared.ok()) return prepared;
  return copy;
}

}  // namespace devmem
