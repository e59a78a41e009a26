// SPDX-License-Identifier: Apache-2.0
//
// What the programs of this folder exit with. A program that a signal ends exits with 128 and the
// signal's number, as a shell would say.

#pragma once

namespace devmem {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // A stream failed or was wrong, or something was refused.
inline constexpr int kExitUsage = 2;   // The command line is wrong.

}  // namespace devmem
