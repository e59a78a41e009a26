// SPDX-License-Identifier: Apache-2.0
//
// One request and its whole answer: single messages, dumps (taken again when something changed
// meanwhile), acknowledgements and refusals with all that extended acknowledgements say. Follows
// the kernel's Documentation/userspace-api/netlink/intro.rst. One thread per transport.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "uapi/netlink/attribute_names.h"
#include "uapi/netlink/netlink_error.h"
#include "uapi/netlink/netlink_transport.h"

namespace devmem {

struct NetlinkMessage {
  uint16_t type = 0;
  std::vector<uint8_t> payload;  // Behind the netlink header.
};

struct NetlinkAnswer {
  NetlinkError error;  // What the kernel refused; ok() otherwise.
  std::vector<NetlinkMessage> messages;
};

// Sends `request` and collects the answer. `names` are those of the request's attributes, which
// start `header_bytes` into the message; nullptr: attributes stay without names.
// Errors: the transport's; kAborted when a dump was disturbed kDumpAttemptsMax times;
//         kResourceExhausted beyond kNetlinkMessagesMax. A refusal is an answer, not an error.
absl::StatusOr<NetlinkAnswer> Exchange(NetlinkTransport& transport, NetlinkRequest& request,
                                       const AttributeSet* names, uint32_t header_bytes);

// The messages of a datagram that nobody asked for.
std::vector<NetlinkMessage> SplitNotifications(std::span<const uint8_t> datagram);

}  // namespace devmem
