// SPDX-License-Identifier: Apache-2.0
//
// The backend `kernel`: a NIC of this machine whose queues receive into device memory, driven by
// the kernel's own TCP (Linux Documentation/networking/devmem.rst). Behind SocketSession; session's
// control thread.

#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/host_area.h"
#include "uapi/kernel_binding.h"
#include "uapi/kernel_calls.h"
#include "uapi/kernel_nic.h"
#include "uapi/kernel_stats.h"
#include "uapi/socket_backend.h"

namespace devmem {

class KernelBackend final : public SocketBackend {
 public:
  // `calls` outlives it. Errors: HostArea::Create().
  static absl::StatusOr<std::unique_ptr<KernelBackend>> Create(const SessionOptions& options,
                                                               absl::string_view why,
                                                               std::unique_ptr<KernelNic> nic,
                                                               KernelCalls* calls);
  ~KernelBackend() override;

  void Started(SocketCore* core) override;
  SessionInfo info() const override;
  std::string importer_name() const override { return nic_->plan().device; }
  // A NIC's page tables are written when it is bound, and the kernel does not take them back.
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

  absl::StatusOr<uint32_t> SendBinding(const Region& region) override;
  void CountSent(uint64_t bytes) override { stats_.sent_from_device.Add(bytes); }
  KernelCalls& calls() override { return *calls_; }
  void LookAfterRegions() override;

  const Region* host_region() const override { return &host_->region(); }
  Account host_account() const override { return host_->account(); }
  HostArea* host_area() override { return host_.get(); }
  void AppendStatistics(std::vector<Statistic>* statistics) const override;

 private:
  KernelBackend(const SessionOptions& options, absl::string_view why,
                std::unique_ptr<KernelNic> nic, KernelCalls* calls, std::unique_ptr<HostArea> host);

  absl::StatusOr<KernelBindingSetup> SetUp(const Binding& binding, const Region& region,
                                           int dmabuf) const;

  // A region that the NIC may read for SendBinding().
  struct SendRegion {
    std::unique_ptr<Attachment> attachment;
    std::unique_ptr<TxBinding> binding;
  };

  absl::StatusOr<SendRegion> BindForSending(const Region& region) const;

  const std::string why_;
  const uint64_t held_bytes_max_;  // 0: half of each binding.
  const std::unique_ptr<KernelNic> nic_;
  KernelCalls* const calls_;
  const std::unique_ptr<HostArea> host_;
  KernelStats stats_;
  SteeringBook rules_;
  std::map<BindingId, std::unique_ptr<RxBinding>> bound_;
  SocketCore* core_ = nullptr;
  std::mutex sending_mutex_;                // Guards what follows: connections send on any thread.
  std::map<uint32_t, SendRegion> sending_;  // By region id.
};

}  // namespace devmem
