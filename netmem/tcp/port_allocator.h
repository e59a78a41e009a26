// SPDX-License-Identifier: Apache-2.0
// Picks the local port of an active open: RFC 6056 section 3.3.3, algorithm 3 (simple hash-based).
// Ports toward one remote endpoint come one after the other, which keeps a 4-tuple unused for long;
// where they start differs per endpoint and cannot be predicted. One per session, on the thread
// that connects.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "netmem/tcp/limits.h"
#include "netmem/tcp/siphash.h"
#include "netmem/wire/ip_address.h"

namespace devmem {

class PortAllocator {
 public:
  // Ports from `first` to `last`, both included; first <= last.
  explicit PortAllocator(const SipKey& secret, uint16_t first = kEphemeralPortFirst,
                         uint16_t last = kEphemeralPortLast);

  // A port for which `in_use` says false, or nothing when it says true for the whole range: the
  // remote endpoint has as many connections as there are ports. `in_use` is asked once per port.
  std::optional<uint16_t> Allocate(const IpAddress& local, const IpAddress& remote,
                                   uint16_t remote_port,
                                   absl::FunctionRef<bool(uint16_t port)> in_use);

  uint32_t port_count() const { return port_count_; }

 private:
  SipKey secret_;
  uint16_t first_;
  uint32_t port_count_;
  uint32_t next_ = 0;  // The RFC's next_ephemeral, shared by all endpoints.
};

}  // namespace devmem
