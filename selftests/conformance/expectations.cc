// SPDX-License-Identifier: Apache-2.0
//
// The answers of each backend.

#include "selftests/conformance/expectations.h"

#include <cstdlib>

namespace devmem::testing {
namespace {

constexpr Trait kDirect = {"direct_placement", true,
                           "payload lands in the region, nothing is bounced",
                           "headers are split off before the payload is placed"};
constexpr Trait kPeerHears = {"peer_hears_of_crash", true, "the peer gets a FIN or a reset",
                              "the connection is the kernel's, which closes it with the process"};

constexpr Expectations kStack = {
    .direct_placement = kDirect,
    .peer_hears_of_crash = {"peer_hears_of_crash", false, "the peer hears nothing and times out",
                            "the TCP and its TAP end with the process"}};

constexpr Expectations kCopy = {
    .direct_placement = {"direct_placement", false, "every payload byte is bounced",
                         "an ordinary socket delivers to host memory, from where it is copied"},
    .peer_hears_of_crash = kPeerHears};

constexpr Expectations kKernel = {.direct_placement = kDirect, .peer_hears_of_crash = kPeerHears};

}  // namespace

const Expectations& ExpectationsOf(Backend backend) {
  switch (backend) {
    case Backend::kStack: return kStack;
    case Backend::kKernel: return kKernel;
    case Backend::kCopy: return kCopy;
    case Backend::kAuto: break;
  }
  std::abort();  // The suite names its backend.
}

}  // namespace devmem::testing
