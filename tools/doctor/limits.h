// SPDX-License-Identifier: Apache-2.0
//
// The bounds of devmemctl's doctor.

#pragma once

#include <cstddef>
#include <cstdint>

namespace devmem {

// Of one file of /proc, /sys or /boot, unpacked: a distribution's kernel configuration has 300 KB.
inline constexpr size_t kMachineFileBytesMax = size_t{4} << 20;

// What a report is laid out for: a terminal of the usual size.
inline constexpr uint32_t kReportColumns = 80;

// Network devices that a report shows; the rest is a number.
inline constexpr size_t kReportNicsMax = 6;

}  // namespace devmem
