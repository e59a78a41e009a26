// SPDX-License-Identifier: Apache-2.0
//
// IoUringFacts: whether this process may have an io_uring, and whether the kernel's can receive
// without copies. From sysctls (/proc/sys/kernel/io_uring_disabled) and by asking:
// io_uring_setup(2), IORING_REGISTER_PROBE, IORING_REGISTER_QUERY. Called by the doctor, any
// thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/doctor/machine_files.h"

namespace devmem {

// What IORING_REGISTER_QUERY tells of zero-copy receive; kernels from 6.19 on do.
struct ZcrxFeatures {
  uint64_t registration_flags = 0;  // ZCRX_REG_*
  uint64_t area_flags = 0;          // IORING_ZCRX_AREA_*
  uint32_t control_opcodes = 0;
  uint32_t features = 0;  // ZCRX_FEATURE_*
};

struct IoUringFacts {
  // kernel.io_uring_disabled: 0 everyone, 1 the group and CAP_SYS_ADMIN, 2 nobody. Nothing where
  // the kernel has no such sysctl, before 6.6.
  std::optional<uint32_t> disabled = {};
  // 0 or the errno of making a ring.
  int setup_errno = 0;
  // The kernel knows the receive opcode and was built with what carries it out.
  bool zcrx = false;
  std::optional<ZcrxFeatures> features = {};
};

// The sysctl alone: for a machine that is described by files.
void ReadIoUringSysctl(const MachineFiles& files, IoUringFacts* facts);

// Asks the running kernel, which costs one small ring for a moment.
IoUringFacts AskIoUring(const MachineFiles& files);

// On one line, for people.
std::string ToString(const ZcrxFeatures& features);

}  // namespace devmem
