// SPDX-License-Identifier: Apache-2.0
// DeviceSha256: the SHA-256 (FIPS 180-4) of a stream whose pieces lie in a region, computed by the
// region's own device, so that nobody else has to read a byte. For programs that check what was
// received into memory that the processor cannot map. One thread at a time, but for the functions
// that Update() returns.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "provider/region.h"

namespace devmem {

// A stretch of a region, in bytes from its start.
struct RegionPiece {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

class DeviceSha256 {
 public:
  virtual ~DeviceSha256() = default;

  // Whether so much waits for the device that Update() would have to wait.
  virtual bool full() = 0;

  // The next bytes of the stream: the pieces in their order, any number of any length, none of
  // which is written until the device has read it. Returns a function that says whether it has, for
  // a Fence of uapi/: any thread may call it, at any time, also when the hash has gone. It says so,
  // too, when the device is lost: then nobody reads any more.
  //
  // Errors: kOutOfRange  a piece outside of the region.
  //         the region's status(), once it is no longer live; the driver's.
  virtual absl::StatusOr<std::function<bool()>> Update(std::span<const RegionPiece> pieces) = 0;

  // The next bytes of the stream, where these never reached the region: they are copied to the
  // device, which is waited for. For a few bytes now and then. Errors as Update().
  virtual absl::Status UpdateFromHost(std::span<const uint8_t> bytes) = 0;

  // The hash of everything so far; waits for the device. Ends the stream: a further call of
  // Update() or Finish() is refused with kFailedPrecondition. Errors as Update().
  virtual absl::StatusOr<std::array<uint8_t, 32>> Finish() = 0;
};

// A hash of bytes in `region`, whose memory it keeps alive. A further kind of device is one line in
// device_sha256.cc.
//
// Errors: kUnimplemented       the region is on no device that computes.
//         kFailedPrecondition  the device's driver cannot run our kernels, with its words.
//         the region's status(), once it is no longer live.
absl::StatusOr<std::unique_ptr<DeviceSha256>> CreateDeviceSha256(const Region& region);

}  // namespace devmem
