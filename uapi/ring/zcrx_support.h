// SPDX-License-Identifier: Apache-2.0
//
// What this kernel's io_uring can do for zero-copy receive, asked and not guessed from a version;
// and what a refused registration means, for which the kernel has no text. Called when a session
// opens, when a queue is bound, and by the doctor. Any thread; nothing is kept.
// Documentation/kernel-backends.md has the table.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace devmem {

struct ZcrxSupport {
  bool queried = false;         // Linux 6.18 answers questions; the flags are 0 where it does not.
  uint64_t register_flags = 0;  // ZCRX_REG_*.
  uint64_t area_flags = 0;      // IORING_ZCRX_AREA_*.
  uint32_t control_opcodes = 0;
  uint32_t features = 0;  // ZCRX_FEATURE_*.

  bool nodev() const;        // Registration without a NIC: all is copied.
  bool can_flush() const;    // ZCRX_CTRL_FLUSH_RQ.
  bool has_events() const;   // Events, and the counters of copies.
  bool chunk_sizes() const;  // Chunks larger than a page, where the NIC can too.
};

// Whether an instance could be registered by this process, as far as that shows without a NIC.
//
// Errors: kUnimplemented      the kernel has no io_uring, or none with zero-copy receive.
//         kPermissionDenied   CAP_NET_ADMIN of the initial user namespace is missing, or
//                             io_uring is switched off for this process.
//         kResourceExhausted  no ring can be made.
absl::Status CheckZcrx();
ZcrxSupport QueryZcrx();

// What was asked of the kernel, for the message.
struct ZcrxRequest {
  std::string device;
  uint32_t queue = 0;
  uint64_t area_bytes = 0;
  bool dmabuf = false;
  uint32_t chunk_bytes = 0;  // 0: a page.
};
// The status of a registration that failed with `err`: cause and remedy.
absl::Status ExplainZcrxRefusal(int err, const ZcrxRequest& request);
// The same for a ring that could not be made.
absl::Status ExplainRingRefusal(int err);

}  // namespace devmem
