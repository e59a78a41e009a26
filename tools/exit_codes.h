// SPDX-License-Identifier: Apache-2.0
//
// What the programs of this folder exit with: ncdevmem and its helpers with the first kind,
// devmemctl with the second. A program that a signal ends exits with 128 and the signal's number,
// as a shell would say.

#pragma once

namespace devmem {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // A stream failed or was wrong, or something was refused.
inline constexpr int kExitUsage = 2;   // The command line is wrong.

// devmemctl's, which scripts tell apart.
inline constexpr int kCtlOk = 0;
inline constexpr int kCtlUsage = 1;        // The command line is wrong.
inline constexpr int kCtlRefused = 2;      // It was understood, and refused or failed.
inline constexpr int kCtlPartly = 3;       // Some of it was done, some was not.
inline constexpr int kCtlUnsupported = 4;  // This machine lacks what it needs.

}  // namespace devmem
