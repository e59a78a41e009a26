// SPDX-License-Identifier: Apache-2.0
//
// What the backends `kernel` and `zcrx` have in common: a NIC of this machine that the kernel
// drives, with rules that steer flows to its queues, and the host region for what landed in no
// bound one. Behind SocketSession; session's control thread.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "provider/attachment.h"
#include "provider/region.h"
#include "uapi/host_area.h"
#include "uapi/kernel_nic.h"
#include "uapi/socket_backend.h"

namespace devmem {

class NicBackend : public SocketBackend {
 public:
  void Started(SocketCore* core) override;
  SessionInfo info() const override;
  std::string importer_name() const override { return nic_->plan().device; }
  // A NIC's page tables are written, or pages are pinned, when memory is bound, and the kernel
  // gives neither back before the end.
  ImporterCaps importer_caps() const override { return ImporterCaps::kNeither; }
  uint32_t queue_count() const override { return nic_->plan().rx_queue_count; }

  absl::StatusOr<RuleHold> Steer(const FlowMatch& match, uint32_t queue) override {
    return rules_.Steer(match, queue);
  }
  bool steers() const override { return true; }

  const Region* host_region() const override { return &host_->region(); }
  Account host_account() const override { return host_->account(); }
  HostArea* host_area() override { return host_.get(); }

 protected:
  // What each is made of.
  struct Parts {
    Backend backend = Backend::kKernel;
    std::string why;
    uint64_t held_bytes_max = 0;  // As SessionOptions has it.
    std::unique_ptr<KernelNic> nic;
    std::unique_ptr<HostArea> host;
  };
  // Errors: HostArea::Create().
  static absl::StatusOr<Parts> MakeParts(Backend backend, const SessionOptions& options,
                                         absl::string_view why, std::unique_ptr<KernelNic> nic);
  explicit NicBackend(Parts parts);

  // kFailedPrecondition for memory that a NIC could only be given by way of host memory.
  absl::Status CheckReached(const Region& region, const Attachment& attachment) const;

  KernelNic& nic() const { return *nic_; }
  HostArea& host() const { return *host_; }
  size_t rule_count() const { return rules_.size(); }
  uint64_t held_bytes_max() const { return held_bytes_max_; }
  SocketCore* core() const { return core_; }

 private:
  const Backend backend_;
  const std::string why_;
  const uint64_t held_bytes_max_;
  const std::unique_ptr<KernelNic> nic_;
  const std::unique_ptr<HostArea> host_;
  SteeringBook rules_;
  SocketCore* core_ = nullptr;
};

}  // namespace devmem
