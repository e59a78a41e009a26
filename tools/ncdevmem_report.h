// SPDX-License-Identifier: Apache-2.0
//
// What ncdevmem tells: the JSON object, the summary and the table for people, the progress line.
// Pure functions of a run's result; main prints what they return.

#pragma once

#include <cstdint>
#include <string>

#include "tools/ncdevmem_receive.h"

namespace devmem {

// Whether everything asked for arrived, was right and was given back.
bool Succeeded(const RunResult& result);

// The sum over the connections that --count counts.
uint64_t CountedBytes(const RunResult& result);

// One line, the keys in a fixed order; the user's page lists them.
std::string ReportJson(const RunResult& result);

// "4.29 GB in 0.85 s, 40.4 Gbit/s into a region of 67.1 MB on queue 1 (stack over tap, bpf)".
std::string ReportSummary(const RunResult& result);

// One line for each stream that failed, and for the run if it did; empty when all is well.
std::string ReportFailures(const RunResult& result);

// Names and values in two columns, those that are 0 left out.
std::string ReportTable(const RunResult& result);

// Two looks at a run make a rate. One for each progress display.
class ProgressLine {
 public:
  // "  1.23 GB   38.2 Gbit/s   pool [####......]  41 %", without an end of line.
  std::string Format(const Progress& progress);

 private:
  Progress last_;
};

}  // namespace devmem
