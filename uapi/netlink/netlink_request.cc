// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/netlink_request.h"

#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include <cstdlib>
#include <new>
#include <string>

#include "uapi/netlink/limits.h"

namespace devmem {
namespace {

constexpr uint8_t kGenlVersion = 1;

uint16_t Flags(bool dump) {
  return static_cast<uint16_t>(dump ? NLM_F_REQUEST | NLM_F_DUMP : NLM_F_REQUEST | NLM_F_ACK);
}

// A message is larger than anything that is put into it, so a failure is a broken invariant.
void Check(int result) {
  if (result < 0) std::abort();
}

}  // namespace

void NetlinkRequest::Free::operator()(nl_msg* message) const { nlmsg_free(message); }

NetlinkRequest::NetlinkRequest() : message_(nlmsg_alloc_size(kNetlinkRequestBytesMax)) {
  if (message_ == nullptr) throw std::bad_alloc();
}

NetlinkRequest NetlinkRequest::Generic(uint8_t command, bool dump) {
  NetlinkRequest request;
  if (genlmsg_put(request.message(), NL_AUTO_PORT, NL_AUTO_SEQ, 0, 0, Flags(dump), command,
                  kGenlVersion) == nullptr) {
    std::abort();
  }
  return request;
}

NetlinkRequest NetlinkRequest::Plain(uint16_t type, bool dump, std::span<const uint8_t> header) {
  NetlinkRequest request;
  if (nlmsg_put(request.message(), NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, Flags(dump)) == nullptr) {
    std::abort();
  }
  std::string copy(header.begin(), header.end());
  Check(nlmsg_append(request.message(), copy.data(), copy.size(), NLMSG_ALIGNTO));
  return request;
}

NetlinkRequest& NetlinkRequest::U8(uint16_t type, uint8_t value) {
  Check(nla_put_u8(message(), type, value));
  return *this;
}

NetlinkRequest& NetlinkRequest::U32(uint16_t type, uint32_t value) {
  Check(nla_put_u32(message(), type, value));
  return *this;
}

NetlinkRequest& NetlinkRequest::String(uint16_t type, absl::string_view value) {
  Check(nla_put_string(message(), type, std::string(value).c_str()));
  return *this;
}

NetlinkRequest& NetlinkRequest::Flag(uint16_t type) {
  Check(nla_put_flag(message(), type));
  return *this;
}

NetlinkRequest& NetlinkRequest::Bytes(uint16_t type, std::span<const uint8_t> value) {
  Check(nla_put(message(), type, static_cast<int>(value.size()), value.data()));
  return *this;
}

NetlinkRequest& NetlinkRequest::Begin(uint16_t type) {
  if (depth_ == kDepthMax) std::abort();
  // The families that are checked strictly want the flag; not every libnl sets it by itself.
  nests_[depth_] = nla_nest_start(message(), type | NLA_F_NESTED);
  if (nests_[depth_] == nullptr) std::abort();
  ++depth_;
  return *this;
}

NetlinkRequest& NetlinkRequest::End() {
  if (depth_ == 0) std::abort();
  Check(nla_nest_end_keep_empty(message(), nests_[--depth_]));
  return *this;
}

bool NetlinkRequest::dump() const {
  return (nlmsg_hdr(message())->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
}

uint8_t NetlinkRequest::command() const { return genlmsg_hdr(nlmsg_hdr(message()))->cmd; }

std::span<const uint8_t> NetlinkRequest::bytes() const {
  const nlmsghdr* const header = nlmsg_hdr(message());
  return {reinterpret_cast<const uint8_t*>(header), header->nlmsg_len};
}

std::span<const uint8_t> NetlinkRequest::attributes() const {
  return bytes().subspan(NLMSG_HDRLEN + GENL_HDRLEN);
}

}  // namespace devmem
