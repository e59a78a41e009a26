// SPDX-License-Identifier: Apache-2.0
//
// The NetlinkTransport on libnl.

#include <linux/netlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/netlink/limits.h"
#include "uapi/netlink/netlink_error.h"
#include "uapi/netlink/netlink_transport.h"
#include "uapi/netlink/netns.h"

namespace devmem {
namespace {

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
using SocketPtr = std::unique_ptr<nl_sock, FreeSocket>;

// What libnl says, with the errno that it hides as far as one is left.
absl::Status LibnlError(absl::string_view what, int result) {
  const std::string text = absl::StrCat(what, ": ", nl_geterror(result));
  return result == -NLE_PERM ? absl::PermissionDeniedError(text) : absl::UnavailableError(text);
}

class LibnlTransport final : public NetlinkTransport {
 public:
  explicit LibnlTransport(SocketPtr socket) : socket_(std::move(socket)) {}

  absl::Status Send(NetlinkRequest& request) override {
    nl_complete_msg(socket_.get(), request.message());
    const int result = nl_send(socket_.get(), request.message());
    return result < 0 ? LibnlError("sending to the kernel by netlink", result) : absl::OkStatus();
  }

  absl::StatusOr<std::vector<uint8_t>> Receive() override {
    sockaddr_nl from = {};
    unsigned char* bytes = nullptr;
    errno = 0;
    const int result = nl_recv(socket_.get(), &from, &bytes, nullptr);
    std::vector<uint8_t> datagram;
    if (result > 0) datagram.assign(bytes, bytes + result);
    std::free(bytes);
    if (result > 0 && from.nl_pid == 0) return datagram;
    if (result > 0) return std::vector<uint8_t>();  // Not from the kernel: nobody's business.
    if (result == -NLE_NOMEM && errno == ENOBUFS) {
      return absl::DataLossError(
          "the kernel had more notifications than the socket could hold; "
          "read the state again");
    }
    if (result != 0 && result != -NLE_AGAIN) {
      return LibnlError("receiving from the kernel by netlink", result);
    }
    if (!waiting_) return std::vector<uint8_t>();
    return absl::DeadlineExceededError(
        absl::StrCat("the kernel did not answer within ", kNetlinkTimeoutMillis / 1000,
                     " s; a driver may be stuck: look at the kernel's log"));
  }

  absl::Status Join(uint32_t group) override {
    const int result = nl_socket_add_membership(socket_.get(), static_cast<int>(group));
    return result < 0 ? LibnlError("joining a netlink group", result) : absl::OkStatus();
  }

  absl::Status SetWaiting(bool waiting) override {
    if (!waiting && nl_socket_set_nonblocking(socket_.get()) < 0) {
      return absl::UnavailableError("a netlink socket cannot be made non-blocking");
    }
    waiting_ = waiting;
    return absl::OkStatus();
  }

  int fd() const override { return nl_socket_get_fd(socket_.get()); }

 private:
  const SocketPtr socket_;
  bool waiting_ = true;
};

absl::Status SetOptions(int fd) {
  const int on = 1;
  // Old kernels lack some of these options; they only make answers better.
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
  const timeval timeout = {.tv_sec = kNetlinkTimeoutMillis / 1000, .tv_usec = 0};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0) {
    return absl::UnavailableError(absl::StrCat("SO_RCVTIMEO: ", ErrnoName(errno)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetlinkTransport>> OpenNetlink(int protocol,
                                                              absl::string_view netns_path) {
  SocketPtr socket(nl_socket_alloc());
  if (socket == nullptr) return absl::ResourceExhaustedError("no memory for a netlink socket");
  const absl::Status opened = InNetns(netns_path, [&] {
    const int result = nl_connect(socket.get(), protocol);
    return result < 0 ? LibnlError("opening a netlink socket", result) : absl::OkStatus();
  });
  if (!opened.ok()) return opened;
  nl_socket_enable_msg_peek(socket.get());
  const absl::Status status = SetOptions(nl_socket_get_fd(socket.get()));
  if (!status.ok()) return status;
  return std::make_unique<LibnlTransport>(std::move(socket));
}

}  // namespace devmem
