// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/netlink_exchange.h"

#include <linux/netlink.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/netlink/attributes.h"
#include "uapi/netlink/limits.h"

namespace devmem {
namespace {

constexpr size_t kHeaderBytes = sizeof(nlmsghdr);

constexpr size_t Aligned(size_t bytes) {
  return (bytes + NLMSG_ALIGNTO - 1) / NLMSG_ALIGNTO * NLMSG_ALIGNTO;
}

// Calls `each` with the header and payload of every message that fits; stops when it returns false.
template <typename Each>
void ForEachMessage(std::span<const uint8_t> datagram, const Each& each) {
  size_t at = 0;
  while (datagram.size() - at >= kHeaderBytes) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data() + at, sizeof(header));
    if (header.nlmsg_len < kHeaderBytes || header.nlmsg_len > datagram.size() - at) return;
    if (!each(header, datagram.subspan(at + kHeaderBytes, header.nlmsg_len - kHeaderBytes))) return;
    at = std::min(at + Aligned(header.nlmsg_len), datagram.size());
  }
}

// Collects the answer to one request.
class Collector {
 public:
  Collector(NetlinkRequest& request, const AttributeSet* names, uint32_t header_bytes)
      : request_(request), names_(names), header_bytes_(header_bytes) {
    nlmsghdr sent;
    std::memcpy(&sent, request.bytes().data(), sizeof(sent));
    sequence_ = sent.nlmsg_seq;
  }

  bool done() const { return done_; }
  bool interrupted() const { return interrupted_; }
  bool overflowed() const { return overflowed_; }
  NetlinkAnswer Take() { return std::move(answer_); }

  void Feed(std::span<const uint8_t> datagram) {
    ForEachMessage(datagram, [this](const nlmsghdr& header, std::span<const uint8_t> payload) {
      // What is left of a request that timed out, or a notification, has another number.
      if (header.nlmsg_seq == sequence_) Take(header, payload);
      return !done_;
    });
  }

 private:
  void Take(const nlmsghdr& header, std::span<const uint8_t> payload) {
    interrupted_ = interrupted_ || (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (header.nlmsg_type == NLMSG_ERROR) {
      TakeError(header, payload);
    } else if (header.nlmsg_type == NLMSG_DONE) {
      TakeDone(header, payload);
    } else if (header.nlmsg_type >= NLMSG_MIN_TYPE) {
      overflowed_ = answer_.messages.size() >= kNetlinkMessagesMax;
      done_ = overflowed_;
      if (!done_) {
        answer_.messages.push_back({header.nlmsg_type, {payload.begin(), payload.end()}});
      }
    }
  }

  void TakeError(const nlmsghdr& header, std::span<const uint8_t> payload) {
    done_ = true;
    if (payload.size() < sizeof(nlmsgerr)) {
      answer_.error = {.error = EBADMSG, .message = "", .attribute = "", .missing = ""};
      return;
    }
    nlmsgerr error;
    std::memcpy(&error, payload.data(), sizeof(error));
    answer_.error.error = -error.error;
    // The request is repeated behind the number, whole or its header alone; then come attributes.
    const bool capped = (header.nlmsg_flags & NLM_F_CAPPED) != 0;
    const size_t repeated = capped ? sizeof(nlmsgerr) : sizeof(int) + error.msg.nlmsg_len;
    if ((header.nlmsg_flags & NLM_F_ACK_TLVS) != 0 && Aligned(repeated) <= payload.size()) {
      TakeExtack(payload.subspan(Aligned(repeated)));
    }
  }

  void TakeDone(const nlmsghdr& header, std::span<const uint8_t> payload) {
    done_ = true;
    int error = 0;
    if (payload.size() < sizeof(error)) return;
    std::memcpy(&error, payload.data(), sizeof(error));
    answer_.error.error = error < 0 ? -error : 0;
    if ((header.nlmsg_flags & NLM_F_ACK_TLVS) != 0) TakeExtack(payload.subspan(sizeof(error)));
  }

  void TakeExtack(std::span<const uint8_t> bytes) {
    const Attributes extack(bytes);
    const std::span<const uint8_t> attributes = request_.bytes().subspan(header_bytes_);
    answer_.error.message = extack.String(NLMSGERR_ATTR_MSG).value_or("");
    if (const std::optional<uint32_t> offset = extack.U32(NLMSGERR_ATTR_OFFS)) {
      if (*offset >= header_bytes_) {
        answer_.error.attribute = PathAt(names_, attributes, *offset - header_bytes_);
      }
    }
    if (const std::optional<uint32_t> type = extack.U32(NLMSGERR_ATTR_MISS_TYPE)) {
      const uint32_t nest = extack.U32(NLMSGERR_ATTR_MISS_NEST).value_or(0);
      const bool nested = nest >= header_bytes_;
      const AttributeSet* const set =
          nested ? SetAt(names_, attributes, nest - header_bytes_) : names_;
      const std::string path = nested ? PathAt(names_, attributes, nest - header_bytes_) : "";
      const std::string name = NameOf(set, static_cast<uint16_t>(*type));
      answer_.error.missing = path.empty() ? name : absl::StrCat(path, ".", name);
    }
  }

  NetlinkRequest& request_;
  const AttributeSet* const names_;
  const uint32_t header_bytes_;
  uint32_t sequence_ = 0;
  NetlinkAnswer answer_;
  bool done_ = false;
  bool interrupted_ = false;
  bool overflowed_ = false;
};

}  // namespace

absl::StatusOr<NetlinkAnswer> Exchange(NetlinkTransport& transport, NetlinkRequest& request,
                                       const AttributeSet* names, uint32_t header_bytes) {
  for (uint32_t attempt = 0; attempt < kDumpAttemptsMax; ++attempt) {
    // A second attempt needs a number of its own.
    nlmsg_hdr(request.message())->nlmsg_seq = NL_AUTO_SEQ;
    const absl::Status sent = transport.Send(request);
    if (!sent.ok()) return sent;
    Collector collector(request, names, header_bytes);
    while (!collector.done()) {
      const absl::StatusOr<std::vector<uint8_t>> datagram = transport.Receive();
      if (!datagram.ok()) return datagram.status();
      collector.Feed(*datagram);
    }
    if (collector.overflowed()) {
      return absl::ResourceExhaustedError(absl::StrCat("the kernel's answer has more than ",
                                                       kNetlinkMessagesMax,
                                                       " messages; ask for one device"));
    }
    if (!collector.interrupted()) return collector.Take();
  }
  return absl::AbortedError(absl::StrCat("a dump was disturbed ", kDumpAttemptsMax,
                                         " times by changes of the network; try again"));
}

std::vector<NetlinkMessage> SplitNotifications(std::span<const uint8_t> datagram) {
  std::vector<NetlinkMessage> messages;
  ForEachMessage(datagram, [&](const nlmsghdr& header, std::span<const uint8_t> payload) {
    if (header.nlmsg_type >= NLMSG_MIN_TYPE) {
      messages.push_back({header.nlmsg_type, {payload.begin(), payload.end()}});
    }
    return true;
  });
  return messages;
}

}  // namespace devmem
