// SPDX-License-Identifier: Apache-2.0
//
// From a device's name to a session.

#include "uapi/zcrx_session.h"

#include <utility>

#include "uapi/ring/zcrx_support.h"
#include "uapi/socket_session.h"
#include "uapi/zcrx_backend.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<Session>> OpenZcrxSession(const SessionOptions& options,
                                                         absl::string_view why) {
  const absl::Status usable = CheckZcrx();
  if (!usable.ok()) return usable;
  absl::StatusOr<std::unique_ptr<KernelNic>> nic = OpenKernelNic(options.device);
  if (!nic.ok()) return nic.status();
  return OpenZcrxSession(options, why, *std::move(nic), &ZcrxSystem::OfThisMachine());
}

absl::StatusOr<std::unique_ptr<Session>> OpenZcrxSession(const SessionOptions& options,
                                                         absl::string_view why,
                                                         std::unique_ptr<KernelNic> nic,
                                                         ZcrxSystem* system) {
  if (options.threading == Threading::kThread) {
    return absl::UnimplementedError(
        "the backend zcrx works on the caller's thread alone, because its rings belong to one "
        "thread; use Threading::kInline, or the backend kernel");
  }
  absl::StatusOr<std::unique_ptr<ZcrxBackend>> backend =
      ZcrxBackend::Create(options, why, std::move(nic), system);
  if (!backend.ok()) return backend.status();
  return OpenSocketSession(options, *std::move(backend));
}

}  // namespace devmem
