// SPDX-License-Identifier: Apache-2.0
//
// See examine_nics.h: the part that netlink tells.

#include "tools/doctor/examine_nics.h"

namespace devmem {

void ExamineNics(const MachineFiles& files, Machine* machine) { machine->nics = ListNics(files); }

}  // namespace devmem
