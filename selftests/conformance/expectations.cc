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

constexpr Trait kRefusalsTold = {"refusals_are_told", true,
                                 "Release() says how many tokens it refused",
                                 "the table of tokens is at hand"};
constexpr Trait kSentByCopy = {"direct_sending", false, "SendFrom() copies through host memory",
                               "retransmission needs the bytes where the CPU can read them"};

constexpr Expectations kStack = {
    .direct_placement = kDirect,
    .peer_hears_of_crash = {"peer_hears_of_crash", false, "the peer hears nothing and times out",
                            "the TCP and its TAP end with the process"},
    .refusals_are_told = kRefusalsTold,
    .direct_sending = kSentByCopy};

constexpr Expectations kStackWithThreads = {
    .direct_placement = kStack.direct_placement,
    .peer_hears_of_crash = kStack.peer_hears_of_crash,
    .refusals_are_told = {"refusals_are_told", false,
                          "Release() only counts the tokens that it refuses",
                          "the queue's thread finds out, and nobody waits for it"},
    .direct_sending = kSentByCopy};

constexpr Expectations kCopy = {
    .direct_placement = {"direct_placement", false, "every payload byte is bounced",
                         "an ordinary socket delivers to host memory, from where it is copied"},
    .peer_hears_of_crash = kPeerHears,
    .refusals_are_told = kRefusalsTold,
    .direct_sending = kSentByCopy};

constexpr Expectations kKernel = {
    .direct_placement = kDirect,
    .peer_hears_of_crash = kPeerHears,
    .refusals_are_told = kRefusalsTold,
    .direct_sending = {"direct_sending", true, "SendFrom() has the NIC read the region",
                       "the kernel sends from a dma-buf that is bound for it"}};

constexpr Expectations kZcrx = {.direct_placement = kDirect,
                                .peer_hears_of_crash = kPeerHears,
                                .refusals_are_told = kRefusalsTold,
                                .direct_sending = kSentByCopy};

}  // namespace

const Expectations& ExpectationsOf(Backend backend, Threading threading) {
  switch (backend) {
    case Backend::kStack: return threading == Threading::kThread ? kStackWithThreads : kStack;
    case Backend::kCopy: return kCopy;
    case Backend::kKernel: return kKernel;
    case Backend::kZcrx: return kZcrx;
    case Backend::kAuto: break;
  }
  std::abort();  // The suite names its backend.
}

}  // namespace devmem::testing
