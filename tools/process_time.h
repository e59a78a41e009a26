// SPDX-License-Identifier: Apache-2.0
//
// Clocks for reports: how long something took, and what it cost this process. Never used to decide
// anything.

#pragma once

namespace devmem {

double MonotonicSeconds();
// User and system time of this process so far, all its threads together.
double ProcessCpuSeconds();

}  // namespace devmem
