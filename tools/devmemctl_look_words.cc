// SPDX-License-Identifier: Apache-2.0
//
// The words of devmemctl's objects that only look: `doctor`, `netdev`, `queue`, `napi`,
// `page-pool`, `stats` and `monitor`. See devmemctl_words.h.

#include <array>

#include "absl/status/statusor.h"
#include "tools/devmemctl_words.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr char kDoctorFooter[] =
    R"(One screen: the kernel and its options, io_uring, rights, memory, each NIC, and for each
backend usable, or what is missing and the command that fixes it. It changes nothing.

Examples:
  devmemctl doctor                    # everything
  devmemctl doctor kernel             # the same; exit 4 where the backend `kernel` cannot run
  devmemctl -j doctor                 # for programs
)";

constexpr std::array<absl::string_view, 4> kBackends = {"stack", "copy", "kernel", "zcrx"};

absl::Status SetBackend(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseChoice(value, "BACKEND", kBackends);
  if (parsed.ok()) options->backend = value;
  return parsed.status();
}

constexpr OptionWords kDoctorOptions[] = {
    {"BACKEND", "", "stack, copy, kernel or zcrx: exit 4 where it cannot run here", SetBackend}};
constexpr VerbWords kDoctorVerbs[] = {
    {"", "Say what this machine can do", DevmemctlCommand::kDoctor, kDoctorOptions}};

constexpr ObjectWords kObjects[] = {
    {"doctor", "What this machine can do, and what is missing", kDoctorFooter, kDoctorVerbs},
};

}  // namespace

std::span<const ObjectWords> LookObjects() { return kObjects; }

}  // namespace devmem
