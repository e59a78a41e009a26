// SPDX-License-Identifier: Apache-2.0
//
// The NIC of a session that receives with the kernel's devmem TCP or io_uring zero-copy receive:
// queues set apart, dma-bufs bound, flows steered. A thin layer over NicSetup, with a seam for
// tests. Session's control thread; rules may go on any thread.

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/nic/flow_rules.h"
#include "uapi/netlink/binding.h"
#include "uapi/netlink/nic_plan.h"
#include "uapi/socket_backend.h"

namespace devmem {

// What is asked of the NIC. NicSetup does it; errors are its own. Calls are made one at a time.
class KernelNic {
 public:
  virtual ~KernelNic() = default;

  virtual const NicPlan& plan() const = 0;
  // Makes the NIC ready and takes these queues out of RSS; again for further ones.
  virtual absl::Status SetApart(std::span<const uint32_t> queues) = 0;
  virtual absl::StatusOr<std::unique_ptr<RxBinding>> BindRx(int dmabuf,
                                                            std::span<const uint32_t> queues) = 0;
  virtual absl::StatusOr<std::unique_ptr<TxBinding>> BindTx(int dmabuf) = 0;
  // For a binding that went another way than BindRx(), which does this itself: the refusal, with
  // what became of the interface over it. See NicSetup::WithLinkState().
  virtual absl::Status WithLinkState(const absl::Status& refusal) = 0;
  virtual absl::StatusOr<uint32_t> AddRule(const FlowMatch& match, uint32_t queue) = 0;
  virtual absl::Status RemoveRule(uint32_t location) = 0;
};

// Looks at a device and plans; changes nothing. Errors: NicSetup::Open().
absl::StatusOr<std::unique_ptr<KernelNic>> OpenKernelNic(absl::string_view device);

// The rules of a session with their users: a listener, and each connection that it accepted. A rule
// that has users is found again, so that a listener may be opened anew while its old connections
// live. Outlives its rules.
class SteeringBook {
 public:
  explicit SteeringBook(KernelNic* nic) : nic_(nic) {}
  SteeringBook(const SteeringBook&) = delete;
  SteeringBook& operator=(const SteeringBook&) = delete;

  // The rule that is there for this flow and queue, or a new one. Errors: NicSetup::AddRule().
  absl::StatusOr<RuleHold> Steer(const FlowMatch& match, uint32_t queue);
  size_t size() const;

 private:
  class Rule;
  struct Entry {
    FlowMatch match;
    uint32_t queue = 0;
    std::weak_ptr<SteeringRule> rule;
  };

  void Remove(uint32_t location);

  KernelNic* const nic_;
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // Guarded by mutex_, as are the calls to nic_ about rules.
};

}  // namespace devmem
