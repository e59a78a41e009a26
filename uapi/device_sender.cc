// SPDX-License-Identifier: Apache-2.0
//
// Zero-copy sends and their notices.

#include "uapi/device_sender.h"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "uapi/abi/devmem_socket.h"

namespace devmem {
namespace {

// How many sends a notice reports; 0 for what is none.
uint32_t SendsReported(const cmsghdr& header) {
  const bool of_ip = (header.cmsg_level == SOL_IP && header.cmsg_type == IP_RECVERR) ||
                     (header.cmsg_level == SOL_IPV6 && header.cmsg_type == IPV6_RECVERR);
  if (!of_ip || header.cmsg_len < CMSG_LEN(sizeof(sock_extended_err))) return 0;
  sock_extended_err error;
  std::memcpy(&error, CMSG_DATA(&header), sizeof(error));
  if (error.ee_origin != SO_EE_ORIGIN_ZEROCOPY || error.ee_errno != 0) return 0;
  // The range [ee_info, ee_data] of send numbers.
  return error.ee_data - error.ee_info + 1;
}

}  // namespace

absl::Status DeviceSender::Prepare(absl::string_view device) {
  const int on = 1;
  const int zerocopy = calls_->SetOption(socket_, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on));
  if (zerocopy < 0) {
    return absl::UnimplementedError(
        absl::StrCat("this kernel's sockets have no SO_ZEROCOPY: ", std::strerror(-zerocopy)));
  }
  const std::string name(device);
  const int bound = calls_->SetOption(socket_, SOL_SOCKET, SO_BINDTODEVICE, name.c_str(),
                                      static_cast<socklen_t>(name.size() + 1));
  if (bound >= 0) return absl::OkStatus();
  return ErrnoToStatus(-bound, absl::StrCat("cannot bind the socket to ", name,
                                            ", which alone can read the memory to send"));
}

ssize_t DeviceSender::Send(uint32_t dmabuf_id, uint64_t offset, uint64_t bytes) {
  TakeNotices();
  // For these sends the kernel takes the address for an offset in the dma-buf; 0 is a good one.
  iovec vector{reinterpret_cast<void*>(offset), bytes};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(dmabuf_id))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_DEVMEM_DMABUF;
  header->cmsg_len = CMSG_LEN(sizeof(dmabuf_id));
  std::memcpy(CMSG_DATA(header), &dmabuf_id, sizeof(dmabuf_id));
  const ssize_t sent =
      calls_->SendMessage(socket_, &message, MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0) ++outstanding_;
  return sent;
}

void DeviceSender::TakeNotices() {
  while (outstanding_ > 0) {
    alignas(cmsghdr) std::array<uint8_t, 256> control;
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (calls_->ReceiveMessage(socket_, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
      outstanding_ -= std::min(outstanding_, SendsReported(*header));
    }
  }
}

}  // namespace devmem
