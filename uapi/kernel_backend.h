// SPDX-License-Identifier: Apache-2.0
//
// The backend `kernel`: a NIC of this machine whose queues receive into device memory, driven by
// the kernel's own TCP (Linux Documentation/networking/devmem.rst). Behind SocketSession; session's
// control thread.

#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/kernel_binding.h"
#include "uapi/kernel_calls.h"
#include "uapi/kernel_nic.h"
#include "uapi/kernel_stats.h"
#include "uapi/nic_backend.h"

namespace devmem {

class KernelBackend final : public NicBackend {
 public:
  // `calls` outlives it. Errors: HostArea::Create().
  static absl::StatusOr<std::unique_ptr<KernelBackend>> Create(const SessionOptions& options,
                                                               absl::string_view why,
                                                               std::unique_ptr<KernelNic> nic,
                                                               KernelCalls* calls);
  ~KernelBackend() override;

  absl::StatusOr<std::vector<std::shared_ptr<SocketQueue>>> MakeQueues(const Binding& binding,
                                                                       const Region& region,
                                                                       Attachment& attachment,
                                                                       SocketStats* stats) override;
  void EndBinding(BindingId binding) override;

  absl::StatusOr<uint32_t> SendBinding(const Region& region) override;
  void CountSent(uint64_t bytes) override { stats_.sent_from_device.Add(bytes); }
  KernelCalls& calls() override { return *calls_; }
  void LookAfterRegions() override;

  void AppendStatistics(std::vector<Statistic>* statistics) const override;

 private:
  KernelBackend(Parts parts, KernelCalls* calls) : NicBackend(std::move(parts)), calls_(calls) {}

  absl::StatusOr<KernelBindingSetup> SetUp(const Binding& binding, const Region& region,
                                           int dmabuf) const;

  // A region that the NIC may read for SendBinding().
  struct SendRegion {
    std::unique_ptr<Attachment> attachment;
    std::unique_ptr<TxBinding> binding;
  };

  absl::StatusOr<SendRegion> BindForSending(const Region& region) const;

  KernelCalls* const calls_;
  KernelStats stats_;
  std::map<BindingId, std::unique_ptr<RxBinding>> bound_;
  std::mutex sending_mutex_;                // Guards what follows: connections send on any thread.
  std::map<uint32_t, SendRegion> sending_;  // By region id.
};

}  // namespace devmem
