// SPDX-License-Identifier: Apache-2.0
// See dmem_cgroup.h.
#include "provider/dmem_cgroup.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "provider/limits.h"

namespace devmem {
namespace {

// A small file as text; unset where it cannot be read.
std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::string text(kDmemFileBytesMax, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

struct Row {
  std::string region;
  std::optional<uint64_t> bytes;  // Unset for "max".
};

// Rows of "REGION BYTES" or "REGION max"; what is neither is skipped.
std::vector<Row> ParseRows(const std::string& text) {
  std::vector<Row> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Row row;
    std::string value;
    uint64_t bytes = 0;
    if (!(words >> row.region >> value)) continue;
    if (absl::SimpleAtoi(value, &bytes)) {
      row.bytes = bytes;
    } else if (value != "max") {
      continue;
    }
    rows.push_back(row);
  }
  return rows;
}

std::optional<uint64_t> BytesIn(const std::string& path, absl::string_view region) {
  const std::optional<std::string> text = ReadFile(path);
  if (!text.has_value()) return std::nullopt;
  for (const Row& row : ParseRows(*text)) {
    if (row.region == region) return row.bytes;
  }
  return std::nullopt;
}

// The path of this process in the one hierarchy of cgroup v2, from the line "0::PATH".
std::optional<std::string> OwnCgroup(const DmemPaths& paths) {
  const std::optional<std::string> text = ReadFile(paths.own_cgroup);
  if (!text.has_value()) return std::nullopt;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    if (absl::StartsWith(line, "0::/")) return line.substr(3);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::vector<DmemRegion>> ListDmemRegions(const DmemPaths& paths) {
  const std::optional<std::string> controllers =
      ReadFile(paths.cgroup_root + "/cgroup.controllers");
  if (!controllers.has_value()) {
    return absl::UnavailableError(absl::StrCat(
        "no cgroup v2 hierarchy is mounted at ", paths.cgroup_root,
        ", so the kernel counts no device memory; boot with systemd.unified_cgroup_hierarchy=1"));
  }
  const std::optional<std::string> capacity = ReadFile(paths.cgroup_root + "/dmem.capacity");
  if (!capacity.has_value()) {
    return absl::UnavailableError(
        absl::StrCat("this kernel has no dmem controller (", paths.cgroup_root, "/dmem.capacity ",
                     "is absent); it comes with CONFIG_CGROUP_DMEM of Linux 6.14 or later"));
  }
  std::vector<DmemRegion> regions;
  for (const Row& row : ParseRows(*capacity))
    regions.push_back({row.region, row.bytes.value_or(0)});
  return regions;
}

absl::StatusOr<std::vector<DmemLimit>> FindDmemLimits(absl::string_view region,
                                                      const DmemPaths& paths) {
  const absl::StatusOr<std::vector<DmemRegion>> regions = ListDmemRegions(paths);
  if (!regions.ok()) return regions.status();
  std::optional<std::string> cgroup = OwnCgroup(paths);
  if (!cgroup.has_value()) {
    return absl::UnavailableError(
        absl::StrCat(paths.own_cgroup, " names no cgroup v2 of this process"));
  }
  std::vector<DmemLimit> limits;
  // The root itself has no limits.
  for (std::string at = *cgroup; at.size() > 1; at = at.substr(0, at.rfind('/'))) {
    const std::string folder = paths.cgroup_root + at;
    DmemLimit limit = {.cgroup = at,
                       .max_bytes = BytesIn(folder + "/dmem.max", region),
                       .current_bytes = BytesIn(folder + "/dmem.current", region)};
    if (limit.max_bytes.has_value() || limit.current_bytes.has_value()) {
      limits.push_back(std::move(limit));
    }
  }
  return limits;
}

std::string DmemNote(absl::string_view device, const DmemPaths& paths) {
  const absl::StatusOr<std::vector<DmemRegion>> regions = ListDmemRegions(paths);
  if (!regions.ok() || device.empty()) return "";
  std::string note;
  uint64_t least_left = UINT64_MAX;
  for (const DmemRegion& region : *regions) {
    if (region.name != device && !absl::StrContains(region.name, absl::StrCat("/", device, "/"))) {
      continue;
    }
    const absl::StatusOr<std::vector<DmemLimit>> limits = FindDmemLimits(region.name, paths);
    if (!limits.ok()) return "";
    for (const DmemLimit& limit : *limits) {
      if (!limit.max_bytes.has_value()) continue;
      const uint64_t used = limit.current_bytes.value_or(0);
      const uint64_t left = *limit.max_bytes - std::min(used, *limit.max_bytes);
      if (left >= least_left) continue;
      least_left = left;
      note = absl::StrCat("the dmem cgroup ", limit.cgroup, " limits ", region.name, " to ",
                          *limit.max_bytes, " bytes, ", used, " in use");
    }
  }
  return note;
}

}  // namespace devmem
