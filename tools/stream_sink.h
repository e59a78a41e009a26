// SPDX-License-Identifier: Apache-2.0
//
// Where the bytes of one stream go when somebody wants to look at them: a pattern check, a hash, a
// file. One for each connection, used by the receive loop's thread.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/unique_fd.h"
#include "tools/pattern.h"
#include "tools/sha256.h"

namespace devmem {

class StreamSink {
 public:
  struct Options {
    std::optional<PatternSpec> pattern = std::nullopt;
    bool sha256 = false;
    std::string output_path = "";  // Empty: no file.
  };

  // Errors: those of open(2) for the file.
  static absl::StatusOr<std::unique_ptr<StreamSink>> Create(const Options& options);

  // The next bytes of the stream. Errors: kDataLoss with the first wrong offset; those of write(2).
  absl::Status Take(std::span<const uint8_t> bytes);

  // At the end: the hash, or an empty text where none was asked for.
  std::string FinishHash();

 private:
  StreamSink() = default;

  absl::Status WriteOut(std::span<const uint8_t> bytes);

  std::optional<PatternChecker> checker_;
  std::unique_ptr<Sha256> hash_;
  std::string output_path_;
  UniqueFd output_;
};

}  // namespace devmem
