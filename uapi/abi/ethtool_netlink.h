// SPDX-License-Identifier: Apache-2.0
//
// The part of the kernel's generic netlink family "ethtool", version 1, that devmem speaks, by
// kernel names. Mirrors include/uapi/linux/ethtool_netlink.h as of Linux 7.2 (described in the
// kernel's Documentation/networking/ethtool-netlink.rst); distributions with older headers lack
// HDS_THRESH and the RSS messages. What travels by ioctl is in <linux/ethtool.h> everywhere.
// Requests and answers are numbered apart: an answer's number can be another request's.

#pragma once

#include <cstdint>

namespace devmem::abi {

// Requests, user space to kernel.
enum : uint8_t {
  ETHTOOL_MSG_FEATURES_GET = 11,
  ETHTOOL_MSG_FEATURES_SET = 12,
  ETHTOOL_MSG_RINGS_GET = 15,
  ETHTOOL_MSG_RINGS_SET = 16,
  ETHTOOL_MSG_CHANNELS_GET = 17,
  ETHTOOL_MSG_CHANNELS_SET = 18,
  ETHTOOL_MSG_RSS_GET = 38,
  ETHTOOL_MSG_RSS_SET = 48,
  ETHTOOL_MSG_RSS_CREATE_ACT = 49,
  ETHTOOL_MSG_RSS_DELETE_ACT = 50,
};

// Answers and notifications, kernel to user space.
enum : uint8_t {
  ETHTOOL_MSG_FEATURES_GET_REPLY = 11,
  ETHTOOL_MSG_FEATURES_SET_REPLY = 12,
  ETHTOOL_MSG_FEATURES_NTF = 13,
  ETHTOOL_MSG_RINGS_GET_REPLY = 16,
  ETHTOOL_MSG_RINGS_NTF = 17,
  ETHTOOL_MSG_CHANNELS_GET_REPLY = 18,
  ETHTOOL_MSG_CHANNELS_NTF = 19,
  ETHTOOL_MSG_RSS_GET_REPLY = 38,
  ETHTOOL_MSG_RSS_NTF = 50,
  ETHTOOL_MSG_RSS_CREATE_ACT_REPLY = 51,
  ETHTOOL_MSG_RSS_CREATE_NTF = 52,
  ETHTOOL_MSG_RSS_DELETE_NTF = 53,
};

// The first attribute of every message is a nest of these.
enum : uint16_t {
  ETHTOOL_A_HEADER_DEV_INDEX = 1,  // u32
  ETHTOOL_A_HEADER_DEV_NAME = 2,   // string
  ETHTOOL_A_HEADER_FLAGS = 3,      // u32
};

enum : uint16_t {
  ETHTOOL_A_RINGS_HEADER = 1,
  ETHTOOL_A_RINGS_RX_MAX = 2,  // u32 unless it says otherwise
  ETHTOOL_A_RINGS_RX_MINI_MAX = 3,
  ETHTOOL_A_RINGS_RX_JUMBO_MAX = 4,
  ETHTOOL_A_RINGS_TX_MAX = 5,
  ETHTOOL_A_RINGS_RX = 6,
  ETHTOOL_A_RINGS_RX_MINI = 7,
  ETHTOOL_A_RINGS_RX_JUMBO = 8,
  ETHTOOL_A_RINGS_TX = 9,
  ETHTOOL_A_RINGS_RX_BUF_LEN = 10,
  ETHTOOL_A_RINGS_TCP_DATA_SPLIT = 11,  // u8, ETHTOOL_TCP_DATA_SPLIT_*
  ETHTOOL_A_RINGS_CQE_SIZE = 12,
  ETHTOOL_A_RINGS_TX_PUSH = 13,  // u8
  ETHTOOL_A_RINGS_RX_PUSH = 14,  // u8
  ETHTOOL_A_RINGS_TX_PUSH_BUF_LEN = 15,
  ETHTOOL_A_RINGS_TX_PUSH_BUF_LEN_MAX = 16,
  ETHTOOL_A_RINGS_HDS_THRESH = 17,
  ETHTOOL_A_RINGS_HDS_THRESH_MAX = 18,
};

// A device that is in the first state leaves the attribute out of its answer.
enum : uint8_t {
  ETHTOOL_TCP_DATA_SPLIT_UNKNOWN = 0,
  ETHTOOL_TCP_DATA_SPLIT_DISABLED = 1,
  ETHTOOL_TCP_DATA_SPLIT_ENABLED = 2,
};

enum : uint16_t {
  ETHTOOL_A_CHANNELS_HEADER = 1,
  ETHTOOL_A_CHANNELS_RX_MAX = 2,  // u32 all
  ETHTOOL_A_CHANNELS_TX_MAX = 3,
  ETHTOOL_A_CHANNELS_OTHER_MAX = 4,
  ETHTOOL_A_CHANNELS_COMBINED_MAX = 5,
  ETHTOOL_A_CHANNELS_RX_COUNT = 6,
  ETHTOOL_A_CHANNELS_TX_COUNT = 7,
  ETHTOOL_A_CHANNELS_OTHER_COUNT = 8,
  ETHTOOL_A_CHANNELS_COMBINED_COUNT = 9,
};

enum : uint16_t {
  ETHTOOL_A_FEATURES_HEADER = 1,
  ETHTOOL_A_FEATURES_HW = 2,        // bitset: what can be changed
  ETHTOOL_A_FEATURES_WANTED = 3,    // bitset
  ETHTOOL_A_FEATURES_ACTIVE = 4,    // bitset
  ETHTOOL_A_FEATURES_NOCHANGE = 5,  // bitset
};

enum : uint16_t {
  ETHTOOL_A_BITSET_NOMASK = 1,  // flag: the bits that are given are those that are set
  ETHTOOL_A_BITSET_SIZE = 2,    // u32
  ETHTOOL_A_BITSET_BITS = 3,    // nest of ETHTOOL_A_BITSET_BITS_BIT
};
enum : uint16_t { ETHTOOL_A_BITSET_BITS_BIT = 1 };  // nest of ETHTOOL_A_BITSET_BIT_*
enum : uint16_t {
  ETHTOOL_A_BITSET_BIT_INDEX = 1,  // u32; differs from kernel to kernel
  ETHTOOL_A_BITSET_BIT_NAME = 2,   // string
  ETHTOOL_A_BITSET_BIT_VALUE = 3,  // flag
};

enum : uint16_t {
  ETHTOOL_A_RSS_HEADER = 1,
  ETHTOOL_A_RSS_CONTEXT = 2,        // u32; absent or 0: the device's main table
  ETHTOOL_A_RSS_HFUNC = 3,          // u32
  ETHTOOL_A_RSS_INDIR = 4,          // binary: u32 queue numbers in host order
  ETHTOOL_A_RSS_HKEY = 5,           // binary
  ETHTOOL_A_RSS_INPUT_XFRM = 6,     // u32
  ETHTOOL_A_RSS_START_CONTEXT = 7,  // u32, in a dump's request
};

static_assert(ETHTOOL_A_RINGS_HDS_THRESH_MAX == 18 && ETHTOOL_A_CHANNELS_COMBINED_COUNT == 9);

}  // namespace devmem::abi
