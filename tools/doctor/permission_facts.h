// SPDX-License-Identifier: Apache-2.0
//
// PermissionFacts: what this process may do, as far as devmem asks for it: capabilities(7),
// user_namespaces(7), getrlimit(2). Read from /proc/self by the doctor, on any thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/doctor/machine_files.h"

namespace devmem {

struct PermissionFacts {
  uint32_t effective_user = 0;
  bool net_admin = false;  // CAP_NET_ADMIN, over this network namespace.
  bool bpf = false;        // CAP_BPF.
  bool ipc_lock = false;   // CAP_IPC_LOCK: pinned memory is not counted against memlock.
  // io_uring's zero-copy receive wants CAP_NET_ADMIN in the initial user namespace; the netdev
  // family is content with the namespace that owns the network namespace.
  bool initial_user_namespace = true;
  std::optional<uint64_t> memlock_bytes = {};  // RLIMIT_MEMLOCK; nothing: unlimited.
};

PermissionFacts ReadPermissionFacts(const MachineFiles& files);

// On one line, for people.
std::string ToString(const PermissionFacts& facts);

}  // namespace devmem
