// SPDX-License-Identifier: Apache-2.0
//
// The arguments of the conformance program.

#include "selftests/conformance/world_options.h"

#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace devmem::testing {
namespace {

constexpr std::array kBackends = {Backend::kStack, Backend::kCopy, Backend::kKernel,
                                  Backend::kZcrx};

bool SetBackend(absl::string_view value, WorldOptions* options) {
  for (const Backend backend : kBackends) {
    if (ToString(backend) != value) continue;
    options->backend = backend;
    return true;
  }
  return false;
}

bool SetQueues(absl::string_view value, WorldOptions* options) {
  options->queues.clear();
  for (const absl::string_view part : absl::StrSplit(value, ',')) {
    uint32_t queue = 0;
    if (!absl::SimpleAtoi(part, &queue)) return false;
    options->queues.push_back(queue);
  }
  return true;
}

bool SetThreading(absl::string_view value, WorldOptions* options) {
  options->threading = value == "thread" ? Threading::kThread : Threading::kInline;
  return value == "thread" || value == "inline";
}

bool SetMebibytes(absl::string_view value, uint64_t* bytes) {
  uint32_t mebibytes = 0;
  const bool good = absl::SimpleAtoi(value, &mebibytes) && mebibytes > 0;
  *bytes = uint64_t{mebibytes} << 20;
  return good;
}

std::vector<std::string> Split(absl::string_view value) { return absl::StrSplit(value, ','); }

// False when the name or its value is not understood.
bool SetOption(absl::string_view name, absl::string_view value, WorldOptions* options) {
  if (name == "backend") return SetBackend(value, options);
  if (name == "queues") return SetQueues(value, options);
  if (name == "threads") return SetThreading(value, options);
  if (name == "region-mib") return SetMebibytes(value, &options->region_bytes);
  if (name == "scale-percent") {
    return absl::SimpleAtoi(value, &options->scale_percent) && options->scale_percent > 0;
  }
  if (name == "address") options->our_addresses = Split(value);
  if (name == "peer-address") options->peer_addresses = Split(value);
  if (name == "device") options->device = std::string(value);
  if (name == "peer-network") options->peer_network = std::string(value);
  if (name == "provider") options->provider = std::string(value);
  return name == "address" || name == "peer-address" || name == "device" ||
         name == "peer-network" || name == "provider";
}

absl::Status CheckTogether(const WorldOptions& options) {
  if (options.own_world()) return absl::OkStatus();
  if (options.our_addresses.empty() ||
      options.our_addresses.size() != options.peer_addresses.size()) {
    return absl::InvalidArgumentError(
        "--device needs --address and --peer-address, as many of one as of the other");
  }
  return absl::OkStatus();
}

}  // namespace

const char kWorldOptionsHelp[] =
    "The backend under test and its world:\n"
    "  --backend=NAME          stack (default), copy, kernel or zcrx\n"
    "  --device=NAME           the device; without it, a network namespace for each test\n"
    "  --address=A[,A]         ours on the device, one of each family\n"
    "  --peer-address=A[,A]    the peer's, in the same order\n"
    "  --peer-network=NAME     network namespace of the peer: a path, or a name of `ip netns`\n"
    "  --queues=N[,N]          the rx queues that are bound (default 1,2)\n"
    "  --provider=NAME         of the regions (default memfd)\n"
    "  --region-mib=N          size of a region (default 8)\n"
    "  --scale-percent=N       of the sizes and counts of the long tests (default 100)\n"
    "  --threads=MODE          inline (default) or thread\n";

WorldOptions& TheWorldOptions() {
  static WorldOptions options;
  return options;
}

absl::Status ParseWorldOptions(std::span<char* const> arguments, WorldOptions* options) {
  for (const absl::string_view argument : arguments) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(argument, absl::MaxSplits('=', 1));
    if (argument.substr(0, 2) != "--" || parts.second.empty() ||
        !SetOption(parts.first.substr(2), parts.second, options)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", argument, "\" is not understood"));
    }
  }
  return CheckTogether(*options);
}

}  // namespace devmem::testing
