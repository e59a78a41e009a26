// SPDX-License-Identifier: Apache-2.0
//
// See machine_files.h. zlib reads packed files and plain ones alike.

#include "tools/doctor/machine_files.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tools/doctor/limits.h"

namespace devmem {

std::string MachineFiles::Path(absl::string_view path) const { return absl::StrCat(root_, path); }

bool MachineFiles::Exists(absl::string_view path) const {
  std::error_code error;
  return std::filesystem::exists(Path(path), error);
}

std::optional<std::string> MachineFiles::Read(absl::string_view path) const {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(Path(path).c_str(), "rbe"), gzclose);
  if (file == nullptr) return std::nullopt;
  std::string text;
  char piece[16384];
  while (text.size() < kMachineFileBytesMax) {
    const int bytes = gzread(file.get(), piece, sizeof piece);
    if (bytes < 0) return std::nullopt;
    if (bytes == 0) break;
    text.append(piece, static_cast<size_t>(bytes));
  }
  text.resize(std::min(text.size(), kMachineFileBytesMax));
  return text;
}

std::string MachineFiles::ReadLine(absl::string_view path) const {
  const std::optional<std::string> text = Read(path);
  if (!text.has_value()) return "";
  return std::string(absl::StripTrailingAsciiWhitespace(*text));
}

std::vector<std::string> MachineFiles::List(absl::string_view path) const {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(Path(path), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string MachineFiles::LinkName(absl::string_view path) const {
  std::error_code error;
  return std::filesystem::read_symlink(Path(path), error).filename().string();
}

}  // namespace devmem
