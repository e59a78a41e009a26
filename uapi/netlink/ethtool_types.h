// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's netlink family `ethtool` tells about a NIC, as plain values. An unset field was
// not told: the driver does not have it, or the kernel is older than it.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace devmem {

enum class DataSplit : uint8_t { kUnknown = 0, kDisabled = 1, kEnabled = 2 };

struct RingsInfo {
  std::optional<uint32_t> rx = {};
  std::optional<uint32_t> rx_max = {};
  std::optional<uint32_t> tx = {};
  std::optional<uint32_t> tx_max = {};
  std::optional<uint32_t> rx_buf_len_bytes = {};
  // As the driver reports it. What bindings test is what was set last, which can differ.
  DataSplit tcp_data_split = DataSplit::kUnknown;
  std::optional<uint32_t> hds_thresh_bytes = {};
  std::optional<uint32_t> hds_thresh_bytes_max = {};
};

struct ChannelsInfo {
  uint32_t rx = 0;
  uint32_t tx = 0;
  uint32_t other = 0;
  uint32_t combined = 0;
  uint32_t rx_max = 0;
  uint32_t tx_max = 0;
  uint32_t other_max = 0;
  uint32_t combined_max = 0;

  uint32_t rx_queue_count() const { return rx + combined; }
  // A NIC whose rx and tx channels are counted apart, such as gve, has no combined ones.
  bool apart() const { return combined_max == 0; }
};

struct FeatureState {
  std::string name = {};  // "rx-ntuple-filter", ...
  bool changeable = false;
  bool wanted = false;
  bool active = false;
};

struct RssTable {
  uint32_t context = 0;  // 0: the main table.
  std::vector<uint32_t> queues = {};
  std::optional<uint32_t> hash_function = {};
  std::vector<uint8_t> key = {};
  std::optional<uint32_t> input_transform = {};
};

struct DriverInfo {
  std::string driver = {};  // "gve"
  std::string version = {};
  std::string firmware = {};
  std::string bus = {};  // "0000:00:04.0"
};

}  // namespace devmem
