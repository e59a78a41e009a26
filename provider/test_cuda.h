// SPDX-License-Identifier: Apache-2.0
// The fixture of the cuda tests: the fake driver (fake_cuda.h) loaded, reset and, at the end of
// each test, asked whether everything was given back to it.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/cuda_api.h"
#include "provider/cuda_provider.h"
#include "provider/cuda_region.h"
#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/fake_cuda.h"

namespace devmem {

// The path of the fake driver, and of the one of CUDA 9.0.
std::string FakeCudaLibrary();
std::string OldFakeCudaLibrary();

// The table of the fake driver, which is loaded at the first call.
const FakeCudaControl& FakeCuda();

class CudaTest : public ::testing::Test {
 protected:
  CudaTest() { FakeCuda().reset(1); }
  ~CudaTest() override;

  // What must be true at the end of every test. A test that loses a device asks it itself.
  void ExpectNothingLeft();

  const CudaApi& api();
  std::unique_ptr<CudaRegion> MakeCudaRegion(const AllocateOptions& options);
  std::unique_ptr<CudaRegion> MakeCudaRegion(uint64_t bytes) {
    return MakeCudaRegion(AllocateOptions{.bytes = bytes});
  }
  // Staging memory of host pages, filled with bytes that differ from place to place.
  std::unique_ptr<DmaMapping> MakeStaging(uint64_t bytes);
  // Bytes of the region's memory, as they are on the device now.
  std::vector<uint8_t> Peek(const CudaRegion& region, uint64_t offset, size_t bytes);

  CudaProvider provider_{FakeCudaLibrary()};
};

// The byte at `offset` of MakeStaging()'s memory.
inline uint8_t StagingByte(uint64_t offset) {
  return static_cast<uint8_t>(offset * 7 + offset / 251);
}

// The staging memory's bytes of a range.
std::vector<uint8_t> StagingBytes(uint64_t offset, size_t bytes);

}  // namespace devmem
