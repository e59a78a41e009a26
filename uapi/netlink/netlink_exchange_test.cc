// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's datagrams mean: answers, dumps that were disturbed, refusals with every part of
// an extended acknowledgement, and bytes that make no sense.

#include "uapi/netlink/netlink_exchange.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "selftests/testing/fake_netlink.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/limits.h"
#include "uapi/netlink/netdev_client.h"
#include "uapi/netlink/netdev_decode.h"

namespace devmem {
namespace {

constexpr uint16_t kFamily = 0x25;
constexpr uint32_t kHeaderBytes = NLMSG_HDRLEN + GENL_HDRLEN;

std::vector<uint8_t> Ack(uint32_t sequence, int error = 0, uint16_t flags = 0,
                         const std::vector<uint8_t>& extack = {}) {
  NetlinkBytes payload;
  payload.Raw(-error).Raw(nlmsghdr{
      .nlmsg_len = 16, .nlmsg_type = 0, .nlmsg_flags = 0, .nlmsg_seq = sequence, .nlmsg_pid = 0});
  payload.Add(extack);
  return NetlinkBytes::Message(NLMSG_ERROR, flags, sequence, payload.bytes());
}

std::vector<uint8_t> Data(uint32_t sequence, uint32_t value, uint16_t flags = NLM_F_MULTI) {
  return NetlinkBytes::Message(kFamily, flags, sequence,
                               NetlinkBytes().Raw(uint32_t{1}).U32(1, value).bytes());
}

std::vector<uint8_t> Done(uint32_t sequence, uint16_t flags = NLM_F_MULTI, int error = 0) {
  return NetlinkBytes::Message(NLMSG_DONE, flags, sequence, NetlinkBytes().Raw(error).bytes());
}

// A bind-rx request for queue 7, as the client builds it.
NetlinkRequest BindRequest() {
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_BIND_RX);
  request.U32(abi::NETDEV_A_DMABUF_IFINDEX, 2).U32(abi::NETDEV_A_DMABUF_FD, 5);
  request.Begin(abi::NETDEV_A_DMABUF_QUEUES).U32(abi::NETDEV_A_QUEUE_ID, 7).End();
  return request;
}

absl::StatusOr<NetlinkAnswer> Bind(const FakeNetlink::Answer& answer) {
  FakeNetlink transport(answer);
  NetlinkRequest request = BindRequest();
  return Exchange(transport, request, RequestAttributes("netdev", abi::NETDEV_CMD_BIND_RX),
                  kHeaderBytes);
}

absl::StatusOr<NetlinkAnswer> Dump(FakeNetlink& transport) {
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_DEV_GET, true);
  return Exchange(transport, request, nullptr, kHeaderBytes);
}

TEST(NetlinkExchangeTest, AnAnswerAndItsAcknowledgementMayComeTogetherOrApart) {
  for (const bool together : {false, true}) {
    const auto answer = Bind([&](uint32_t sequence) {
      std::vector<uint8_t> first = Data(sequence, 42, 0);
      const std::vector<uint8_t> second = Ack(sequence);
      if (!together) return std::vector<std::vector<uint8_t>>{first, second};
      first.insert(first.end(), second.begin(), second.end());
      return std::vector<std::vector<uint8_t>>{first};
    });
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(answer->error.ok());
    ASSERT_EQ(answer->messages.size(), 1u);
    EXPECT_EQ(answer->messages[0].type, kFamily);
  }
}

TEST(NetlinkExchangeTest, ARefusalNamesItsTextAndItsAttribute) {
  // ifindex and fd are 8 bytes each, then come the nest's header and the id in it.
  const auto answer = Bind([](uint32_t sequence) {
    const std::vector<uint8_t> extack = NetlinkBytes()
                                            .String(NLMSGERR_ATTR_MSG, "tcp-data-split is disabled")
                                            .U32(NLMSGERR_ATTR_OFFS, kHeaderBytes + 20)
                                            .bytes();
    return std::vector<std::vector<uint8_t>>{
        Ack(sequence, EINVAL, NLM_F_CAPPED | NLM_F_ACK_TLVS, extack)};
  });
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->error.error, EINVAL);
  EXPECT_EQ(answer->error.message, "tcp-data-split is disabled");
  EXPECT_EQ(answer->error.attribute, "queues.id");
}

TEST(NetlinkExchangeTest, ARefusalNamesWhatIsMissingAndWhere) {
  const auto top = Bind([](uint32_t sequence) {
    return std::vector<std::vector<uint8_t>>{
        Ack(sequence, EINVAL, NLM_F_CAPPED | NLM_F_ACK_TLVS,
            NetlinkBytes().U32(NLMSGERR_ATTR_MISS_TYPE, abi::NETDEV_A_DMABUF_FD).bytes())};
  });
  EXPECT_EQ(top->error.missing, "fd");
  const auto nested = Bind([](uint32_t sequence) {
    return std::vector<std::vector<uint8_t>>{
        Ack(sequence, EINVAL, NLM_F_CAPPED | NLM_F_ACK_TLVS,
            NetlinkBytes()
                .U32(NLMSGERR_ATTR_MISS_TYPE, abi::NETDEV_A_QUEUE_TYPE)
                .U32(NLMSGERR_ATTR_MISS_NEST, kHeaderBytes + 16)
                .bytes())};
  });
  EXPECT_EQ(nested->error.missing, "queues.type");
}

TEST(NetlinkExchangeTest, ARefusalThatRepeatsTheWholeRequestIsReadBehindIt) {
  const auto answer = Bind([](uint32_t sequence) {
    NetlinkBytes payload;
    payload.Raw(-EPERM).Raw(nlmsghdr{
        .nlmsg_len = 32, .nlmsg_type = 0, .nlmsg_flags = 0, .nlmsg_seq = sequence, .nlmsg_pid = 0});
    payload.Add(std::vector<uint8_t>(16, 0xee)).String(NLMSGERR_ATTR_MSG, "no");
    return std::vector<std::vector<uint8_t>>{
        NetlinkBytes::Message(NLMSG_ERROR, NLM_F_ACK_TLVS, sequence, payload.bytes())};
  });
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->error.error, EPERM);
  EXPECT_EQ(answer->error.message, "no");
}

TEST(NetlinkExchangeTest, ADisturbedDumpIsTakenAgain) {
  FakeNetlink transport([](uint32_t sequence) {
    const uint16_t disturbed = sequence < 103 ? NLM_F_DUMP_INTR : 0;
    return std::vector<std::vector<uint8_t>>{
        Data(sequence, 1), Data(sequence, 2, static_cast<uint16_t>(NLM_F_MULTI | disturbed)),
        Done(sequence)};
  });
  const auto answer = Dump(transport);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->messages.size(), 2u);
  EXPECT_EQ(transport.request_count(), 3u);
}

TEST(NetlinkExchangeTest, ADumpThatIsAlwaysDisturbedEnds) {
  FakeNetlink transport([](uint32_t sequence) {
    return std::vector<std::vector<uint8_t>>{Done(sequence, NLM_F_MULTI | NLM_F_DUMP_INTR)};
  });
  EXPECT_TRUE(absl::IsAborted(Dump(transport).status()));
  EXPECT_EQ(transport.request_count(), kDumpAttemptsMax);
}

TEST(NetlinkExchangeTest, ADumpThatFailsAtItsEndIsRefused) {
  FakeNetlink transport([](uint32_t sequence) {
    return std::vector<std::vector<uint8_t>>{Data(sequence, 1),
                                             Done(sequence, NLM_F_MULTI, -EOPNOTSUPP)};
  });
  const auto answer = Dump(transport);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->error.error, EOPNOTSUPP);
}

TEST(NetlinkExchangeTest, WhatBelongsToAnotherRequestIsPassedOver) {
  const auto answer = Bind([](uint32_t sequence) {
    return std::vector<std::vector<uint8_t>>{Data(sequence - 1, 13), Ack(sequence - 1, EPERM),
                                             Data(sequence, 42, 0), Ack(sequence)};
  });
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->error.ok());
  EXPECT_EQ(answer->messages.size(), 1u);
}

TEST(NetlinkExchangeTest, AKernelThatIsSilentIsGivenUp) {
  const auto answer = Bind([](uint32_t) { return std::vector<std::vector<uint8_t>>(); });
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.status()));
}

TEST(NetlinkExchangeTest, EveryTruncationOfAnAnswerIsSurvived) {
  const std::vector<uint8_t> extack = NetlinkBytes()
                                          .String(NLMSGERR_ATTR_MSG, "text")
                                          .U32(NLMSGERR_ATTR_OFFS, kHeaderBytes + 20)
                                          .U32(NLMSGERR_ATTR_MISS_TYPE, 3)
                                          .U32(NLMSGERR_ATTR_MISS_NEST, kHeaderBytes + 16)
                                          .bytes();
  const std::vector<uint8_t> whole = Ack(101, EINVAL, NLM_F_CAPPED | NLM_F_ACK_TLVS, extack);
  for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    const auto answer = Bind([&](uint32_t sequence) {
      std::vector<uint8_t> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes));
      // A shorter message that says so: the length field is the kernel's word.
      if (bytes >= 4) std::memcpy(part.data(), &bytes, 4);
      return std::vector<std::vector<uint8_t>>{part, Ack(sequence)};
    });
    EXPECT_TRUE(answer.ok()) << bytes;
  }
}

TEST(NetlinkExchangeTest, DecodersTakeAnyBytes) {
  uint32_t random = 1;
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes;
    for (int at = 0; at < round % 97; ++at) {
      random = random * 1664525 + 1013904223;
      // Mostly small numbers, so that lengths and types are often believable.
      bytes.push_back(static_cast<uint8_t>(random >> 24) & (random & 64 ? 0xff : 0x0f));
    }
    const Attributes attributes(bytes);
    DecodeDevice(attributes);
    DecodeQueue(attributes);
    DecodeNapi(attributes);
    DecodePagePool(attributes);
    DecodePagePoolStats(attributes);
    DecodeQueueStats(attributes);
    for (const Attributes::Item& item : attributes.items()) {
      EXPECT_LE(item.offset + 4 + item.payload.size(), bytes.size());
    }
  }
}

}  // namespace
}  // namespace devmem
