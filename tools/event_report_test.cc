// SPDX-License-Identifier: Apache-2.0
//
// How devmemctl tells notifications, on messages made by the same code that makes requests.

#include "tools/event_report.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "uapi/abi/ethtool_netlink.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/netlink_request.h"

namespace devmem {
namespace {

std::string Name(uint32_t ifindex) { return absl::StrCat("eth", ifindex); }

GenlMessage Message(uint8_t command, const NetlinkRequest& request) {
  const auto bytes = request.attributes();
  return {command, {bytes.begin(), bytes.end()}};
}

TEST(EventReportTest, APagePoolIsToldWithItsDeviceByName) {
  NetlinkRequest request = NetlinkRequest::Generic(0);
  request.U32(abi::NETDEV_A_PAGE_POOL_ID, 18)
      .U32(abi::NETDEV_A_PAGE_POOL_IFINDEX, 3)
      .U32(abi::NETDEV_A_PAGE_POOL_DMABUF, 5);
  request.Begin(abi::NETDEV_A_PAGE_POOL_IO_URING);
  request.U32(abi::NETDEV_A_IO_URING_PROVIDER_INFO_RX_BUF_LEN, 4096).End();
  const NetlinkEvent event =
      DecodeEvent("netdev", Message(abi::NETDEV_CMD_PAGE_POOL_ADD_NTF, request), Name);
  EXPECT_EQ(ToText(event), "eth3 page-pool-add-ntf id 18 dmabuf 5 io-uring.rx-buf-len 4096");
  EXPECT_EQ(ToJson(event, 7).ToString(),
            R"({"time_ns":7,"family":"netdev","event":"page-pool-add-ntf","ifname":"eth3",)"
            R"("ifindex":3,"attributes":{"id":18,"dmabuf":5,"io-uring.rx-buf-len":4096}})");
}

TEST(EventReportTest, ASettingIsToldWithTheNameThatTheKernelSent) {
  NetlinkRequest request = NetlinkRequest::Generic(0);
  request.Begin(abi::ETHTOOL_A_RINGS_HEADER);
  request.U32(abi::ETHTOOL_A_HEADER_DEV_INDEX, 3).String(abi::ETHTOOL_A_HEADER_DEV_NAME, "wan0");
  request.End();
  request.U32(abi::ETHTOOL_A_RINGS_RX, 1024).U8(abi::ETHTOOL_A_RINGS_TCP_DATA_SPLIT, 2);
  const NetlinkEvent event =
      DecodeEvent("ethtool", Message(abi::ETHTOOL_MSG_RINGS_NTF, request), Name);
  EXPECT_EQ(ToText(event), "wan0 rings-ntf rx 1024 tcp-data-split 2");
}

TEST(EventReportTest, AnRssTableIsAListOfQueues) {
  NetlinkRequest request = NetlinkRequest::Generic(0);
  const uint32_t queues[] = {0, 1, 0, 1};
  request.Bytes(abi::ETHTOOL_A_RSS_INDIR,
                {reinterpret_cast<const uint8_t*>(queues), sizeof queues});
  const NetlinkEvent event =
      DecodeEvent("ethtool", Message(abi::ETHTOOL_MSG_RSS_NTF, request), Name);
  EXPECT_EQ(ToText(event), "- rss-ntf indir 0,1,0,1");
}

TEST(EventReportTest, AFeatureIsToldByItsNameAndState) {
  NetlinkRequest request = NetlinkRequest::Generic(0);
  request.Begin(abi::ETHTOOL_A_FEATURES_ACTIVE).Begin(abi::ETHTOOL_A_BITSET_BITS);
  for (const bool on : {true, false}) {
    request.Begin(abi::ETHTOOL_A_BITSET_BITS_BIT);
    request.U32(abi::ETHTOOL_A_BITSET_BIT_INDEX, 40);
    request.String(abi::ETHTOOL_A_BITSET_BIT_NAME, on ? "rx-gro" : "rx-lro");
    if (on) request.Flag(abi::ETHTOOL_A_BITSET_BIT_VALUE);
    request.End();
  }
  request.End().End();
  const NetlinkEvent event =
      DecodeEvent("ethtool", Message(abi::ETHTOOL_MSG_FEATURES_NTF, request), Name);
  EXPECT_EQ(ToText(event), "- features-ntf active.rx-gro on active.rx-lro off");
}

// How the kernel announces features: bits by their numbers, which differ between kernels.
TEST(EventReportTest, ACompactBitsetIsOneNumber) {
  NetlinkRequest request = NetlinkRequest::Generic(0);
  const uint32_t words[] = {0x10, 0x6129};
  request.Begin(abi::ETHTOOL_A_FEATURES_WANTED);
  request.Flag(abi::ETHTOOL_A_BITSET_NOMASK).U32(abi::ETHTOOL_A_BITSET_SIZE, 64);
  request.Bytes(4, {reinterpret_cast<const uint8_t*>(words), sizeof words}).End();
  const NetlinkEvent event =
      DecodeEvent("ethtool", Message(abi::ETHTOOL_MSG_FEATURES_NTF, request), Name);
  EXPECT_EQ(ToText(event), "- features-ntf wanted 0x0000612900000010");
}

TEST(EventReportTest, WhatNobodyKnowsIsToldByItsNumber) {
  NetlinkRequest request = NetlinkRequest::Generic(0);
  request.U32(99, 5);
  const NetlinkEvent event = DecodeEvent("ethtool", Message(200, request), Name);
  EXPECT_EQ(ToText(event), "- command 200 attribute 99 5");
}

// The kernel is trusted to be well meant, never to be free of faults.
TEST(EventReportTest, TornMessagesGiveATextOfWhatCanBeRead) {
  NetlinkRequest request = NetlinkRequest::Generic(0);
  request.U32(abi::NETDEV_A_PAGE_POOL_ID, 18).U32(abi::NETDEV_A_PAGE_POOL_IFINDEX, 3);
  const GenlMessage whole = Message(abi::NETDEV_CMD_PAGE_POOL_DEL_NTF, request);
  for (size_t bytes = 0; bytes < whole.bytes.size(); ++bytes) {
    GenlMessage torn = whole;
    torn.bytes.resize(bytes);
    EXPECT_EQ(DecodeEvent("netdev", torn, Name).event, "page-pool-del-ntf");
  }
}

}  // namespace
}  // namespace devmem
