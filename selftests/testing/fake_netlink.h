// SPDX-License-Identifier: Apache-2.0
//
// A netlink transport that answers with datagrams of the test's making, and a generic netlink
// channel with canned answers. One thread.

#pragma once

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "uapi/netlink/genl_channel.h"
#include "uapi/netlink/netlink_transport.h"

// libnl's, declared here because headers of the project name no header of libnl.
extern "C" nlmsghdr* nlmsg_hdr(nl_msg* message);

namespace devmem {

// Bytes of netlink attributes and messages, put together by hand: the fake shares no code with what
// it tests.
class NetlinkBytes {
 public:
  template <typename T>
  NetlinkBytes& Raw(T value) {
    const auto* const first = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof(value));
    return *this;
  }
  NetlinkBytes& Add(const std::vector<uint8_t>& more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    while (bytes_.size() % 4 != 0) bytes_.push_back(0);
    return *this;
  }
  NetlinkBytes& Attribute(uint16_t type, const std::vector<uint8_t>& payload) {
    Raw(static_cast<uint16_t>(payload.size() + 4)).Raw(type);
    return Add(payload);
  }
  NetlinkBytes& U32(uint16_t type, uint32_t value) {
    return Attribute(type, NetlinkBytes().Raw(value).bytes());
  }
  NetlinkBytes& String(uint16_t type, absl::string_view text) {
    std::vector<uint8_t> payload(text.begin(), text.end());
    payload.push_back(0);
    return Attribute(type, payload);
  }
  // A whole message with its header.
  static std::vector<uint8_t> Message(uint16_t type, uint16_t flags, uint32_t sequence,
                                      const std::vector<uint8_t>& payload) {
    return NetlinkBytes()
        .Raw(static_cast<uint32_t>(payload.size() + sizeof(nlmsghdr)))
        .Raw(type)
        .Raw(flags)
        .Raw(sequence)
        .Raw(uint32_t{0})
        .Add(payload)
        .bytes();
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

class FakeNetlink final : public NetlinkTransport {
 public:
  // `answer` gets the sequence number of each request and says what the kernel sends.
  using Answer = std::function<std::vector<std::vector<uint8_t>>(uint32_t sequence)>;
  explicit FakeNetlink(Answer answer) : answer_(std::move(answer)) {}

  absl::Status Send(NetlinkRequest& request) override {
    nlmsg_hdr(request.message())->nlmsg_seq = ++sequence_;
    for (std::vector<uint8_t>& datagram : answer_(sequence_)) waiting_.push_back(datagram);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<uint8_t>> Receive() override {
    if (waiting_.empty()) return absl::DeadlineExceededError("the kernel did not answer");
    std::vector<uint8_t> datagram = std::move(waiting_.front());
    waiting_.pop_front();
    return datagram;
  }
  absl::Status Join(uint32_t) override { return absl::OkStatus(); }
  absl::Status SetWaiting(bool) override { return absl::OkStatus(); }
  int fd() const override { return -1; }
  uint32_t request_count() const { return sequence_ - kFirst; }

 private:
  static constexpr uint32_t kFirst = 100;

  const Answer answer_;
  std::deque<std::vector<uint8_t>> waiting_;
  uint32_t sequence_ = kFirst;
};

}  // namespace devmem
