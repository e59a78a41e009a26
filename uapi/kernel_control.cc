// SPDX-License-Identifier: Apache-2.0
//
// Walks control messages.

#include "uapi/kernel_control.h"

#include <cstring>

#include "uapi/abi/devmem_socket.h"

namespace devmem {
namespace {

using Verdict = ControlReading::Verdict;

bool IsDevmem(const cmsghdr& header) {
  return header.cmsg_level == SOL_SOCKET &&
         (header.cmsg_type == SCM_DEVMEM_LINEAR || header.cmsg_type == SCM_DEVMEM_DMABUF);
}

KernelPiece Decode(const cmsghdr& header, const abi::dmabuf_cmsg& body) {
  KernelPiece piece{.linear = header.cmsg_type == SCM_DEVMEM_LINEAR, .bytes = body.frag_size};
  if (piece.linear) return piece;
  piece.token = body.frag_token;
  piece.dmabuf_id = body.dmabuf_id;
  piece.offset = body.frag_offset;
  return piece;
}

}  // namespace

ControlReading ReadControl(const msghdr& message, size_t received, std::span<KernelPiece> pieces) {
  ControlReading reading;
  uint64_t bytes = 0;
  bool any = false;
  // CMSG_NXTHDR wants a message that it may write, and does not.
  msghdr walked = message;
  for (cmsghdr* header = CMSG_FIRSTHDR(&walked); header != nullptr;
       header = CMSG_NXTHDR(&walked, header)) {
    if (!IsDevmem(*header)) continue;
    any = true;
    // Kernels before 6.14 cut a message that did not fit and said nothing.
    if (header->cmsg_len != CMSG_LEN(sizeof(abi::dmabuf_cmsg))) {
      reading.verdict = Verdict::kTruncated;
      return reading;
    }
    if (reading.count == pieces.size()) {
      reading.verdict = Verdict::kOverflow;
      return reading;
    }
    abi::dmabuf_cmsg body;
    std::memcpy(&body, CMSG_DATA(header), sizeof(body));
    if (body.frag_size == 0) continue;
    bytes += body.frag_size;
    pieces[reading.count++] = Decode(*header, body);
  }
  if (any) {
    if (bytes != received) reading.verdict = Verdict::kMismatch;
    return reading;
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    reading.verdict = Verdict::kTruncated;
    return reading;
  }
  reading.plain = true;
  pieces[reading.count++] = {.linear = true, .bytes = static_cast<uint32_t>(received)};
  return reading;
}

}  // namespace devmem
