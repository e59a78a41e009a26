// SPDX-License-Identifier: Apache-2.0
//
// The words of `devmemctl provider`, `topo` and `region`: memory, and where it is. See
// devmemctl_words.h.

#include <array>

#include "absl/status/statusor.h"
#include "provider/limits.h"
#include "tools/devmemctl_words.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr char kProviderFooter[] = R"(Examples:
  devmemctl provider                  # the names, one a line
  devmemctl provider probe            # each one: usable, or exactly why not
  devmemctl -j provider probe cuda    # one of them, as JSON; exit 4 where it is not usable
)";

constexpr char kTopoFooter[] = R"(Examples:
  devmemctl topo                      # this machine
  devmemctl -j -p topo                # the same as JSON
  devmemctl topo --xml FILE           # another one, saved there by `lstopo --whole-io FILE`
)";

constexpr char kRegionFooter[] =
    R"(Allocates a region, attaches to it, writes a pattern, reads it back, asks where it lies,
passes the handle on, moves, evicts, revokes and removes it, and prints what happened. What a kind
of memory does not promise must be refused, and that is checked too.

Examples:
  devmemctl region test memfd
  devmemctl region test memfd --kind movable --bytes 64M
  devmemctl -j region test cuda --device 0000:17:00.0
)";

constexpr std::array<absl::string_view, 3> kKindWords = {"pinned", "revocable", "movable"};
constexpr std::array<AttachmentKind, 3> kKinds = {
    AttachmentKind::kPinned, AttachmentKind::kMayRevoke, AttachmentKind::kMayMove};

absl::Status SetProvider(const std::string& value, DevmemctlOptions* options) {
  options->provider = value;
  return absl::OkStatus();
}

absl::Status SetXml(const std::string& value, DevmemctlOptions* options) {
  options->xml_path = value;
  return absl::OkStatus();
}

absl::Status SetSynthetic(const std::string& value, DevmemctlOptions* options) {
  options->synthetic = value;
  return absl::OkStatus();
}

absl::Status SetDevice(const std::string& value, DevmemctlOptions* options) {
  options->device = value;
  return absl::OkStatus();
}

absl::Status SetBytes(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseBytes(value, {"--bytes", kSmallPageBytes, kRegionBytesMax, "bytes"});
  if (parsed.ok()) options->region_bytes = *parsed;
  return parsed.status();
}

absl::Status SetKind(const std::string& value, DevmemctlOptions* options) {
  const auto parsed = ParseChoice(value, "--kind", kKindWords);
  if (parsed.ok()) options->kind = kKinds[*parsed];
  return parsed.status();
}

constexpr OptionWords kProbeOptions[] = {{"NAME", "", "Only this provider", SetProvider}};
constexpr VerbWords kProviderVerbs[] = {
    {"list", "Print the names of all providers", DevmemctlCommand::kProviderList, {}},
    {"probe", "Say which providers are usable here, and why the others are not",
     DevmemctlCommand::kProviderProbe, kProbeOptions},
};

constexpr OptionWords kTopoOptions[] = {
    {"--xml", "FILE", "Look at the machine that hwloc saved in this file", SetXml},
    {"--synthetic", "TEXT",
     "Look at a machine in hwloc's notation: \"package:2 [numa] core:8 pu:2\"", SetSynthetic},
};
constexpr VerbWords kTopoVerbs[] = {
    {"show", "Print the matrix", DevmemctlCommand::kTopoShow, kTopoOptions}};

constexpr OptionWords kRegionOptions[] = {
    {"PROVIDER", "", "A name from `devmemctl provider list`", SetProvider, true},
    {"--bytes", "BYTES", "Size of the region; 16M if not given", SetBytes},
    {"--kind", "pinned|revocable|movable",
     "What the exporter promises about the memory; pinned if not given", SetKind},
    {"--device", "DEVICE", "Which of the provider's devices; the first if not given", SetDevice},
};
constexpr VerbWords kRegionVerbs[] = {{"test", "Prove that a provider's memory works",
                                       DevmemctlCommand::kRegionTest, kRegionOptions}};

constexpr ObjectWords kObjects[] = {
    {"provider", "Kinds of device memory", kProviderFooter, kProviderVerbs},
    {"topo", "How far NICs and device memory are from one another", kTopoFooter, kTopoVerbs},
    {"region", "Memory from a provider", kRegionFooter, kRegionVerbs, false},
};

}  // namespace

std::span<const ObjectWords> MemoryObjects() { return kObjects; }

}  // namespace devmem
