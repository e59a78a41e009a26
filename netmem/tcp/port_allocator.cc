// SPDX-License-Identifier: Apache-2.0
// RFC 6056 section 3.3.3, with the loop turned the right way up: at most one turn around the range.
#include "netmem/tcp/port_allocator.h"

#include <array>

#include "netmem/wire/byte_order.h"
#include "provider/check.h"

namespace devmem {

PortAllocator::PortAllocator(const SipKey& secret, uint16_t first, uint16_t last)
    : secret_(secret), first_(first), port_count_(uint32_t{last} - first + 1) {
  DEVMEM_CHECK(first <= last, "the first port of the range must not be above the last");
}

std::optional<uint16_t> PortAllocator::Allocate(const IpAddress& local, const IpAddress& remote,
                                                uint16_t remote_port,
                                                absl::FunctionRef<bool(uint16_t port)> in_use) {
  std::array<uint8_t, 2 * IpAddress::kBytes + 2> input;
  local.StoreTo(&input[0]);
  remote.StoreTo(&input[IpAddress::kBytes]);
  StoreBe16(&input[2 * IpAddress::kBytes], remote_port);
  const uint64_t offset = SipHash24(secret_, input) % port_count_;
  for (uint32_t tries = 0; tries < port_count_; ++tries) {
    const uint64_t step = (offset + next_) % port_count_;
    next_ = (next_ + 1) % port_count_;
    const uint16_t port = static_cast<uint16_t>(first_ + step);
    if (!in_use(port)) return port;
  }
  return std::nullopt;
}

}  // namespace devmem
