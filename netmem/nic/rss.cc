// SPDX-License-Identifier: Apache-2.0
//
// The Toeplitz hash, half a byte at a time. Runs where frames are sorted into queues: on the thread
// that drives the wire.

#include "netmem/nic/rss.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

static_assert(kToeplitzInputBytesMax + sizeof(uint32_t) <= kRssKeyBytes);

constexpr ToeplitzKey kMicrosoft(kRssKeyMicrosoft);

// Writes an address in the length that its family has on the wire. Returns that length.
size_t StoreAddress(const IpAddress& address, uint8_t* out) {
  if (address.is_v4()) {
    StoreBe32(out, address.v4());
    return sizeof(uint32_t);
  }
  address.StoreTo(out);
  return IpAddress::kBytes;
}

absl::Status CheckQueues(std::span<const uint32_t> queues, uint32_t queue_count) {
  for (const uint32_t queue : queues) {
    if (queue >= queue_count) {
      return absl::OutOfRangeError(absl::StrCat(
          "RSS queue ", queue, " does not exist; the device has queues 0 to ", queue_count - 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace

uint32_t ToeplitzKey::Hash(std::span<const uint8_t> input) const {
  uint32_t hash = 0;
  for (size_t i = 0; i < input.size(); ++i) {
    hash ^= table_[2 * i][input[i] >> 4] ^ table_[2 * i + 1][input[i] & 0xf];
  }
  return hash;
}

uint32_t ToeplitzHash(std::span<const uint8_t> input) { return kMicrosoft.Hash(input); }

uint32_t RssHash(const ToeplitzKey& key, const FlowKey& flow, bool with_ports) {
  std::array<uint8_t, kToeplitzInputBytesMax> input;
  size_t bytes = StoreAddress(flow.remote, input.data());
  bytes += StoreAddress(flow.local, input.data() + bytes);
  if (with_ports) {
    StoreBe16(input.data() + bytes, flow.remote_port);
    StoreBe16(input.data() + bytes + 2, flow.local_port);
    bytes += 4;
  }
  return key.Hash(std::span(input).first(bytes));
}

uint32_t RssHash(const FlowKey& flow, bool with_ports) {
  return RssHash(kMicrosoft, flow, with_ports);
}

uint32_t RssHash(const FrameHeaders& headers) {
  switch (headers.kind) {
    case FrameKind::kTcp: return RssHash(headers.flow, true);
    case FrameKind::kIcmp:
    case FrameKind::kIcmpV6: return RssHash(headers.flow, false);
    case FrameKind::kOther:
      // Of kOther, only IP packets have an IP length and so an expected size.
      return headers.frame_bytes_expected == 0 ? 0 : RssHash(headers.flow, false);
    case FrameKind::kArp:
    case FrameKind::kMalformed: return 0;
  }
  return 0;
}

absl::Status RssTable::SetQueues(std::span<const uint32_t> queues, uint32_t queue_count) {
  if (queues.empty()) {
    return absl::InvalidArgumentError(
        "the list of RSS queues is empty; name at least one queue that is not bound");
  }
  absl::Status checked = CheckQueues(queues, queue_count);
  if (!checked.ok()) return checked;
  for (size_t entry = 0; entry < entries_.size(); ++entry) {
    entries_[entry] = queues[entry % queues.size()];
  }
  return absl::OkStatus();
}

absl::Status RssTable::SetEntries(std::span<const uint32_t> queues, uint32_t queue_count) {
  if (queues.size() != entries_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the RSS table has ", queues.size(), " entries; give ", entries_.size()));
  }
  absl::Status checked = CheckQueues(queues, queue_count);
  if (!checked.ok()) return checked;
  std::copy(queues.begin(), queues.end(), entries_.begin());
  return absl::OkStatus();
}

}  // namespace devmem
