// SPDX-License-Identifier: Apache-2.0
//
// MachineFiles: the files that describe a machine, those of /proc, /sys and /boot, under a root
// that a test chooses. The collectors of this folder read through it. One thread.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace devmem {

class MachineFiles {
 public:
  // Below `root`, "" for this machine. Paths are absolute ones of that machine.
  explicit MachineFiles(absl::string_view root = "") : root_(root) {}

  bool Exists(absl::string_view path) const;

  // At most kMachineFileBytesMax bytes of the file, nothing where it cannot be read. A file called
  // *.gz is unpacked.
  std::optional<std::string> Read(absl::string_view path) const;

  // The same without white space at its end; empty where it cannot be read.
  std::string ReadLine(absl::string_view path) const;

  // The names in a folder, sorted; empty where there is none.
  std::vector<std::string> List(absl::string_view path) const;

  // The last part of what a symbolic link says, empty where there is none: how /sys names a
  // device's driver.
  std::string LinkName(absl::string_view path) const;

 private:
  std::string Path(absl::string_view path) const;

  const std::string root_;
};

}  // namespace devmem
