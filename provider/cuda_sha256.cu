// SPDX-License-Identifier: Apache-2.0
// The kernels that cuda_sha256_ptx.inc is made from, by tools/ptx. Not part of the build, which
// needs no CUDA compiler. Each is launched with one thread.
#include "provider/cuda_sha256_kernel.h"

extern "C" __global__ void devmem_sha256_update(const uint8_t* data, uint64_t bytes,
                                                devmem::CudaSha256State* state) {
  devmem::cuda_sha256::Update(data, bytes, state);
}

extern "C" __global__ void devmem_sha256_finish(devmem::CudaSha256State* state) {
  devmem::cuda_sha256::Finish(state);
}
