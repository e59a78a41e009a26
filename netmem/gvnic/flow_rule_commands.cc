// SPDX-License-Identifier: Apache-2.0
//
// Between MaskedRule and the 84 bytes in which the admin queue carries one.

#include "netmem/gvnic/flow_rule_commands.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "netmem/wire/byte_order.h"

namespace devmem {
namespace {

constexpr uint16_t kAdd = 0;
constexpr uint16_t kDelete = 1;
constexpr uint16_t kResetAll = 2;

constexpr uint16_t kQueryRules = 0;
constexpr uint16_t kQueryLocations = 1;
constexpr uint16_t kQueryCounts = 2;

// Of the command, and of the rule within it.
constexpr size_t kRuleOffset = 4;
constexpr size_t kLocationOffset = 88;
constexpr size_t kRuleBytes = 84;
constexpr size_t kTypeOffset = 0;
constexpr size_t kQueueOffset = 2;
constexpr size_t kKeyOffset = 4;
constexpr size_t kMaskOffset = 44;
static_assert(kRuleOffset + kRuleBytes == kLocationOffset);
static_assert(kLocationOffset + 4 == kFlowRuleCommandBytes);

// Of a key or a mask.
constexpr size_t kSourceOffset = 0;
constexpr size_t kDestinationOffset = 16;
constexpr size_t kPortsOffset = 32;
constexpr size_t kTrafficClassOffset = 36;

constexpr size_t kQueryHeadBytes = 16;

// The transports of flow types 0 to 4, over IPv4; 5 to 9 are the same over IPv6. IP protocol
// numbers: TCP, UDP, SCTP, AH, ESP.
constexpr std::array<uint8_t, 5> kProtocols = {6, 17, 132, 51, 50};

uint16_t FlowTypeOf(const MaskedRule& rule) {
  uint16_t type = 0;
  while (kProtocols[type] != rule.protocol) ++type;
  return static_cast<uint16_t>(type + (rule.is_v6 ? kProtocols.size() : 0));
}

// Of an IPv4 address the driver fills the first four bytes. A mask of one has its low 32 bits only,
// which IpAddress::FromV4() would set more of.
IpAddress LoadAddress(std::span<const uint8_t> bytes, bool is_v6, bool is_mask) {
  if (is_v6) return IpAddress::FromV6(bytes);
  const uint32_t v4 = LoadBe32(bytes.data());
  return is_mask ? IpAddress::FromHalves(0, v4) : IpAddress::FromV4(v4);
}

FlowKey LoadFlow(std::span<const uint8_t> bytes, bool is_v6, bool is_mask) {
  return {.local = LoadAddress(bytes.subspan(kDestinationOffset), is_v6, is_mask),
          .remote = LoadAddress(bytes.subspan(kSourceOffset), is_v6, is_mask),
          .local_port = LoadBe16(&bytes[kPortsOffset + 2]),
          .remote_port = LoadBe16(&bytes[kPortsOffset])};
}

void StoreAddress(const IpAddress& address, bool is_v6, uint8_t* out) {
  if (is_v6) return address.StoreTo(out);
  StoreBe32(out, address.v4());
}

void StoreFlow(const FlowKey& flow, uint8_t traffic_class, bool is_v6, uint8_t* out) {
  StoreAddress(flow.remote, is_v6, out + kSourceOffset);
  StoreAddress(flow.local, is_v6, out + kDestinationOffset);
  StoreBe16(out + kPortsOffset, flow.remote_port);
  StoreBe16(out + kPortsOffset + 2, flow.local_port);
  out[kTrafficClassOffset] = traffic_class;
}

void StoreRule(const MaskedRule& rule, uint8_t* out) {
  StoreBe16(out + kTypeOffset, FlowTypeOf(rule));
  StoreBe16(out + kQueueOffset, static_cast<uint16_t>(rule.queue));
  StoreFlow(rule.key, rule.traffic_class, rule.is_v6, out + kKeyOffset);
  StoreFlow(rule.mask, rule.traffic_class_mask, rule.is_v6, out + kMaskOffset);
}

absl::StatusOr<MaskedRule> LoadRule(std::span<const uint8_t> command, const GvnicOptions& options) {
  const auto bytes = command.subspan(kRuleOffset, kRuleBytes);
  const uint16_t type = LoadBe16(&bytes[kTypeOffset]);
  if (type >= 2 * kProtocols.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "flow type ", type, " does not exist; the types ", "are 0 to ", 2 * kProtocols.size() - 1));
  }
  const bool is_v6 = type >= kProtocols.size();
  const auto key = bytes.subspan(kKeyOffset);
  const auto mask = bytes.subspan(kMaskOffset);
  const MaskedRule rule{.location = LoadBe32(&command[kLocationOffset]),
                        .queue = LoadBe16(&bytes[kQueueOffset]),
                        .protocol = kProtocols[type % kProtocols.size()],
                        .is_v6 = is_v6,
                        .key = LoadFlow(key, is_v6, false),
                        .mask = LoadFlow(mask, is_v6, true),
                        .traffic_class = key[kTrafficClassOffset],
                        .traffic_class_mask = mask[kTrafficClassOffset]};
  if (rule.location >= options.flow_rules_max) {
    return absl::OutOfRangeError(absl::StrCat("flow rule location ", rule.location,
                                              " does not exist; the device has locations 0 to ",
                                              options.flow_rules_max - 1));
  }
  if (rule.queue >= options.queues) {
    return absl::OutOfRangeError(absl::StrCat("flow rule ", rule.location, " names rx queue ",
                                              rule.queue, "; the device has queues 0 to ",
                                              options.queues - 1));
  }
  return rule;
}

}  // namespace

absl::Status ConfigureFlowRule(std::span<const uint8_t> command, const GvnicOptions& options,
                               MaskedRules& rules) {
  const uint16_t operation = LoadBe16(command.data());
  switch (operation) {
    case kAdd: {
      const absl::StatusOr<MaskedRule> rule = LoadRule(command, options);
      return rule.ok() ? rules.Add(*rule) : rule.status();
    }
    case kDelete: return rules.Delete(LoadBe32(&command[kLocationOffset]));
    case kResetAll: rules.Clear(); return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat("flow rule operation ", operation,
                                                     " does not exist; add is ", kAdd, ", delete ",
                                                     kDelete, ", reset ", kResetAll));
  }
}

absl::StatusOr<std::vector<uint8_t>> QueryFlowRules(const FlowRuleQuery& query,
                                                    const GvnicOptions& options,
                                                    const MaskedRules& rules) {
  if (query.operation > kQueryCounts || query.bytes_max < kQueryHeadBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "flow rule query ", query.operation, " into ", query.bytes_max, " bytes; queries are ",
        kQueryRules, " to ", kQueryCounts, " and need ", kQueryHeadBytes, " bytes for the head"));
  }
  const size_t entry_bytes = query.operation == kQueryLocations ? 4 : 4 + kRuleBytes;
  std::vector<uint8_t> answer(kQueryHeadBytes);
  uint32_t count = 0;
  for (const MaskedRule& rule : rules.List()) {
    if (query.operation == kQueryCounts || rule.location < query.first_location) continue;
    if (answer.size() + entry_bytes > query.bytes_max) break;
    const size_t at = answer.size();
    answer.resize(at + entry_bytes);
    StoreBe32(&answer[at], rule.location);
    if (query.operation == kQueryRules) StoreRule(rule, &answer[at + 4]);
    ++count;
  }
  StoreBe32(&answer[0], rules.size());
  StoreBe32(&answer[4], options.flow_rules_max);
  StoreBe32(&answer[8], count);
  StoreBe32(&answer[12], static_cast<uint32_t>(answer.size()));
  return answer;
}

}  // namespace devmem
