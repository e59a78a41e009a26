// SPDX-License-Identifier: Apache-2.0
//
// netlink_dump COMMAND: a dump of the kernel's family `netdev` over a raw socket, each answer's
// attributes as a line of hexadecimal digits for netlink_reader.py. For the lab's guest, which has
// no Python. It shares no code with devmem, on purpose. Follows the kernel's
// Documentation/userspace-api/netlink/intro.rst.

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

// The kernel's macros are signed.
constexpr size_t kMessageHead = sizeof(nlmsghdr) + sizeof(genlmsghdr);
constexpr size_t kAttributeHead = sizeof(nlattr);

constexpr size_t Aligned(size_t bytes) { return (bytes + 3) / 4 * 4; }

struct Request {
  nlmsghdr header;
  genlmsghdr generic;
  nlattr name_header;
  char name[8];
};

void Ask(int socket, uint16_t family, uint8_t command, bool by_name) {
  Request request = {};
  request.header.nlmsg_len = by_name ? uint32_t{sizeof request} : uint32_t{kMessageHead};
  request.header.nlmsg_type = family;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  if (!by_name) request.header.nlmsg_flags |= NLM_F_DUMP;
  request.generic.cmd = command;
  request.generic.version = 1;
  request.name_header.nla_type = CTRL_ATTR_FAMILY_NAME;
  request.name_header.nla_len = kAttributeHead + sizeof "netdev";
  std::memcpy(request.name, "netdev", sizeof "netdev");
  if (send(socket, &request, request.header.nlmsg_len, 0) < 0) std::exit(1);
}

// The number of the family that CTRL_CMD_GETFAMILY answered with.
uint16_t FamilyId(const std::vector<uint8_t>& data, size_t size) {
  for (size_t at = kMessageHead; at + kAttributeHead <= size;) {
    nlattr attribute = {};
    std::memcpy(&attribute, &data[at], sizeof attribute);
    if (attribute.nla_len < kAttributeHead) break;
    uint16_t id = 0;
    std::memcpy(&id, &data[at + kAttributeHead], sizeof id);
    if (attribute.nla_type == CTRL_ATTR_FAMILY_ID) return id;
    at += Aligned(attribute.nla_len);
  }
  std::exit(1);
}

// False behind the last message.
bool PrintMessages(const std::vector<uint8_t>& data, size_t size) {
  for (size_t at = 0; at + sizeof(nlmsghdr) <= size;) {
    nlmsghdr header = {};
    std::memcpy(&header, &data[at], sizeof header);
    if (header.nlmsg_type == NLMSG_DONE) return false;
    if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_len < sizeof(nlmsghdr)) std::exit(1);
    for (size_t i = kMessageHead; i < header.nlmsg_len; ++i) {
      std::printf("%02x", data[at + i]);
    }
    std::printf("\n");
    at += Aligned(header.nlmsg_len);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const int command = argc == 2 ? std::atoi(argv[1]) : 0;
  const int socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
  if (command <= 0 || command > UINT8_MAX || socket < 0) return 1;
  std::vector<uint8_t> data(size_t{1} << 20);
  const auto receive = [&] {
    const ssize_t bytes = recv(socket, data.data(), data.size(), 0);
    if (bytes < 0) std::exit(1);
    return static_cast<size_t>(bytes);
  };
  Ask(socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, true);
  const uint16_t family = FamilyId(data, receive());
  Ask(socket, family, static_cast<uint8_t>(command), false);
  while (PrintMessages(data, receive())) {
  }
  close(socket);
  return 0;
}
