// SPDX-License-Identifier: Apache-2.0
//
// Making, telling, and the check that both make before they bind.

#include "uapi/nic_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/socket_core.h"

namespace devmem {

absl::StatusOr<NicBackend::Parts> NicBackend::MakeParts(Backend backend,
                                                        const SessionOptions& options,
                                                        absl::string_view why,
                                                        std::unique_ptr<KernelNic> nic) {
  absl::StatusOr<std::unique_ptr<HostArea>> host =
      HostArea::Create(options.host_bytes_per_queue * options.queue_count);
  if (!host.ok()) return host.status();
  return Parts{.backend = backend,
               .why = std::string(why),
               .held_bytes_max = options.held_bytes_max,
               .nic = std::move(nic),
               .host = *std::move(host)};
}

NicBackend::NicBackend(Parts parts)
    : backend_(parts.backend),
      why_(std::move(parts.why)),
      held_bytes_max_(parts.held_bytes_max),
      nic_(std::move(parts.nic)),
      host_(std::move(parts.host)),
      rules_(nic_.get()) {}

void NicBackend::Started(SocketCore* core) {
  core_ = core;
  core->AddLane(host_->lane(), host_.get());
}

SessionInfo NicBackend::info() const {
  const NicPlan& plan = nic_->plan();
  return SessionInfo{.backend = backend_,
                     .why = why_,
                     .device = plan.device,
                     .nic = plan.driver,
                     .steering = "rules",
                     .steering_note = "",
                     .queue_count = plan.rx_queue_count,
                     .mtu_bytes = plan.mtu_bytes};
}

absl::Status NicBackend::CheckReached(const Region& region, const Attachment& attachment) const {
  // Memory that the processor cannot map counts as staged for a software NIC; a real one reaches
  // it.
  if (!attachment.staged() || !region.cpu_visible()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      region.Describe(), " can only be reached through host memory: ", attachment.stage_reason(),
      "; the ", ToString(backend_),
      " backend writes it directly or not at all. Use the backend stack or copy"));
}

}  // namespace devmem
