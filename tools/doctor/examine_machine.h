// SPDX-License-Identifier: Apache-2.0
//
// Collects what the doctor knows about the machine at hand: reads /proc and /sys, asks the kernel,
// probes providers. Changes nothing; the only traces are a socket, a ring and a descriptor for a
// moment. Called by `devmemctl doctor`, on any thread.

#pragma once

#include "tools/doctor/machine.h"
#include "tools/doctor/machine_files.h"

namespace devmem {

Machine ExamineMachine(const MachineFiles& files);

}  // namespace devmem
