// SPDX-License-Identifier: Apache-2.0
//
// What the flags string of packetdrill_interface_init() may say: the address of the stack, its MTU,
// and knobs with the names and defaults of Linux's sysctls. Read once, when the plug-in is made.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "netmem/tcp/limits.h"
#include "netmem/tcp/time.h"
#include "netmem/wire/ip_address.h"

namespace devmem::packetdrill {

struct Knobs {
  std::optional<IpAddress> address_v4 = {};  // Empty: learnt from bind() and from packets.
  std::optional<IpAddress> address_v6 = {};
  uint32_t mtu_bytes = 1500;

  bool sack = true;
  bool timestamps = true;
  bool window_scaling = true;
  uint32_t ecn = 2;                                              // 0 off, 1 ask, 2 only answer.
  std::array<uint32_t, 3> rmem_bytes = {4096, 131072, 6291456};  // tcp_rmem: min, default, max.
  std::array<uint32_t, 3> wmem_bytes = {4096, 16384, 4194304};   // tcp_wmem.
  uint32_t rmem_max_bytes = 212992;                              // What SO_RCVBUF may ask for.
  uint32_t wmem_max_bytes = 212992;
  uint32_t initial_window_segments = 10;
  Nanos delayed_ack = 40 * kMillisecond;
  uint32_t syn_retries = 6;
  uint32_t retries = 15;  // tcp_retries2.
  Nanos fin_timeout = 60 * kSecond;
  Nanos keepalive_time = 7200 * kSecond;
  Nanos keepalive_interval = 75 * kSecond;
  uint32_t keepalive_probes = 9;
  uint32_t syncookies = 1;
  Nanos invalid_answer_interval = kInvalidAnswerInterval;  // tcp_invalid_ratelimit.
  bool loss_probe = true;                                  // tcp_early_retrans of 3 or 4.
  uint32_t somaxconn = 4096;
  bool of_machine = false;  // What is not given is this machine's, at the first socket().
};

// Reads `flags`: knob=value, separated by commas or spaces; a number without a knob continues the
// list before it (tcp_rmem=4096 131072 6291456, and 4096:131072:6291456 says the same); a bare
// address is the stack's. A name may have the prefix net.ipv4. or net.core. What is not understood
// is skipped and adds a line to the result's errors.
struct ParsedKnobs {
  Knobs knobs;
  std::vector<std::string> errors;
};
ParsedKnobs ParseKnobs(absl::string_view flags);

// What this machine's network namespace has set, as flags for ParseKnobs(). Reads files of
// /proc/sys/net; what is not there, or not in bounds, is left out.
std::string MachineFlags();

// The names that ParseKnobs() understands, one a line, with the defaults.
std::string KnobHelp();

}  // namespace devmem::packetdrill
