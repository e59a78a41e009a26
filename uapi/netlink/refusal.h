// SPDX-License-Identifier: Apache-2.0
//
// What a refusal of the kernel means and what to do about it. One table, in refusal_table.cc, maps
// (operation, errno, text or attribute, what else is known) to a cause and a fix; the table is
// printed in Documentation/nic-setup.md. The texts of the kernel are matched but never relied on
// alone: they are no stable interface. Any thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "uapi/netlink/netlink_error.h"

namespace devmem {

enum class KernelOperation {
  kRead,  // Any of the questions, which change nothing.
  kBindRx,
  kBindTx,
  kQueueCreate,
  kRingsSet,
  kChannelsSet,
  kFeaturesSet,
  kRssSet,
  kRuleInsert,
  kRuleDelete,
  kZcrxRegister,  // io_uring's own; never has a text.
  kReceive,       // recvmsg() with MSG_SOCK_DEVMEM.
  kSend,          // sendmsg() with SCM_DEVMEM_DMABUF.
};
absl::string_view ToString(KernelOperation operation);

// What was read back after a refusal; unset where nobody looked.
struct RefusalContext {
  std::string device = {};
  std::string driver = {};
  std::vector<uint32_t> queues = {};
  std::optional<uint32_t> rx_queue_count = {};
  std::optional<bool> up = {};
  std::optional<bool> xdp_attached = {};
  std::optional<bool> queue_bound = {};   // A memory provider is on one of the queues.
  std::optional<bool> queue_af_xdp = {};  // An AF_XDP socket is.
  std::optional<bool> split_enabled = {};
  std::optional<uint32_t> hds_thresh = {};
  std::optional<bool> initial_user_namespace = {};
  std::optional<bool> command_known = {};  // The kernel's family lists the command.
};

// The refusal as a Status whose message says: what was refused, on what, why, what to do, and last
// the kernel's own words. The kernel's error can be had back by KernelErrorOf().
absl::Status ExplainRefusal(KernelOperation operation, const NetlinkError& error,
                            const RefusalContext& context);

// The kernel's error behind a Status of ExplainRefusal(), and the operation; nothing for others.
std::optional<NetlinkError> KernelErrorOf(const absl::Status& status);

// What can be read without asking a NIC: whether this process is in the initial user namespace.
bool InInitialUserNamespace();

}  // namespace devmem
