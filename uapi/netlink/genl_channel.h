// SPDX-License-Identifier: Apache-2.0
//
// A conversation with one generic netlink family: `netdev` or `ethtool` of the kernel, or a fake of
// a test. The clients are written against the interface. One thread at a time. The kernel's
// Documentation/userspace-api/netlink/intro.rst describes families and their operations.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/attributes.h"
#include "uapi/netlink/netlink_error.h"
#include "uapi/netlink/netlink_request.h"
#include "uapi/netlink/netlink_transport.h"

namespace devmem {

struct GenlMessage {
  uint8_t command = 0;
  std::vector<uint8_t> bytes;  // The attributes.

  Attributes attributes() const { return Attributes(bytes); }
};

struct GenlAnswer {
  NetlinkError error;
  std::vector<GenlMessage> messages;
};

// What the kernel says about a family (CTRL_CMD_GETFAMILY).
struct GenlFamily {
  std::string name;
  uint16_t id = 0;
  uint32_t version = 0;
  std::vector<uint8_t> commands;           // Those that can be requested.
  std::map<std::string, uint32_t> groups;  // Multicast groups by name.

  bool Has(uint8_t command) const;
};

class GenlChannel {
 public:
  virtual ~GenlChannel() = default;
  // Errors: Exchange() of netlink_exchange.h. A refusal of the kernel is an answer.
  virtual absl::StatusOr<GenlAnswer> Exchange(NetlinkRequest request) = 0;
  virtual const GenlFamily& family() const = 0;
};

// The kernel's family, over a socket of its own; closing the socket ends what the kernel ties to it
// (bindings of netdev).
class GenlSocket final : public GenlChannel {
 public:
  // `netns_path`: a namespace's file; empty: the calling thread's.
  // Errors: kNotFound  this kernel has no such family; and OpenNetlink().
  static absl::StatusOr<std::unique_ptr<GenlSocket>> Open(absl::string_view family,
                                                          absl::string_view netns_path = {});
  // The same over a transport of the caller's.
  static absl::StatusOr<std::unique_ptr<GenlSocket>> Open(
      absl::string_view family, std::unique_ptr<NetlinkTransport> transport);

  absl::StatusOr<GenlAnswer> Exchange(NetlinkRequest request) override;
  const GenlFamily& family() const override { return family_; }
  // From now on this socket is for notifications alone. Errors: kNotFound for an unknown group.
  absl::Status Subscribe(absl::string_view group);
  // Notifications that are there, without waiting; empty when none is.
  // Errors: kDataLoss  some were lost.
  absl::StatusOr<std::vector<GenlMessage>> Notifications();
  int fd() const { return transport_->fd(); }

 private:
  GenlSocket(std::unique_ptr<NetlinkTransport> transport, GenlFamily family);

  const std::unique_ptr<NetlinkTransport> transport_;
  const GenlFamily family_;
};

}  // namespace devmem
