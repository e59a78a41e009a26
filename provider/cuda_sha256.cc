// SPDX-License-Identifier: Apache-2.0
// See cuda_sha256.h.
#include "provider/cuda_sha256.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "provider/cuda_api.h"
#include "provider/cuda_device.h"
#include "provider/cuda_sha256_state.h"

namespace devmem {
namespace {

// The driver compiles it for the GPU that it finds, and keeps the result in a cache of its own.
constexpr char kKernels[] =
#include "provider/cuda_sha256_ptx.inc"
    ;

// FIPS 180-4 section 5.3.3.
constexpr CudaSha256State kFreshState = {.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
                                         .total_bytes = 0,
                                         .partial = {},
                                         .padding = {},
                                         .digest = {}};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceSha256>> CudaSha256::Create(const CudaRegion& region) {
  absl::Status usable = region.status();
  if (!usable.ok()) return usable;
  std::unique_ptr<CudaSha256> hash(new CudaSha256(region));
  const CUresult prepared = hash->Prepare();
  if (prepared != CUDA_SUCCESS) return hash->Failed(prepared, "preparing a hash");
  usable = region.life()->Join(hash.get());
  if (!usable.ok()) return usable;
  hash->joined_ = true;
  return std::unique_ptr<DeviceSha256>(std::move(hash));
}

CUresult CudaSha256::Prepare() {
  const CudaDevice::Current current(memory_->device());
  CUresult result = current.result();
  if (result == CUDA_SUCCESS) result = api().ModuleLoadData(&module_, kKernels);
  if (result == CUDA_SUCCESS) {
    result = api().ModuleGetFunction(&update_, module_, "devmem_sha256_update");
  }
  if (result == CUDA_SUCCESS) {
    result = api().ModuleGetFunction(&finish_, module_, "devmem_sha256_finish");
  }
  if (result == CUDA_SUCCESS) result = api().StreamCreate(&stream_, kCuStreamNonBlocking);
  if (result == CUDA_SUCCESS) result = api().MemAlloc(&state_, sizeof(CudaSha256State));
  if (result == CUDA_SUCCESS) result = api().MemAlloc(&from_host_, kDeviceHashHostBytes);
  if (result == CUDA_SUCCESS) {
    result = api().MemcpyHtoDAsync(state_, &kFreshState, sizeof(kFreshState), stream_);
  }
  if (result == CUDA_SUCCESS) result = api().StreamSynchronize(stream_);
  return result;
}

CudaSha256::~CudaSha256() {
  if (joined_) life_->Leave(this);
  const CudaDevice::Current current(memory_->device());
  if (stream_ != nullptr) (void)api().StreamSynchronize(stream_);
  if (state_ != 0) (void)api().MemFree(state_);
  if (from_host_ != 0) (void)api().MemFree(from_host_);
  if (stream_ != nullptr) (void)api().StreamDestroy(stream_);
  if (module_ != nullptr) (void)api().ModuleUnload(module_);
}

bool CudaSha256::full() {
  const std::optional<CudaEventDone>& oldest = events_[batch_count_ % kDeviceHashLaunchesMax];
  return !gate_.closed() && oldest.has_value() && !(*oldest)();
}

absl::Status CudaSha256::CheckPieces(std::span<const RegionPiece> pieces) const {
  for (const RegionPiece& piece : pieces) {
    if (piece.offset <= region_bytes_ && piece.bytes <= region_bytes_ - piece.offset) continue;
    return absl::OutOfRangeError(absl::StrCat("a hash of ", piece.bytes, " bytes at ", piece.offset,
                                              " is refused: the region has ", region_bytes_,
                                              " bytes"));
  }
  return absl::OkStatus();
}

// Why the gate is closed. Whoever closed it may not have written down the reason yet: the lock that
// status() takes waits for that.
absl::Status CudaSha256::Gone() const {
  absl::Status status = life_->status();
  return status.ok() ? absl::AbortedError("a hash lost its region") : status;
}

// Outside of the gate: a device that is lost takes its regions, this one's too.
absl::Status CudaSha256::Failed(CUresult result, const char* what) {
  memory_->device().ReportError(result);
  return api().ToStatus(result, absl::StrCat(what, " on ", Describe(memory_->device().info())));
}

CUresult CudaSha256::Synchronize() {
  const CudaDevice::Current current(memory_->device());
  return current.result() == CUDA_SUCCESS ? api().StreamSynchronize(stream_) : current.result();
}

absl::StatusOr<std::function<bool()>> CudaSha256::Update(std::span<const RegionPiece> pieces) {
  const absl::Status checked = CheckPieces(pieces);
  if (!checked.ok()) return checked;
  if (ended_) return absl::FailedPreconditionError("bytes for a hash that has its end");
  first_offset_ = 0;
  while (!pieces.empty()) {
    CUresult result = full() ? Synchronize() : CUDA_SUCCESS;
    if (!gate_.Enter()) return Gone();
    if (result == CUDA_SUCCESS) result = LaunchBatch(pieces);
    gate_.Leave();
    // A hole in the stream cannot be mended.
    ended_ = result != CUDA_SUCCESS;
    if (ended_) return Failed(result, "hashing");
    absl::StatusOr<CudaEventDone> done =
        CudaEventDone::RecordOn(memory_->shared_device(), life_, stream_);
    ended_ = !done.ok();
    if (ended_) return done.status();
    events_[batch_count_++ % kDeviceHashLaunchesMax] = *std::move(done);
  }
  if (gate_.closed()) return Gone();
  if (batch_count_ == 0) return std::function<bool()>([] { return true; });
  return std::function<bool()>(*events_[(batch_count_ - 1) % kDeviceHashLaunchesMax]);
}

// Launches the next pieces, up to the bounds of a batch, and takes them off the front of `pieces`.
CUresult CudaSha256::LaunchBatch(std::span<const RegionPiece>& pieces) {
  const CudaDevice::Current current(memory_->device());
  CUresult result = current.result();
  uint64_t room_bytes = kCudaHashBatchBytesMax;
  for (uint32_t launches = 0; launches < kDeviceHashPiecesMax && room_bytes > 0; ++launches) {
    if (pieces.empty() || result != CUDA_SUCCESS) return result;
    const RegionPiece& piece = pieces.front();
    const uint64_t bytes = std::min(piece.bytes - first_offset_, room_bytes);
    if (bytes > 0) result = LaunchUpdate(memory_->address() + piece.offset + first_offset_, bytes);
    room_bytes -= bytes;
    first_offset_ += bytes;
    if (first_offset_ < piece.bytes) continue;
    pieces = pieces.subspan(1);
    first_offset_ = 0;
  }
  return result;
}

CUresult CudaSha256::LaunchUpdate(CUdeviceptr data, uint64_t bytes) {
  void* parameters[] = {&data, &bytes, &state_};
  return api().LaunchKernel(update_, 1, 1, 1, 1, 1, 1, 0, stream_, parameters, nullptr);
}

absl::Status CudaSha256::UpdateFromHost(std::span<const uint8_t> bytes) {
  if (ended_) return absl::FailedPreconditionError("bytes for a hash that has its end");
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), kDeviceHashHostBytes);
    if (!gate_.Enter()) return Gone();
    const CUresult result = LaunchFromHost(bytes.first(count));
    gate_.Leave();
    ended_ = result != CUDA_SUCCESS;
    if (ended_) return Failed(result, "hashing");
    bytes = bytes.subspan(count);
  }
  return gate_.closed() ? Gone() : absl::OkStatus();
}

// The stream runs in order, and is waited for: the bytes may be replaced at once.
CUresult CudaSha256::LaunchFromHost(std::span<const uint8_t> bytes) {
  const CudaDevice::Current current(memory_->device());
  CUresult result = current.result();
  if (result == CUDA_SUCCESS) {
    result = api().MemcpyHtoDAsync(from_host_, bytes.data(), bytes.size(), stream_);
  }
  if (result == CUDA_SUCCESS) result = LaunchUpdate(from_host_, bytes.size());
  return result == CUDA_SUCCESS ? api().StreamSynchronize(stream_) : result;
}

absl::StatusOr<std::array<uint8_t, 32>> CudaSha256::Finish() {
  if (ended_) return absl::FailedPreconditionError("a hash has its end already");
  ended_ = true;
  if (!gate_.Enter()) return Gone();
  std::array<uint8_t, 32> digest = {};
  const CUresult result = LaunchFinish(&digest);
  gate_.Leave();
  if (result != CUDA_SUCCESS) return Failed(result, "ending a hash");
  return digest;
}

CUresult CudaSha256::LaunchFinish(std::array<uint8_t, 32>* digest) {
  const CudaDevice::Current current(memory_->device());
  CUresult result = current.result();
  void* parameters[] = {&state_};
  if (result == CUDA_SUCCESS) {
    result = api().LaunchKernel(finish_, 1, 1, 1, 1, 1, 1, 0, stream_, parameters, nullptr);
  }
  if (result == CUDA_SUCCESS) {
    result = api().MemcpyDtoHAsync(digest->data(), state_ + offsetof(CudaSha256State, digest),
                                   digest->size(), stream_);
  }
  return result == CUDA_SUCCESS ? api().StreamSynchronize(stream_) : result;
}

void CudaSha256::TakeAway() {
  gate_.Close();
  (void)Synchronize();
}

}  // namespace devmem
