// SPDX-License-Identifier: Apache-2.0
//
// See stream_sink.h.

#include "tools/stream_sink.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<StreamSink>> StreamSink::Create(const Options& options) {
  std::unique_ptr<StreamSink> sink(new StreamSink);
  if (options.pattern.has_value()) sink->checker_.emplace(*options.pattern);
  if (options.sha256) sink->hash_ = std::make_unique<Sha256>();
  if (options.output_path.empty()) return sink;
  sink->output_path_ = options.output_path;
  sink->output_.Reset(
      ::open(options.output_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!sink->output_.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("cannot write the file ", options.output_path));
  }
  return sink;
}

absl::Status StreamSink::Take(std::span<const uint8_t> bytes) {
  if (checker_.has_value() && !checker_->Check(bytes)) {
    return absl::DataLossError(checker_->complaint());
  }
  if (hash_ != nullptr) hash_->Update(bytes);
  return output_.valid() ? WriteOut(bytes) : absl::OkStatus();
}

absl::Status StreamSink::WriteOut(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(output_.get(), bytes.data(), bytes.size());
    if (written < 0) {
      const int err = errno;
      if (err == EINTR) continue;
      return ErrnoToStatus(err, absl::StrCat("cannot write the file ", output_path_));
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

std::string StreamSink::FinishHash() { return hash_ != nullptr ? hash_->Finish() : ""; }

}  // namespace devmem
