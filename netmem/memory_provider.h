// SPDX-License-Identifier: Apache-2.0
//
// What a page pool hands out chunks of: a range of one region, and how it is cut. A binding gives a
// queue's pool its part of the bound range; a session gives it host memory. The pool never sees the
// bytes: the NIC reaches them through its DmaMapping. The kernel's counterpart is
// include/net/page_pool/memory_provider.h.

#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "netmem/limits.h"

namespace devmem {

struct MemoryProvider {
  uint32_t region_id = 0;
  uint64_t region_offset = 0;  // Where the range starts in the region, in bytes.
  uint64_t bytes = 0;          // The range's length; whole slabs are used, a rest is left alone.
  bool device = false;         // True: a bound region (net_iovs). False: host memory.
  uint32_t net_iov_bytes = kNetIovBytesDefault;  // A power of two.
  uint32_t slab_bytes = kSlabBytesDefault;       // A power of two, at least net_iov_bytes.
};

// Whether a range can be cut into net_iovs and slabs of these sizes.
//
// Errors: kOutOfRange       the net_iov size is no power of two, below kNetIovBytesMin or above
//                           kNetIovBytesMax.
//         kInvalidArgument  the slab size is no power of two, smaller than a net_iov, more than
//                           kSlabNetIovsMax of them or more than kSlabBytesMax.
absl::Status CheckCut(uint32_t net_iov_bytes, uint32_t slab_bytes);

}  // namespace devmem
