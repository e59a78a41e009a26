// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/link_info.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/netlink/attributes.h"
#include "uapi/netlink/netlink_exchange.h"

namespace devmem {
namespace {

// Numbers since Linux 5.14; their names are enumerators, so their presence cannot be tested.
constexpr uint16_t kParentDevName = 56;
constexpr uint16_t kParentDevBusName = 57;

LinkInfo Decode(std::span<const uint8_t> payload) {
  LinkInfo link;
  ifinfomsg header;
  if (payload.size() < sizeof(header)) return link;
  std::memcpy(&header, payload.data(), sizeof(header));
  const Attributes attributes(payload.subspan(sizeof(header)));
  link.ifindex = static_cast<uint32_t>(header.ifi_index);
  link.up = (header.ifi_flags & IFF_UP) != 0;
  link.loopback = (header.ifi_flags & IFF_LOOPBACK) != 0;
  link.name = attributes.String(IFLA_IFNAME).value_or("");
  link.carrier = attributes.U8(IFLA_CARRIER).value_or(0) != 0;
  link.mtu_bytes = attributes.U32(IFLA_MTU).value_or(0);
  link.rx_queues_max = attributes.U32(IFLA_NUM_RX_QUEUES);
  link.tx_queues_max = attributes.U32(IFLA_NUM_TX_QUEUES);
  link.bus = attributes.String(kParentDevBusName).value_or("");
  link.bus_device = attributes.String(kParentDevName).value_or("");
  if (const std::optional<Attributes> info = attributes.Nest(IFLA_LINKINFO)) {
    link.kind = info->String(IFLA_INFO_KIND).value_or("");
  }
  if (const std::optional<Attributes> xdp = attributes.Nest(IFLA_XDP)) {
    link.xdp_attached = xdp->U8(IFLA_XDP_ATTACHED).value_or(XDP_ATTACHED_NONE) != XDP_ATTACHED_NONE;
    link.xdp_program_id = xdp->U32(IFLA_XDP_PROG_ID);
  }
  return link;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinkClient>> LinkClient::Open(absl::string_view netns_path) {
  absl::StatusOr<std::unique_ptr<NetlinkTransport>> transport =
      OpenNetlink(NETLINK_ROUTE, netns_path);
  if (!transport.ok()) return transport.status();
  return std::make_unique<LinkClient>(*std::move(transport));
}

LinkClient::LinkClient(std::unique_ptr<NetlinkTransport> transport)
    : transport_(std::move(transport)) {}

absl::StatusOr<std::vector<LinkInfo>> LinkClient::Links() {
  const ifinfomsg header = {};
  std::array<uint8_t, sizeof(header)> bytes;
  std::memcpy(bytes.data(), &header, sizeof(header));
  NetlinkRequest request = NetlinkRequest::Plain(RTM_GETLINK, true, bytes);
  absl::StatusOr<NetlinkAnswer> answer =
      Exchange(*transport_, request, nullptr, NLMSG_HDRLEN + sizeof(header));
  if (!answer.ok()) return answer.status();
  if (!answer->error.ok()) {
    return absl::UnavailableError(
        absl::StrCat("the kernel does not list its interfaces [", answer->error.ToString(), "]"));
  }
  std::vector<LinkInfo> links;
  for (const NetlinkMessage& message : answer->messages) {
    if (message.type == RTM_NEWLINK) links.push_back(Decode(message.payload));
  }
  return links;
}

absl::StatusOr<LinkInfo> LinkClient::Link(absl::string_view name) {
  const absl::StatusOr<std::vector<LinkInfo>> links = Links();
  if (!links.ok()) return links.status();
  for (const LinkInfo& link : *links) {
    if (link.name == name) return link;
  }
  const auto append_name = [](std::string* out, const LinkInfo& link) { *out += link.name; };
  return absl::NotFoundError(absl::StrCat("there is no interface \"", name,
                                          "\" in this network namespace; there are ",
                                          absl::StrJoin(*links, ", ", append_name)));
}

absl::StatusOr<LinkInfo> LinkClient::Link(uint32_t ifindex) {
  const absl::StatusOr<std::vector<LinkInfo>> links = Links();
  if (!links.ok()) return links.status();
  for (const LinkInfo& link : *links) {
    if (link.ifindex == ifindex) return link;
  }
  return absl::NotFoundError(
      absl::StrCat("there is no interface number ", ifindex, " in this network namespace"));
}

}  // namespace devmem
