// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/genl_channel.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/netlink/attribute_names.h"
#include "uapi/netlink/netlink_exchange.h"

namespace devmem {
namespace {

constexpr uint32_t kHeaderBytes = NLMSG_HDRLEN + GENL_HDRLEN;

void SetType(NetlinkRequest& request, uint16_t type) {
  nlmsg_hdr(request.message())->nlmsg_type = type;
}

GenlMessage FromNetlink(const NetlinkMessage& message) {
  GenlMessage out;
  if (message.payload.size() < GENL_HDRLEN) return out;
  out.command = message.payload[0];
  out.bytes.assign(message.payload.begin() + GENL_HDRLEN, message.payload.end());
  return out;
}

GenlFamily ParseFamily(const Attributes& attributes) {
  GenlFamily family;
  family.name = attributes.String(CTRL_ATTR_FAMILY_NAME).value_or("");
  const auto id = attributes.Bytes(CTRL_ATTR_FAMILY_ID);
  if (id && id->size() == sizeof(family.id)) std::memcpy(&family.id, id->data(), sizeof(family.id));
  family.version = attributes.U32(CTRL_ATTR_VERSION).value_or(0);
  // Both lists are arrays: the type of an element is its index.
  if (const auto operations = attributes.Nest(CTRL_ATTR_OPS)) {
    for (const Attributes::Item& item : operations->items()) {
      const std::optional<uint32_t> command = Attributes(item.payload).U32(CTRL_ATTR_OP_ID);
      if (command && *command <= UINT8_MAX) {
        family.commands.push_back(static_cast<uint8_t>(*command));
      }
    }
  }
  if (const auto groups = attributes.Nest(CTRL_ATTR_MCAST_GROUPS)) {
    for (const Attributes::Item& item : groups->items()) {
      const Attributes group(item.payload);
      const std::optional<std::string> name = group.String(CTRL_ATTR_MCAST_GRP_NAME);
      const std::optional<uint32_t> number = group.U32(CTRL_ATTR_MCAST_GRP_ID);
      if (name && number) family.groups[*name] = *number;
    }
  }
  return family;
}

absl::StatusOr<GenlFamily> AskFamily(NetlinkTransport& transport, absl::string_view name) {
  NetlinkRequest request = NetlinkRequest::Generic(CTRL_CMD_GETFAMILY);
  request.String(CTRL_ATTR_FAMILY_NAME, name);
  SetType(request, GENL_ID_CTRL);
  const absl::StatusOr<NetlinkAnswer> answer = Exchange(transport, request, nullptr, kHeaderBytes);
  if (!answer.ok()) return answer.status();
  if (answer->error.error == ENOENT) {
    return absl::NotFoundError(absl::StrCat(
        "this kernel has no netlink family \"", name, "\"",
        name == "netdev" ? ": it came with Linux 6.3, and device memory with 6.12" : ""));
  }
  if (!answer->error.ok() || answer->messages.empty()) {
    return absl::UnavailableError(absl::StrCat("the kernel does not describe its netlink family \"",
                                               name, "\" (", answer->error.ToString(), ")"));
  }
  return ParseFamily(FromNetlink(answer->messages[0]).attributes());
}

}  // namespace

bool GenlFamily::Has(uint8_t command) const {
  return std::find(commands.begin(), commands.end(), command) != commands.end();
}

GenlSocket::GenlSocket(std::unique_ptr<NetlinkTransport> transport, GenlFamily family)
    : transport_(std::move(transport)), family_(std::move(family)) {}

absl::StatusOr<std::unique_ptr<GenlSocket>> GenlSocket::Open(absl::string_view family,
                                                             absl::string_view netns_path) {
  absl::StatusOr<std::unique_ptr<NetlinkTransport>> transport =
      OpenNetlink(NETLINK_GENERIC, netns_path);
  if (!transport.ok()) return transport.status();
  return Open(family, *std::move(transport));
}

absl::StatusOr<std::unique_ptr<GenlSocket>> GenlSocket::Open(
    absl::string_view family, std::unique_ptr<NetlinkTransport> transport) {
  absl::StatusOr<GenlFamily> described = AskFamily(*transport, family);
  if (!described.ok()) return described.status();
  return std::unique_ptr<GenlSocket>(new GenlSocket(std::move(transport), *std::move(described)));
}

absl::StatusOr<GenlAnswer> GenlSocket::Exchange(NetlinkRequest request) {
  SetType(request, family_.id);
  const AttributeSet* const names = RequestAttributes(family_.name, request.command());
  absl::StatusOr<NetlinkAnswer> answer =
      devmem::Exchange(*transport_, request, names, kHeaderBytes);
  if (!answer.ok()) return answer.status();
  GenlAnswer out;
  out.error = std::move(answer->error);
  for (const NetlinkMessage& message : answer->messages) {
    if (message.type == family_.id) out.messages.push_back(FromNetlink(message));
  }
  return out;
}

absl::Status GenlSocket::Subscribe(absl::string_view group) {
  const auto found = family_.groups.find(std::string(group));
  if (found == family_.groups.end()) {
    return absl::NotFoundError(absl::StrCat("the kernel's netlink family \"", family_.name,
                                            "\" has no group \"", group, "\""));
  }
  const absl::Status joined = transport_->Join(found->second);
  return joined.ok() ? transport_->SetWaiting(false) : joined;
}

absl::StatusOr<std::vector<GenlMessage>> GenlSocket::Notifications() {
  const absl::StatusOr<std::vector<uint8_t>> datagram = transport_->Receive();
  if (!datagram.ok()) return datagram.status();
  std::vector<GenlMessage> out;
  for (const NetlinkMessage& message : SplitNotifications(*datagram)) {
    if (message.type == family_.id) out.push_back(FromNetlink(message));
  }
  return out;
}

}  // namespace devmem
