// SPDX-License-Identifier: Apache-2.0
// CudaSha256: SHA-256 of pieces of a CudaRegion by a kernel on its GPU. One thread of the GPU reads
// the pieces in their order, launch after launch on one stream; the state stays in GPU memory.
// Called by one thread, but for a revoke, which may come on any. The kernels are in cuda_sha256.cu.
//
// Locks. As in cuda_dma_engine.h: life, then gate; errors are reported outside of the gate.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/cuda_abi.h"
#include "provider/cuda_fence.h"
#include "provider/cuda_memory.h"
#include "provider/cuda_region.h"
#include "provider/device_sha256.h"
#include "provider/halt_gate.h"
#include "provider/limits.h"
#include "provider/region_life.h"

namespace devmem {

// Invariants:
//   1. events_[n % kDeviceHashLaunchesMax] ends batch n of launches, which reads at most
//      kCudaHashBatchBytesMax bytes: what a revoke may have to wait for is bounded.
//   2. Once TakeAway() has returned, the GPU reads the region on behalf of this hash no more.
class CudaSha256 final : public DeviceSha256, private RegionUser {
 public:
  // Errors: those of CreateDeviceSha256().
  static absl::StatusOr<std::unique_ptr<DeviceSha256>> Create(const CudaRegion& region);

  // Waits for the GPU.
  ~CudaSha256() override;
  CudaSha256(const CudaSha256&) = delete;
  CudaSha256& operator=(const CudaSha256&) = delete;

  bool full() override;
  absl::StatusOr<std::function<bool()>> Update(std::span<const RegionPiece> pieces) override;
  absl::Status UpdateFromHost(std::span<const uint8_t> bytes) override;
  absl::StatusOr<std::array<uint8_t, 32>> Finish() override;

 private:
  explicit CudaSha256(const CudaRegion& region)
      : memory_(region.memory()), life_(region.life()), region_bytes_(region.size_bytes()) {}

  const CudaApi& api() const { return memory_->device().api(); }
  CUresult Prepare();
  absl::Status CheckPieces(std::span<const RegionPiece> pieces) const;
  absl::Status Gone() const;
  absl::Status Failed(CUresult result, const char* what);
  CUresult Synchronize();
  CUresult LaunchBatch(std::span<const RegionPiece>& pieces);
  CUresult LaunchFromHost(std::span<const uint8_t> bytes);
  CUresult LaunchUpdate(CUdeviceptr data, uint64_t bytes);
  CUresult LaunchFinish(std::array<uint8_t, 32>* digest);

  // RegionUser, under the life's lock.
  void TakeAway() override;
  void Withdraw(uint64_t /*offset*/, uint64_t /*bytes*/) override {}
  absl::Status PutBack(const RegionPlace& /*place*/) override { return absl::OkStatus(); }

  const std::shared_ptr<CudaMemory> memory_;
  const std::shared_ptr<RegionLife> life_;
  const uint64_t region_bytes_;

  // Made by Create(), constant afterwards.
  CUmodule module_ = nullptr;
  CUfunction update_ = nullptr;
  CUfunction finish_ = nullptr;
  CUstream stream_ = nullptr;
  CUdeviceptr state_ = 0;
  CUdeviceptr from_host_ = 0;  // kDeviceHashHostBytes.
  bool joined_ = false;

  HaltGate gate_;
  bool ended_ = false;         // By Finish(), or by a hole in the stream.
  uint64_t first_offset_ = 0;  // Of the first piece, already launched: how much of it.
  uint64_t batch_count_ = 0;
  std::array<std::optional<CudaEventDone>, kDeviceHashLaunchesMax> events_;
};

}  // namespace devmem
