// SPDX-License-Identifier: Apache-2.0
// OpenClSha256: SHA-256 of pieces of an OpenClRegion by a kernel on its device. A list of pieces is
// one launch, read by one work-item; the state stays on the device from launch to launch. Called by
// one thread, but for a revoke, which may come on any. The kernels are in opencl_kernels.cc.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "provider/device_sha256.h"
#include "provider/limits.h"
#include "provider/opencl_kernels.h"
#include "provider/opencl_region.h"
#include "provider/region_life.h"

namespace devmem {

// Invariants:
//   1. launches_[n % kDeviceHashLaunchesMax] is launch n, and its part of the piece table is not
//      written again until that launch has ended.
//   2. The queue runs in order: when a launch has ended, so has every one before it.
//   3. Once TakeAway() has returned, the device reads the region on behalf of this hash no more.
class OpenClSha256 final : public DeviceSha256, private RegionUser {
 public:
  // Errors: those of CreateDeviceSha256().
  static absl::StatusOr<std::unique_ptr<DeviceSha256>> Create(const OpenClRegion& region);

  // Waits for the device.
  ~OpenClSha256() override;
  OpenClSha256(const OpenClSha256&) = delete;
  OpenClSha256& operator=(const OpenClSha256&) = delete;

  bool full() override;
  absl::StatusOr<std::function<bool()>> Update(std::span<const RegionPiece> pieces) override;
  absl::Status UpdateFromHost(std::span<const uint8_t> bytes) override;
  absl::StatusOr<std::array<uint8_t, 32>> Finish() override;

 private:
  // A command that was queued. Shared by the table of launches and whoever asks for it.
  class Launch;

  explicit OpenClSha256(const OpenClRegion& region);

  absl::Status Open(const OpenClRegion& region);
  absl::Status OpenKernel(const OpenClRegion& region);
  absl::Status CheckPieces(std::span<const RegionPiece> pieces) const;
  absl::Status CheckUsable() const;
  int32_t EnqueueLocked(ClMem memory, std::span<const RegionPiece> pieces);
  int32_t LaunchLocked(ClMem memory, uint32_t first, uint32_t count);
  int32_t EnqueueHostLocked(std::span<const uint8_t> bytes);
  int32_t FinishLocked(OpenClSha256State* state);

  // RegionUser, under the life's lock, which is never taken while mutex_ is held.
  void TakeAway() override;
  void Withdraw(uint64_t /*offset*/, uint64_t /*bytes*/) override {}
  absl::Status PutBack(const RegionPlace& /*place*/) override { return absl::OkStatus(); }
  bool holds_up_removal() const override { return false; }

  const std::shared_ptr<OpenClDevice> device_;
  const OpenClApi& api_;
  const std::shared_ptr<RegionLife> life_;
  const uint64_t region_bytes_;
  const OpenClOwned<ClMem> region_buffer_;
  bool joined_ = false;

  // Made by Create(), constant afterwards.
  OpenClOwned<ClQueue> queue_;
  OpenClOwned<ClMem> table_;
  OpenClOwned<ClMem> from_host_;
  OpenClOwned<ClMem> state_;
  OpenClOwned<ClKernel> kernel_;

  // Guards what follows, between the caller and a revoke.
  std::mutex mutex_;
  bool halted_ = false;
  bool finished_ = false;
  uint64_t message_bytes_ = 0;
  uint64_t launch_count_ = 0;
  std::array<std::shared_ptr<Launch>, kDeviceHashLaunchesMax> launches_;
  std::vector<OpenClSha256Piece> pieces_;  // What the device's table is copied from.
};

}  // namespace devmem
