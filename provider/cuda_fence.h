// SPDX-License-Identifier: Apache-2.0
// CudaEventDone: whether a GPU has finished with what an application gave it. Asked by the fence of
// Connection::Release(frags, fence), so that no frag is written over while a kernel reads it:
//
//   auto done = CudaEventDone::Record(*region, stream);   // after launching the kernel
//   connection->Release(frags, Fence::FromCallback(*done));
//
// Made on the application's thread, asked on the one that drives the session. CUDA driver API,
// events.
#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "provider/region.h"

struct CUevent_st;   // A CUevent or cudaEvent_t points to one,
struct CUstream_st;  // a CUstream or cudaStream_t to one.

namespace devmem {

class CudaDevice;  // provider/cuda_device.h

// A value whose copies ask the same event. A call is for any thread.
class CudaEventDone {
 public:
  // Everything that was given to `stream` until now; null is the legacy default stream. The event
  // is made here and destroyed with the last copy. kFailedPrecondition: not a cuda region;
  // kAborted: it was revoked; the driver's errors.
  static absl::StatusOr<CudaEventDone> Record(const Region& region, CUstream_st* stream);

  // The same on a device, for users inside of the memory layer: `life` is revoked where the event
  // fails.
  static absl::StatusOr<CudaEventDone> RecordOn(std::shared_ptr<CudaDevice> device,
                                                std::shared_ptr<RegionLife> life,
                                                CUstream_st* stream);

  // An event that the application recorded, in the GPU's primary context. Takes ownership.
  static absl::StatusOr<CudaEventDone> Adopt(const Region& region, CUevent_st* event);

  // True once the work is done, and from then on. A driver that fails ends the wait, too, and
  // revokes the region, so that nothing is written over what the device may still read; when the
  // device is lost, every region on it is revoked.
  bool operator()() const;

 private:
  struct State;
  explicit CudaEventDone(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;
};

}  // namespace devmem
