// SPDX-License-Identifier: Apache-2.0
//
// The backend `zcrx`: a NIC of this machine whose queues io_uring receives from, each into a part
// of a region, by a ring of its own (Linux Documentation/networking/iou-zcrx.rst). Behind
// SocketSession, on the session's one thread, to which the rings belong.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/host_area.h"
#include "uapi/kernel_nic.h"
#include "uapi/socket_backend.h"
#include "uapi/zcrx_memory.h"
#include "uapi/zcrx_queue.h"
#include "uapi/zcrx_system.h"

namespace devmem {

class ZcrxBackend final : public SocketBackend {
 public:
  // `system` outlives it. Errors: HostArea::Create().
  static absl::StatusOr<std::unique_ptr<ZcrxBackend>> Create(const SessionOptions& options,
                                                             absl::string_view why,
                                                             std::unique_ptr<KernelNic> nic,
                                                             ZcrxSystem* system);

  void Started(SocketCore* core) override;
  SessionInfo info() const override;
  std::string importer_name() const override { return nic_->plan().device; }
  // The kernel pins what it receives into, and gives it back when the ring is closed.
  ImporterCaps importer_caps() const override { return ImporterCaps::kNeither; }
  uint32_t queue_count() const override { return nic_->plan().rx_queue_count; }

  absl::StatusOr<std::vector<std::shared_ptr<SocketQueue>>> MakeQueues(const Binding& binding,
                                                                       const Region& region,
                                                                       Attachment& attachment,
                                                                       SocketStats* stats) override;
  void EndBinding(BindingId binding) override;

  absl::StatusOr<RuleHold> Steer(const FlowMatch& match, uint32_t queue) override {
    return rules_.Steer(match, queue);
  }
  bool steers() const override { return true; }

  const Region* host_region() const override { return &host_->region(); }
  Account host_account() const override { return host_->account(); }
  HostArea* host_area() override { return host_.get(); }
  void AppendStatistics(std::vector<Statistic>* statistics) const override;

 private:
  ZcrxBackend(const SessionOptions& options, absl::string_view why, std::unique_ptr<KernelNic> nic,
              ZcrxSystem* system, std::unique_ptr<HostArea> host);

  // What a bound queue needs besides its SocketQueue.
  struct Bound {
    uint32_t queue = 0;
    ZcrxMemory memory;
  };

  absl::StatusOr<std::shared_ptr<SocketQueue>> MakeQueue(const MemoryProvider& part, uint32_t index,
                                                         const Region& region,
                                                         const ZcrxMemory& memory,
                                                         SocketStats* stats);

  const std::string why_;
  const uint64_t held_bytes_max_;
  const std::unique_ptr<KernelNic> nic_;
  ZcrxSystem* const system_;
  const std::unique_ptr<HostArea> host_;
  ZcrxStats stats_;
  SteeringBook rules_;
  std::map<BindingId, std::vector<Bound>> bound_;
};

}  // namespace devmem
