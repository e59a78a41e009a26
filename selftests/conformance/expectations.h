// SPDX-License-Identifier: Apache-2.0
//
// Where the backends differ, and why they may: the only place in the suite that knows one from
// another. A test that meets such a matter asks here and holds the backend to its own answer, and
// the run records what it asked, so that the table in Documentation/conformance.md is made of what
// was tested. Constant data.

#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "uapi/devmem.h"

namespace devmem::testing {

// One matter as one backend has it.
struct Trait {
  absl::string_view matter;  // A key: letters and underscores.
  bool value = false;
  absl::string_view what;  // What this backend does, for the table.
  absl::string_view why;
};

struct Expectations {
  // Payload of a bound connection lands in its region without passing through host memory.
  Trait direct_placement;
  // A peer whose owner was killed hears of it by a FIN or a reset.
  Trait peer_hears_of_crash;
  // Release() says how many frags of the connection's own binding it refused.
  Trait refusals_are_told;
  // SendFrom() has the NIC read the region, without a copy through host memory.
  Trait direct_sending;
};

const Expectations& ExpectationsOf(Backend backend, Threading threading);

}  // namespace devmem::testing
