// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/refusal.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "uapi/netlink/refusal_table.h"

namespace devmem {
namespace {

constexpr char kPayloadUrl[] = "devmem/kernel-error";

bool Known(RefusalWhen when, const RefusalContext& context) {
  switch (when) {
    case RefusalWhen::kAlways: return true;
    case RefusalWhen::kXdpAttached: return context.xdp_attached.value_or(false);
    case RefusalWhen::kQueueBound: return context.queue_bound.value_or(false);
    case RefusalWhen::kQueueAfXdp: return context.queue_af_xdp.value_or(false);
    case RefusalWhen::kDeviceDown: return !context.up.value_or(true);
    case RefusalWhen::kQueueZero:
      return std::count(context.queues.begin(), context.queues.end(), 0u) != 0;
    case RefusalWhen::kCommandUnknown: return !context.command_known.value_or(true);
    case RefusalWhen::kNotInitialUserNamespace:
      return !context.initial_user_namespace.value_or(true);
    case RefusalWhen::kHdsThreshold: return context.hds_thresh.value_or(0) != 0;
    case RefusalWhen::kSplitOff: return !context.split_enabled.value_or(true);
  }
  return false;
}

bool Fits(const RefusalRow& row, KernelOperation operation, const NetlinkError& error,
          const RefusalContext& context) {
  return row.operation == operation && (row.error == 0 || row.error == error.error) &&
         (row.text.empty() || absl::StrContains(error.message, row.text)) &&
         (row.at.empty() || row.at == error.attribute || row.at == error.missing) &&
         Known(row.when, context);
}

std::string Filled(absl::string_view text, const RefusalContext& context) {
  return absl::StrReplaceAll(text,
                             {{"{device}", context.device.empty() ? "the device" : context.device},
                              {"{driver}", context.driver.empty() ? "its driver" : context.driver},
                              {"{queues}", absl::StrJoin(context.queues, ",")}});
}

// A refusal that no row knows: the kernel's words are all there is.
RefusalRow Unknown(const NetlinkError& error) {
  RefusalRow row;
  row.code = absl::ErrnoToStatusCode(error.error);
  if (row.code == absl::StatusCode::kUnknown) row.code = absl::StatusCode::kFailedPrecondition;
  row.cause = "the kernel or {driver} refused, and does not say more";
  row.fix = "look at the kernel's log (dmesg)";
  return row;
}

RefusalRow FindRow(KernelOperation operation, const NetlinkError& error,
                   const RefusalContext& context) {
  for (const auto& rows : {BindRefusalRows(), SettingsRefusalRows(), DataRefusalRows()}) {
    for (const RefusalRow& row : rows) {
      if (Fits(row, operation, error, context)) return row;
    }
  }
  return Unknown(error);
}

std::string Subject(KernelOperation operation, const RefusalContext& context) {
  std::string subject(ToString(operation));
  if (!context.device.empty()) absl::StrAppend(&subject, " on ", context.device);
  if (!context.queues.empty()) {
    absl::StrAppend(&subject, context.queues.size() == 1 ? " queue " : " queues ",
                    absl::StrJoin(context.queues, ","));
  }
  return subject;
}

}  // namespace

absl::string_view ToString(KernelOperation operation) {
  switch (operation) {
    case KernelOperation::kRead: return "reading";
    case KernelOperation::kBindRx: return "bind-rx";
    case KernelOperation::kBindTx: return "bind-tx";
    case KernelOperation::kQueueCreate: return "queue-create";
    case KernelOperation::kRingsSet: return "setting rings";
    case KernelOperation::kChannelsSet: return "setting channels";
    case KernelOperation::kFeaturesSet: return "setting features";
    case KernelOperation::kRssSet: return "setting the RSS table";
    case KernelOperation::kRuleInsert: return "inserting a flow rule";
    case KernelOperation::kRuleDelete: return "deleting a flow rule";
    case KernelOperation::kZcrxRegister: return "registering zero-copy receive";
    case KernelOperation::kReceive: return "receiving";
    case KernelOperation::kSend: return "sending from device memory";
  }
  return "asking the kernel";
}

absl::Status ExplainRefusal(KernelOperation operation, const NetlinkError& error,
                            const RefusalContext& context) {
  const RefusalRow row = FindRow(operation, error, context);
  absl::Status status(
      row.code, absl::StrCat(Subject(operation, context), ": ", Filled(row.cause, context), "; ",
                             Filled(row.fix, context), " [", error.ToString(), "]"));
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(error.error, "\n", error.message, "\n",
                                                         error.attribute, "\n", error.missing)));
  return status;
}

std::optional<NetlinkError> KernelErrorOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::vector<std::string> parts = absl::StrSplit(std::string(*payload), '\n');
  NetlinkError error;
  if (parts.size() != 4) return std::nullopt;
  std::from_chars(parts[0].data(), parts[0].data() + parts[0].size(), error.error);
  error.message = parts[1];
  error.attribute = parts[2];
  error.missing = parts[3];
  return error;
}

bool InInitialUserNamespace() {
  // The initial namespace maps all of the 32-bit range to itself; no other can.
  std::ifstream map("/proc/self/uid_map");
  uint64_t inside = 0;
  uint64_t outside = 0;
  uint64_t count = 0;
  if (!(map >> inside >> outside >> count)) return true;
  return inside == 0 && outside == 0 && count == UINT32_MAX;
}

}  // namespace devmem
