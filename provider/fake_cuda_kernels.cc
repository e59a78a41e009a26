// SPDX-License-Identifier: Apache-2.0
// See fake_cuda.h: the kernels that the fake driver can run, on the processor, from the very source
// that the real ones are compiled from. Their pointers are device addresses and are translated.
#include "provider/cuda_sha256_kernel.h"
#include "provider/fake_cuda_state.h"

namespace devmem {
namespace {

template <typename T>
T Argument(void** parameters, int index) {
  return *static_cast<T*>(parameters[index]);
}

CudaSha256State* StateAt(CUdeviceptr address) {
  return reinterpret_cast<CudaSha256State*>(FakeAlias(address, sizeof(CudaSha256State)));
}

}  // namespace

CUresult FakeLaunch(const std::string& name, void** parameters, CUstream stream) {
  if (name == "devmem_sha256_update") {
    const CUdeviceptr address = Argument<CUdeviceptr>(parameters, 0);
    const uint64_t bytes = Argument<uint64_t>(parameters, 1);
    const uint8_t* const data = FakeAlias(address, bytes);
    CudaSha256State* const state = StateAt(Argument<CUdeviceptr>(parameters, 2));
    if (data == nullptr || state == nullptr) return FakeMisuse(CUDA_ERROR_ILLEGAL_ADDRESS);
    stream->work.push_back([=] { cuda_sha256::Update(data, bytes, state); });
    return CUDA_SUCCESS;
  }
  if (name == "devmem_sha256_finish") {
    CudaSha256State* const state = StateAt(Argument<CUdeviceptr>(parameters, 0));
    if (state == nullptr) return FakeMisuse(CUDA_ERROR_ILLEGAL_ADDRESS);
    stream->work.push_back([=] { cuda_sha256::Finish(state); });
    return CUDA_SUCCESS;
  }
  return FakeMisuse(CUDA_ERROR_INVALID_HANDLE);
}

}  // namespace devmem
