// SPDX-License-Identifier: Apache-2.0
//
// One netlink request under construction, in a message of libnl's. Made by the clients of
// uapi/netlink, sent by a NetlinkTransport; used by one thread. Every request fits: what goes in is
// bounded by limits.h.

#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/strings/string_view.h"

struct nl_msg;
struct nlattr;

namespace devmem {

class NetlinkRequest {
 public:
  // A generic netlink request. The family's number is filled in when it is sent.
  static NetlinkRequest Generic(uint8_t command, bool dump = false);
  // A request with a fixed header, such as rtnetlink's.
  static NetlinkRequest Plain(uint16_t type, bool dump, std::span<const uint8_t> header);

  NetlinkRequest& U8(uint16_t type, uint8_t value);
  NetlinkRequest& U32(uint16_t type, uint32_t value);
  NetlinkRequest& String(uint16_t type, absl::string_view value);
  NetlinkRequest& Flag(uint16_t type);
  NetlinkRequest& Bytes(uint16_t type, std::span<const uint8_t> value);
  NetlinkRequest& Begin(uint16_t type);  // A nest; End() closes the innermost.
  NetlinkRequest& End();

  bool dump() const;
  uint8_t command() const;  // Of a generic request.
  nl_msg* message() const { return message_.get(); }
  // The whole message, its header included.
  std::span<const uint8_t> bytes() const;
  // The attributes behind the generic header.
  std::span<const uint8_t> attributes() const;

 private:
  struct Free {
    void operator()(nl_msg* message) const;
  };
  static constexpr uint32_t kDepthMax = 4;

  NetlinkRequest();

  std::unique_ptr<nl_msg, Free> message_;
  nlattr* nests_[kDepthMax] = {};
  uint32_t depth_ = 0;
};

}  // namespace devmem
