// SPDX-License-Identifier: Apache-2.0
//
// What the doctor says about each backend: usable, or exactly what is missing and the command that
// fixes it. A pure function of the Machine, on any thread.

#pragma once

#include <string>
#include <vector>

#include "tools/doctor/machine.h"

namespace devmem {

struct Missing {
  std::string what = {};
  std::string fix = {};  // A command, or what to look for where no command helps.
};

struct Verdict {
  std::string backend = {};  // As `ncdevmem --backend` takes it.
  bool usable = false;
  std::string detail = {};            // Usable: on what, and what it changes there.
  std::vector<Missing> missing = {};  // Not usable: everything that is in the way.
};

// One for each backend, in the order stack, copy, kernel, zcrx.
std::vector<Verdict> Judge(const Machine& machine);

// What keeps a NIC's queues from being bound to memory, whatever its settings; empty: nothing.
// What `devmemctl setup` and the backends set by themselves is not among it.
std::vector<Missing> NicObstacles(const NicFacts& nic);

// What set-up will change on the NIC: "header split on", "ntuple on", "RSS away from its queue".
std::vector<std::string> NicChanges(const NicFacts& nic);

}  // namespace devmem
