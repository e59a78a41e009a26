// SPDX-License-Identifier: Apache-2.0
// A driver library of CUDA 9.0 for the tests of cuda_api.cc: it says how old it is and has nothing
// of what came later.
#include "provider/cuda_abi.h"

extern "C" {

[[gnu::visibility("default")]] devmem::CUresult cuInit(unsigned /*flags*/) {
  return devmem::CUDA_SUCCESS;
}

[[gnu::visibility("default")]] devmem::CUresult cuDriverGetVersion(int* version) {
  *version = 9000;
  return devmem::CUDA_SUCCESS;
}

[[gnu::visibility("default")]] devmem::CUresult cuGetErrorName(devmem::CUresult /*result*/,
                                                               const char** name) {
  *name = "CUDA_ERROR_UNKNOWN";
  return devmem::CUDA_SUCCESS;
}

}  // extern "C"
