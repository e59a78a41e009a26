// SPDX-License-Identifier: Apache-2.0
// The kernel's own account of device memory: the `dmem` controller of cgroup v2 (Linux 6.14), which
// drivers charge and which bounds what a cgroup gets of each device region. Read by the providers
// of device memory for their messages, on the control thread; nothing here changes a limit. What
// our own object counts is provider/quota.h. Kernel: Documentation/admin-guide/cgroup-v2.rst,
// "DMEM".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace devmem {

// Where the files are; other folders in tests.
struct DmemPaths {
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string own_cgroup = "/proc/self/cgroup";
};

// What one cgroup says about one device region. Bytes; unset where it says nothing.
struct DmemLimit {
  std::string cgroup;                 // "/a/b", from the root of the hierarchy.
  std::optional<uint64_t> max_bytes;  // Unset: no limit ("max").
  std::optional<uint64_t> current_bytes;
};

// The device regions that drivers have registered, "drm/0000:03:00.0/vram0", and the bytes of each.
struct DmemRegion {
  std::string name;
  uint64_t capacity_bytes = 0;
};

// OK with the registered regions, which may be none. kUnavailable where the kernel has no dmem
// controller or no cgroup v2 is mounted, and what to do.
absl::StatusOr<std::vector<DmemRegion>> ListDmemRegions(const DmemPaths& paths = {});

// What holds for this process: its own cgroup first, then each parent up to the root, as far as the
// controller is enabled there. Errors: as above.
absl::StatusOr<std::vector<DmemLimit>> FindDmemLimits(absl::string_view region,
                                                      const DmemPaths& paths = {});

// For the message of a refused allocation: "", or "the dmem cgroup /a limits drm/0000:03:00.0/vram0
// to 1048576 bytes, 1040384 in use" for the limit that leaves least. `device` is a PCI address or
// the name of a region.
std::string DmemNote(absl::string_view device, const DmemPaths& paths = {});

}  // namespace devmem
