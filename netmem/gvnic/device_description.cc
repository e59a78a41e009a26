// SPDX-License-Identifier: Apache-2.0
//
// Writes the description of a device, field by field.

#include "netmem/gvnic/device_description.h"

#include <algorithm>
#include <bit>

#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

constexpr uint64_t kRegisteredPagesMax = 1024;  // Of page lists, which DQO-RDA has none of.

enum class Option : uint16_t {
  kDqoRda = 0x4,
  kModifyRing = 0x6,
  kJumboFrames = 0x8,
  kBufferSizes = 0xa,
  kFlowSteering = 0xb,
};

// Bits of the features in the DQO-RDA option. A feature counts only with its own option beside it.
constexpr uint32_t kModifyRingBit = 1u << 0;
constexpr uint32_t kJumboFramesBit = 1u << 2;
constexpr uint32_t kBufferSizesBit = 1u << 4;
constexpr uint32_t kFlowSteeringBit = 1u << 5;

class Writer {
 public:
  void Put8(uint8_t value) { bytes_.push_back(value); }
  void Put16(uint16_t value) {
    Put8(static_cast<uint8_t>(value >> 8));
    Put8(static_cast<uint8_t>(value));
  }
  void Put16(uint32_t value) { Put16(static_cast<uint16_t>(value)); }
  void Put32(uint32_t value) {
    Put16(static_cast<uint16_t>(value >> 16));
    Put16(static_cast<uint16_t>(value));
  }
  void Put64(uint64_t value) {
    Put32(static_cast<uint32_t>(value >> 32));
    Put32(static_cast<uint32_t>(value));
  }
  // An option's head, which no driver needs to know more of, and the mask that each begins with.
  void PutOption(Option option, uint16_t payload_bytes, uint32_t features) {
    ++option_count_;
    Put16(static_cast<uint16_t>(option));
    Put16(payload_bytes);
    Put32(0);  // Features that a driver must have.
    Put32(features);
  }
  uint16_t option_count() const { return option_count_; }
  std::vector<uint8_t> Take() { return std::move(bytes_); }
  size_t size() const { return bytes_.size(); }

 private:
  std::vector<uint8_t> bytes_;
  uint16_t option_count_ = 0;
};

uint32_t FeaturesOf(const GvnicOptions& options) {
  return kBufferSizesBit | (options.ring_sizes_change ? kModifyRingBit : 0) |
         (options.jumbo_frames ? kJumboFramesBit : 0) |
         (options.flow_rules_max != 0 ? kFlowSteeringBit : 0);
}

void PutOptions(const GvnicOptions& options, Writer& out) {
  const uint32_t features = FeaturesOf(options);
  out.PutOption(Option::kDqoRda, 8, features);
  out.Put32(0);
  if (options.ring_sizes_change) {
    out.PutOption(Option::kModifyRing, 12, features);
    out.Put16(std::max(kOfferedRingEntriesMax, options.rx_ring_entries));
    out.Put16(std::max(kOfferedRingEntriesMax, options.tx_ring_entries));
    out.Put16(kOfferedRingEntriesMin);
    out.Put16(kOfferedRingEntriesMin);
  }
  if (options.jumbo_frames) {
    out.PutOption(Option::kJumboFrames, 8, features);
    out.Put16(options.mtu_bytes);
    out.Put16(uint16_t{0});
  }
  out.PutOption(Option::kBufferSizes, 8, features);
  out.Put16(options.buffer_bytes);
  out.Put16(options.header_buffer_bytes);
  if (options.flow_rules_max != 0) {
    out.PutOption(Option::kFlowSteering, 12, features);
    out.Put32(0);
    out.Put32(options.flow_rules_max);
  }
}

}  // namespace

std::vector<uint8_t> DescribeDevice(const GvnicOptions& options) {
  Writer out;
  out.Put64(kRegisteredPagesMax);
  out.Put16(uint16_t{0});
  out.Put16(options.tx_ring_entries);
  out.Put16(options.rx_ring_entries);
  out.Put16(options.queues);  // What a driver starts with: all of them.
  out.Put16(options.mtu_bytes);
  out.Put16(2 * options.queues);  // Event counters: not used, and a driver wants some.
  out.Put32(0);                   // Pages of page lists, which there are none of.
  for (const uint8_t byte : options.mac.bytes()) out.Put8(byte);
  const size_t count_at = out.size();
  out.Put64(0);  // The number of options, the length of it all, and four bytes in reserve.
  out.Put16(uint16_t{0});
  PutOptions(options, out);
  const uint16_t option_count = out.option_count();
  std::vector<uint8_t> bytes = out.Take();
  StoreBe16(&bytes[count_at], option_count);
  StoreBe16(&bytes[count_at + 2], static_cast<uint16_t>(bytes.size()));
  return bytes;
}

}  // namespace devmem
