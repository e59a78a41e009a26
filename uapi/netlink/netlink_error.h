// SPDX-License-Identifier: Apache-2.0
//
// A refusal of the kernel as it arrived: the errno and all that extended acknowledgements say (the
// kernel's Documentation/userspace-api/netlink/intro.rst). Plain value; refusal.h turns it into an
// absl::Status with cause and fix.

#pragma once

#include <string>

namespace devmem {

struct NetlinkError {
  int error = 0;          // A positive errno; 0: no error.
  std::string message;    // The kernel's text, often empty.
  std::string attribute;  // The attribute that was refused, by name: "queues.id".
  std::string missing;    // The attribute that was missing, by name: "queues.type".

  bool ok() const { return error == 0; }
  // "EINVAL, \"tcp-data-split is disabled\", attribute queues.id".
  std::string ToString() const;

  friend bool operator==(const NetlinkError&, const NetlinkError&) = default;
};

// "EINVAL", or "errno 525" for a number without a name.
std::string ErrnoName(int error);

}  // namespace devmem
