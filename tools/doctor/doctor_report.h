// SPDX-License-Identifier: Apache-2.0
//
// What `devmemctl doctor` prints: one screen of plain words, or the same as JSON. Pure functions of
// the Machine and the verdicts, on any thread.

#pragma once

#include <string>
#include <vector>

#include "tools/doctor/machine.h"
#include "tools/doctor/verdict.h"
#include "tools/json_object.h"

namespace devmem {

// At most kReportColumns wide.
std::string FormatDoctor(const Machine& machine, const std::vector<Verdict>& verdicts);

JsonObject DoctorToJson(const Machine& machine, const std::vector<Verdict>& verdicts);

}  // namespace devmem
