// SPDX-License-Identifier: Apache-2.0
//
// Holds the mirrored numbers to the kernel's own headers, as far as the distribution has them: what
// is missing there was the reason for the mirror. Layouts are asserted where they are declared.

#include <gtest/gtest.h>
#include <linux/ethtool_netlink.h>
#include <linux/io_uring.h>
#include <sys/socket.h>

#if __has_include(<linux/netdev.h>)
#include <linux/netdev.h>
#define DEVMEM_HAS_NETDEV_HEADER 1
#else
#define DEVMEM_HAS_NETDEV_HEADER 0
#endif

#include <cstdint>

#include "uapi/abi/devmem_socket.h"
#include "uapi/abi/ethtool_netlink.h"
#include "uapi/abi/io_uring_zcrx.h"
#include "uapi/abi/netdev.h"

namespace devmem {
namespace {

// Both sides as numbers: the enumerations are different types.
constexpr bool Same(uint64_t mirrored, uint64_t kernel) { return mirrored == kernel; }

TEST(AbiTest, EthtoolNumbersAreTheKernels) {
  EXPECT_TRUE(Same(abi::ETHTOOL_MSG_FEATURES_SET, ::ETHTOOL_MSG_FEATURES_SET));
  EXPECT_TRUE(Same(abi::ETHTOOL_MSG_RINGS_SET, ::ETHTOOL_MSG_RINGS_SET));
  EXPECT_TRUE(Same(abi::ETHTOOL_MSG_CHANNELS_SET, ::ETHTOOL_MSG_CHANNELS_SET));
  EXPECT_TRUE(Same(abi::ETHTOOL_MSG_RINGS_GET_REPLY, ::ETHTOOL_MSG_RINGS_GET_REPLY));
  EXPECT_TRUE(Same(abi::ETHTOOL_MSG_CHANNELS_NTF, ::ETHTOOL_MSG_CHANNELS_NTF));
  EXPECT_TRUE(Same(abi::ETHTOOL_A_RINGS_TCP_DATA_SPLIT, ::ETHTOOL_A_RINGS_TCP_DATA_SPLIT));
  EXPECT_TRUE(Same(abi::ETHTOOL_TCP_DATA_SPLIT_ENABLED, ::ETHTOOL_TCP_DATA_SPLIT_ENABLED));
  EXPECT_TRUE(Same(abi::ETHTOOL_A_CHANNELS_COMBINED_COUNT, ::ETHTOOL_A_CHANNELS_COMBINED_COUNT));
  EXPECT_TRUE(Same(abi::ETHTOOL_A_FEATURES_NOCHANGE, ::ETHTOOL_A_FEATURES_NOCHANGE));
  EXPECT_TRUE(Same(abi::ETHTOOL_A_BITSET_BIT_VALUE, ::ETHTOOL_A_BITSET_BIT_VALUE));
  EXPECT_TRUE(Same(abi::ETHTOOL_A_HEADER_FLAGS, ::ETHTOOL_A_HEADER_FLAGS));
}

TEST(AbiTest, NetdevNumbersAreTheKernels) {
#if DEVMEM_HAS_NETDEV_HEADER
  EXPECT_TRUE(Same(abi::NETDEV_CMD_DEV_GET, ::NETDEV_CMD_DEV_GET));
  EXPECT_TRUE(Same(abi::NETDEV_CMD_DEV_CHANGE_NTF, ::NETDEV_CMD_DEV_CHANGE_NTF));
  EXPECT_TRUE(Same(abi::NETDEV_A_DEV_XDP_FEATURES, ::NETDEV_A_DEV_XDP_FEATURES));
#else
  GTEST_SKIP() << "this distribution's kernel headers have no linux/netdev.h";
#endif
}

TEST(AbiTest, SocketNumbersAreThoseOfTheMachine) {
  EXPECT_EQ(SO_DEVMEM_DMABUF, SO_DEVMEM_LINEAR + 1);
  EXPECT_EQ(SO_DEVMEM_DONTNEED, SO_DEVMEM_LINEAR + 2);
  EXPECT_EQ(SCM_DEVMEM_LINEAR, SO_DEVMEM_LINEAR);
  EXPECT_EQ(SCM_DEVMEM_DMABUF, SO_DEVMEM_DMABUF);
  EXPECT_EQ(static_cast<uint32_t>(MSG_SOCK_DEVMEM), 0x2000000u);
}

TEST(AbiTest, ControlMessagesHaveTheSizesThatBuffersAreCutFor) {
  EXPECT_EQ(CMSG_LEN(sizeof(abi::dmabuf_cmsg)), CMSG_SPACE(sizeof(abi::dmabuf_cmsg)));
  EXPECT_EQ(CMSG_SPACE(sizeof(abi::dmabuf_cmsg)), sizeof(cmsghdr) + 24);
}

TEST(AbiTest, RingFlagsAgreeWithTheDistributionsHeader) {
  EXPECT_EQ(IORING_SETUP_CQE32, 1u << 11);
  EXPECT_EQ(IORING_SETUP_CQE_MIXED, 1u << 18);
  EXPECT_TRUE(Same(IORING_ZCRX_AREA_MASK, uint64_t{0xffff} << 48));
}

}  // namespace
}  // namespace devmem
