// SPDX-License-Identifier: Apache-2.0
//
// The conformance program: the same test bodies over whichever backend its arguments name. ctest
// runs it over `stack` and `copy`, the lab over `kernel` and `zcrx`. Besides its own it takes the
// arguments of GoogleTest; `--gtest_output=json:FILE` is what tools/conformance makes the table
// from.

#include <gtest/gtest.h>

#include <cstdio>
#include <span>
#include <string>

#include "selftests/conformance/world_options.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::span<char* const> arguments(argv + 1, static_cast<size_t>(argc - 1));
  devmem::testing::WorldOptions& options = devmem::testing::TheWorldOptions();
  const absl::Status parsed = devmem::testing::ParseWorldOptions(arguments, &options);
  if (!parsed.ok()) {
    std::fprintf(stderr, "devmem_conformance: %s\n%s", std::string(parsed.message()).c_str(),
                 devmem::testing::kWorldOptionsHelp);
    return 2;
  }
  ::testing::Test::RecordProperty("backend", std::string(ToString(options.backend)));
  return RUN_ALL_TESTS();
}
