// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/netlink_monitor.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/attribute_names.h"
#include "uapi/netlink/netdev_decode.h"

namespace devmem {
namespace {

bool IsText(std::span<const uint8_t> payload) {
  return payload.size() > 1 && payload.back() == 0 &&
         std::all_of(payload.begin(), payload.end() - 1,
                     [](uint8_t byte) { return byte >= 0x20 && byte < 0x7f; });
}

// What the bytes look like: the kernel does not send types along.
std::string Text(std::span<const uint8_t> payload) {
  if (payload.empty()) return "yes";
  if (IsText(payload)) return std::string(payload.begin(), payload.end() - 1);
  uint64_t number = 0;
  const size_t bytes = payload.size();
  if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
    return absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(payload.data()), bytes));
  }
  // Netlink is in the machine's own order; every machine that we run on is little-endian.
  std::memcpy(&number, payload.data(), bytes);
  return absl::StrCat(number);
}

void Append(const AttributeSet* set, const std::string& prefix, std::span<const uint8_t> bytes,
            std::vector<std::pair<std::string, std::string>>& out) {
  const Attributes attributes(bytes);
  for (const Attributes::Item& item : attributes.items()) {
    const std::string name = prefix + NameOf(set, item.type);
    const AttributeSet* const nested = NestedSet(set, item.type);
    if (nested != nullptr && !item.payload.empty()) {
      Append(nested, name + ".", item.payload, out);
    } else {
      out.emplace_back(name, Text(item.payload));
    }
  }
}

}  // namespace

NetlinkEvent DecodeEvent(absl::string_view family, const GenlMessage& message) {
  NetlinkEvent event;
  event.family = std::string(family);
  event.name = NotificationName(family, message.command);
  Append(NotificationAttributes(family, message.command), "", message.bytes, event.attributes);
  if (family != "netdev") return event;
  switch (message.command) {
    case abi::NETDEV_CMD_DEV_ADD_NTF:
    case abi::NETDEV_CMD_DEV_DEL_NTF:
    case abi::NETDEV_CMD_DEV_CHANGE_NTF: event.device = DecodeDevice(message.attributes()); break;
    case abi::NETDEV_CMD_PAGE_POOL_ADD_NTF:
    case abi::NETDEV_CMD_PAGE_POOL_DEL_NTF:
    case abi::NETDEV_CMD_PAGE_POOL_CHANGE_NTF:
      event.page_pool = DecodePagePool(message.attributes());
      break;
    default: break;
  }
  return event;
}

absl::StatusOr<std::unique_ptr<NetlinkMonitor>> NetlinkMonitor::Open(
    const std::vector<Group>& groups, absl::string_view netns_path) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return absl::ResourceExhaustedError("no descriptor is left for a monitor");
  std::unique_ptr<NetlinkMonitor> monitor(new NetlinkMonitor(epoll_fd));
  for (const auto& [family, group] : groups) {
    absl::StatusOr<std::unique_ptr<GenlSocket>> socket = GenlSocket::Open(family, netns_path);
    if (!socket.ok()) return socket.status();
    const absl::Status joined = (*socket)->Subscribe(group);
    if (!joined.ok()) return joined;
    epoll_event wanted = {};
    wanted.events = EPOLLIN;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, (*socket)->fd(), &wanted) != 0) {
      return absl::UnavailableError(absl::StrCat("epoll: ", ErrnoName(errno)));
    }
    monitor->sockets_.push_back(*std::move(socket));
  }
  return monitor;
}

NetlinkMonitor::~NetlinkMonitor() { close(epoll_fd_); }

absl::StatusOr<std::vector<NetlinkEvent>> NetlinkMonitor::Read() {
  std::vector<NetlinkEvent> events;
  for (const std::unique_ptr<GenlSocket>& socket : sockets_) {
    const absl::StatusOr<std::vector<GenlMessage>> messages = socket->Notifications();
    // What was read before is not thrown away for an error of another socket.
    if (!messages.ok() && events.empty()) return messages.status();
    if (!messages.ok()) continue;
    for (const GenlMessage& message : *messages) {
      events.push_back(DecodeEvent(socket->family().name, message));
    }
  }
  return events;
}

}  // namespace devmem
