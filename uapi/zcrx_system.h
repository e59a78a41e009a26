// SPDX-License-Identifier: Apache-2.0
//
// What the zcrx backend asks of the machine besides its NIC: instances, and whether a queue is free
// again. A seam for tests. Called on the session's thread.

#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "uapi/ring/zcrx_instance.h"
#include "uapi/ring/zcrx_port.h"

namespace devmem {

class ZcrxSystem {
 public:
  virtual ~ZcrxSystem() = default;

  // Errors: ZcrxInstance::Create().
  virtual absl::StatusOr<std::unique_ptr<ZcrxPort>> Open(const ZcrxOptions& options,
                                                         const ZcrxArea& area) = 0;
  // Returns when no io_uring has the queue any more, or when the time is up: kDeadlineExceeded.
  virtual absl::Status AwaitFree(uint32_t ifindex, uint32_t queue) = 0;

  // Lives for ever.
  static ZcrxSystem& OfThisMachine();
};

}  // namespace devmem
