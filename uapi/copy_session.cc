// SPDX-License-Identifier: Apache-2.0
//
// The copy backend: virtual queues that need no NIC.

#include "uapi/copy_session.h"

#include <string>
#include <utility>
#include <vector>

#include "uapi/copy_queue.h"
#include "uapi/socket_backend.h"
#include "uapi/socket_session.h"

namespace devmem {
namespace {

class CopyBackend final : public SocketBackend {
 public:
  explicit CopyBackend(absl::string_view why) : why_(why) {}

  SessionInfo info() const override {
    return SessionInfo{.backend = Backend::kCopy,
                       .why = why_,
                       .device = "",
                       .nic = "socket",
                       .steering = "none",
                       .steering_note = "",
                       .queue_count = kCopyQueues,
                       .mtu_bytes = 0};
  }
  std::string importer_name() const override { return "copy"; }
  // It looks the memory up at each access, as a software NIC does.
  ImporterCaps importer_caps() const override { return ImporterCaps::kFault; }
  uint32_t queue_count() const override { return kCopyQueues; }

  absl::StatusOr<std::vector<std::shared_ptr<SocketQueue>>> MakeQueues(
      const Binding& binding, const Region& region, Attachment& attachment,
      SocketStats* stats) override {
    std::vector<std::shared_ptr<SocketQueue>> queues;
    for (const uint32_t index : binding.queues()) {
      const absl::StatusOr<MemoryProvider> memory = binding.ProviderFor(index);
      if (!memory.ok()) return memory.status();
      absl::StatusOr<RegionWriter> writer = RegionWriter::Create(region, attachment);
      if (!writer.ok()) return writer.status();
      auto queue = CopyQueue::Create(index, *memory, *std::move(writer), stats);
      if (!queue.ok()) return queue.status();
      queues.push_back(*std::move(queue));
    }
    return queues;
  }

 private:
  const std::string why_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> OpenCopySession(const SessionOptions& options,
                                                         absl::string_view why) {
  return OpenSocketSession(options, std::make_unique<CopyBackend>(why));
}

}  // namespace devmem
