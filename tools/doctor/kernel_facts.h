// SPDX-License-Identifier: Apache-2.0
//
// KernelFacts: which kernel this is, and what it was built with, as far as it tells. Called once by
// the doctor, on any thread.

#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "tools/doctor/machine_files.h"

namespace devmem {

struct KernelFacts {
  std::string release = {};  // As `uname -r` says it.
  std::string config_source =
      {};  // The file that the options are from; empty: this kernel hides them.
  // "NET_DEVMEM" to "y", "m" or "n", for what devmem has a use for. Empty without a source.
  std::map<std::string, std::string> options = {};

  // What the configuration says about an option: "CONFIG_X=y", "CONFIG_X is off", or "" where it
  // cannot be read.
  std::string Option(absl::string_view name) const;
};

// Looks at /proc/config.gz, then at /boot/config-RELEASE, then at /lib/modules/RELEASE/config.
KernelFacts ReadKernelFacts(const MachineFiles& files);

}  // namespace devmem
