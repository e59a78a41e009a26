// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/ethtool_ioctl.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "uapi/netlink/limits.h"
#include "uapi/netlink/netns.h"

namespace devmem {
namespace {

absl::Status Refused(KernelOperation operation, absl::string_view device, int error) {
  RefusalContext context;
  context.device = std::string(device);
  return ExplainRefusal(operation, {.error = error, .message = "", .attribute = "", .missing = ""},
                        context);
}

// A command whose struct ends in an array of u32. The array stands in the same allocation, as the
// ioctl wants it.
template <typename Command>
class WithArray {
 public:
  explicit WithArray(uint32_t entries)
      : words_((sizeof(Command) + sizeof(uint64_t) - 1) / sizeof(uint64_t) + (entries + 1) / 2) {}

  Command* get() { return reinterpret_cast<Command*>(words_.data()); }
  Command* operator->() { return get(); }
  void Store(std::span<const uint32_t> values) {
    std::memcpy(array(), values.data(), values.size_bytes());
  }
  std::vector<uint32_t> Load(uint32_t count) {
    std::vector<uint32_t> values(count);
    if (count != 0) std::memcpy(values.data(), array(), count * sizeof(uint32_t));
    return values;
  }

 private:
  uint8_t* array() { return reinterpret_cast<uint8_t*>(words_.data()) + kArrayOffset; }

  static constexpr size_t kArrayOffset = std::is_same_v<Command, ethtool_rxnfc>
                                             ? offsetof(ethtool_rxnfc, rule_locs)
                                             : offsetof(ethtool_rxfh_indir, ring_index);

  std::vector<uint64_t> words_;
};

template <size_t kBytes>
std::string Text(const char (&field)[kBytes]) {
  return std::string(field, strnlen(field, kBytes));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EthtoolIoctl>> EthtoolIoctl::Open(absl::string_view netns_path) {
  int fd = -1;
  const absl::Status opened = InNetns(netns_path, [&] {
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 ? absl::OkStatus()
                   : absl::UnavailableError(absl::StrCat("a socket for ethtool cannot be opened (",
                                                         ErrnoName(errno), ")"));
  });
  if (!opened.ok()) return opened;
  return std::make_unique<EthtoolIoctl>(fd);
}

EthtoolIoctl::~EthtoolIoctl() { close(socket_fd_); }

int EthtoolIoctl::Call(absl::string_view device, void* command) const {
  ifreq request = {};
  if (device.size() >= sizeof(request.ifr_name)) return ENODEV;
  std::memcpy(request.ifr_name, device.data(), device.size());
  request.ifr_data = static_cast<char*>(command);
  return ioctl(socket_fd_, SIOCETHTOOL, &request) < 0 ? errno : 0;
}

absl::StatusOr<DriverInfo> EthtoolIoctl::Driver(absl::string_view device) {
  ethtool_drvinfo info = {};
  info.cmd = ETHTOOL_GDRVINFO;
  const int error = Call(device, &info);
  if (error != 0) return Refused(KernelOperation::kRead, device, error);
  return DriverInfo{.driver = Text(info.driver),
                    .version = Text(info.version),
                    .firmware = Text(info.fw_version),
                    .bus = Text(info.bus_info)};
}

absl::StatusOr<RuleTable> EthtoolIoctl::Table(absl::string_view device) {
  ethtool_rxnfc count = {};
  count.cmd = ETHTOOL_GRXCLSRLCNT;
  const int error = Call(device, &count);
  if (error != 0) return Refused(KernelOperation::kRead, device, error);
  return RuleTable{.size = static_cast<uint32_t>(count.data & ~uint64_t{RX_CLS_LOC_SPECIAL}),
                   .placed_by_driver = (count.data & RX_CLS_LOC_SPECIAL) != 0};
}

absl::StatusOr<std::vector<NtupleRule>> EthtoolIoctl::Rules(absl::string_view device) {
  ethtool_rxnfc count = {};
  count.cmd = ETHTOOL_GRXCLSRLCNT;
  int error = Call(device, &count);
  if (error != 0) return Refused(KernelOperation::kRead, device, error);
  std::vector<NtupleRule> rules;
  if (count.rule_cnt == 0) return rules;
  if (count.rule_cnt > kNtupleRulesMax) {
    return absl::OutOfRangeError(absl::StrCat(
        device, " has ", count.rule_cnt, " flow rules; at most ", kNtupleRulesMax, " are read"));
  }
  // Room for some that come in between.
  const uint32_t capacity = count.rule_cnt + 16;
  WithArray<ethtool_rxnfc> all(capacity);
  all->cmd = ETHTOOL_GRXCLSRLALL;
  all->rule_cnt = capacity;
  error = Call(device, all.get());
  if (error != 0) return Refused(KernelOperation::kRead, device, error);
  for (const uint32_t location : all.Load(std::min(all->rule_cnt, capacity))) {
    absl::StatusOr<NtupleRule> rule = Rule(device, location);
    // One that was deleted meanwhile is none.
    if (rule.ok()) rules.push_back(*std::move(rule));
  }
  std::sort(rules.begin(), rules.end(),
            [](const NtupleRule& a, const NtupleRule& b) { return a.location < b.location; });
  return rules;
}

absl::StatusOr<NtupleRule> EthtoolIoctl::Rule(absl::string_view device, uint32_t location) {
  ethtool_rxnfc command = {};
  command.cmd = ETHTOOL_GRXCLSRULE;
  command.fs.location = location;
  const int error = Call(device, &command);
  if (error == ENOENT || error == EINVAL) {
    return absl::NotFoundError(absl::StrCat(device, " has no flow rule at location ", location));
  }
  if (error != 0) return Refused(KernelOperation::kRead, device, error);
  return DecodeRule(command.fs, command.rss_context);
}

absl::StatusOr<uint32_t> EthtoolIoctl::FreeLocation(absl::string_view device) {
  const absl::StatusOr<RuleTable> table = Table(device);
  if (!table.ok()) return table.status();
  if (table->placed_by_driver) return RX_CLS_LOC_ANY;
  if (table->size == 0) {
    return absl::UnimplementedError(
        absl::StrCat(device, " has no room for flow rules; ethtool -K ", device, " ntuple on"));
  }
  const absl::StatusOr<std::vector<NtupleRule>> rules = Rules(device);
  if (!rules.ok()) return rules.status();
  const std::optional<uint32_t> location = HighestFreeLocation(*table, *rules);
  if (location) return *location;
  return Refused(KernelOperation::kRuleInsert, device, ENOSPC);
}

absl::StatusOr<uint32_t> EthtoolIoctl::InsertRule(absl::string_view device,
                                                  const NtupleRule& rule) {
  const absl::StatusOr<ethtool_rx_flow_spec> spec = EncodeRule(rule);
  if (!spec.ok()) return spec.status();
  ethtool_rxnfc command = {};
  command.cmd = ETHTOOL_SRXCLSRLINS;
  command.fs = *spec;
  command.rss_context = rule.rss_context.value_or(0);
  if (!rule.location) {
    const absl::StatusOr<uint32_t> location = FreeLocation(device);
    if (!location.ok()) return location.status();
    command.fs.location = *location;
  }
  const int error = Call(device, &command);
  if (error != 0) return Refused(KernelOperation::kRuleInsert, device, error);
  // The kernel writes back where the rule is.
  return command.fs.location;
}

absl::Status EthtoolIoctl::DeleteRule(absl::string_view device, uint32_t location) {
  ethtool_rxnfc command = {};
  command.cmd = ETHTOOL_SRXCLSRLDEL;
  command.fs.location = location;
  const int error = Call(device, &command);
  return error == 0 ? absl::OkStatus() : Refused(KernelOperation::kRuleDelete, device, error);
}

absl::StatusOr<std::vector<uint32_t>> EthtoolIoctl::RssTable(absl::string_view device) {
  ethtool_rxfh_indir size = {};
  size.cmd = ETHTOOL_GRXFHINDIR;
  int error = Call(device, &size);
  if (error != 0) return Refused(KernelOperation::kRead, device, error);
  if (size.size > kRssTableEntriesMax) {
    return absl::OutOfRangeError(absl::StrCat("the RSS table of ", device, " has ", size.size,
                                              " entries; at most ", kRssTableEntriesMax,
                                              " are read"));
  }
  WithArray<ethtool_rxfh_indir> table(size.size);
  table->cmd = ETHTOOL_GRXFHINDIR;
  table->size = size.size;
  error = Call(device, table.get());
  if (error != 0) return Refused(KernelOperation::kRead, device, error);
  return table.Load(std::min(table->size, size.size));
}

absl::Status EthtoolIoctl::SetRssTable(absl::string_view device, std::span<const uint32_t> queues) {
  const auto entries = static_cast<uint32_t>(queues.size());
  WithArray<ethtool_rxfh_indir> table(entries);
  table->cmd = ETHTOOL_SRXFHINDIR;
  table->size = entries;
  table.Store(queues);
  const int error = Call(device, table.get());
  return error == 0 ? absl::OkStatus() : Refused(KernelOperation::kRssSet, device, error);
}

}  // namespace devmem
