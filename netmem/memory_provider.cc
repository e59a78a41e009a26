// SPDX-License-Identifier: Apache-2.0
//
// The one place that judges net_iov and slab sizes: bindings ask before they take a range, page
// pools before they cut it.

#include "netmem/memory_provider.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace devmem {

absl::Status CheckCut(uint32_t net_iov_bytes, uint32_t slab_bytes) {
  if (!std::has_single_bit(net_iov_bytes) || net_iov_bytes < kNetIovBytesMin ||
      net_iov_bytes > kNetIovBytesMax) {
    return absl::OutOfRangeError(absl::StrCat("net_iov size is ", net_iov_bytes,
                                              " bytes; choose a power of two from ",
                                              kNetIovBytesMin, " to ", kNetIovBytesMax));
  }
  const uint64_t slab_bytes_max =
      std::min(uint64_t{kSlabNetIovsMax} * net_iov_bytes, uint64_t{kSlabBytesMax});
  if (!std::has_single_bit(slab_bytes) || slab_bytes < net_iov_bytes ||
      slab_bytes > slab_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("slab size is ", slab_bytes, " bytes; for net_iovs of ", net_iov_bytes,
                     " bytes choose a power of two from ", net_iov_bytes, " to ", slab_bytes_max));
  }
  return absl::OkStatus();
}

}  // namespace devmem
