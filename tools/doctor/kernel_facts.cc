// SPDX-License-Identifier: Apache-2.0
//
// See kernel_facts.h.

#include "tools/doctor/kernel_facts.h"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace devmem {
namespace {

constexpr std::array<absl::string_view, 11> kOptions = {
    "NET_DEVMEM",          "PAGE_POOL",       "PAGE_POOL_STATS", "IO_URING",
    "IO_URING_ZCRX",       "UDMABUF",         "DMABUF_HEAPS",    "TUN",
    "DMABUF_HEAPS_SYSTEM", "ETHTOOL_NETLINK", "NETKIT",
};

// A line is CONFIG_X=y; what is off stands in a comment or not at all.
std::map<std::string, std::string> ParseOptions(absl::string_view text) {
  std::map<std::string, std::string> options;
  for (const absl::string_view name : kOptions) options[std::string(name)] = "n";
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, "CONFIG_")) continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line.substr(7), absl::MaxSplits('=', 1));
    const auto option = options.find(std::string(parts.first));
    if (option != options.end()) option->second = std::string(parts.second);
  }
  return options;
}

}  // namespace

std::string KernelFacts::Option(absl::string_view name) const {
  const auto option = options.find(std::string(name));
  if (option == options.end()) return "";
  return option->second == "n" ? absl::StrCat("CONFIG_", name, " is off")
                               : absl::StrCat("CONFIG_", name, "=", option->second);
}

KernelFacts ReadKernelFacts(const MachineFiles& files) {
  KernelFacts facts;
  facts.release = files.ReadLine("/proc/sys/kernel/osrelease");
  const std::vector<std::string> sources = {
      "/proc/config.gz", absl::StrCat("/boot/config-", facts.release),
      absl::StrCat("/lib/modules/", facts.release, "/config")};
  for (const std::string& source : sources) {
    const std::optional<std::string> text = files.Read(source);
    if (!text.has_value() || !absl::StrContains(*text, "CONFIG_")) continue;
    facts.config_source = source;
    facts.options = ParseOptions(*text);
    break;
  }
  return facts;
}

}  // namespace devmem
