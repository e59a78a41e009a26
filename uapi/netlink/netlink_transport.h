// SPDX-License-Identifier: Apache-2.0
//
// A netlink socket, as far as it moves datagrams: libnl's, or one that a test feeds. What the
// datagrams mean is netlink_exchange.h. One thread at a time.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/netlink_request.h"

namespace devmem {

class NetlinkTransport {
 public:
  virtual ~NetlinkTransport() = default;
  // Fills in sequence number and port, and sends. The kernel does the work inside this call.
  virtual absl::Status Send(NetlinkRequest& request) = 0;
  // The next datagram; empty when none is there and the socket does not wait.
  // Errors: kDeadlineExceeded  nothing within kNetlinkTimeoutMillis.
  //         kDataLoss          notifications were lost: the receive buffer was full.
  virtual absl::StatusOr<std::vector<uint8_t>> Receive() = 0;
  virtual absl::Status Join(uint32_t group) = 0;
  virtual absl::Status SetWaiting(bool waiting) = 0;
  virtual int fd() const = 0;
};

// Opens a socket of `protocol` (NETLINK_GENERIC, NETLINK_ROUTE) in a network namespace's file;
// empty: the calling thread's. Extended acknowledgements and strict checking are on.
// Errors: InNetns(); kUnavailable.
absl::StatusOr<std::unique_ptr<NetlinkTransport>> OpenNetlink(int protocol,
                                                              absl::string_view netns_path);

}  // namespace devmem
