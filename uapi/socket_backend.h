// SPDX-License-Identifier: Apache-2.0
//
// What the backends over kernel sockets do differently when a binding begins and ends and when a
// flow is steered. Owned by the session's core; called on the session's thread.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/binding.h"
#include "netmem/nic/flow_rules.h"
#include "provider/attachment.h"
#include "uapi/devmem.h"
#include "uapi/kernel_calls.h"
#include "uapi/socket_queue.h"
#include "uapi/socket_stats.h"

namespace devmem {

// A rule of the NIC, which goes with its last user: a listener and each connection that it accepted
// are users of one.
class SteeringRule {
 public:
  virtual ~SteeringRule() = default;
};
using RuleHold = std::shared_ptr<SteeringRule>;  // Null: nothing was needed.

class HostArea;
class SocketCore;

class SocketBackend {
 public:
  virtual ~SocketBackend() = default;

  // The core that owns it exists; for AddLane().
  virtual void Started(SocketCore* /*core*/) {}

  // What Session::info() says.
  virtual SessionInfo info() const = 0;
  // How the importer is called in a region's policy, and what it can do when memory moves.
  virtual std::string importer_name() const = 0;
  virtual ImporterCaps importer_caps() const = 0;
  virtual uint32_t queue_count() const = 0;

  // The queues of a binding that the table has accepted, in the binding's order. Undoes what it did
  // when it fails. `attachment` and `stats` outlive the queues.
  virtual absl::StatusOr<std::vector<std::shared_ptr<SocketQueue>>> MakeQueues(
      const Binding& binding, const Region& region, Attachment& attachment, SocketStats* stats) = 0;
  // The binding's queues are closed. Returns when the NIC no longer uses the region.
  virtual void EndBinding(BindingId /*binding*/) {}

  // Sends a flow to a queue of a binding.
  virtual absl::StatusOr<RuleHold> Steer(const FlowMatch& /*match*/, uint32_t /*queue*/) {
    return RuleHold();
  }
  // Whether active opens must know their port before the SYN, for Steer().
  virtual bool steers() const { return false; }

  // The kernel's name for a region from which this NIC sends without a copy. kUnimplemented where
  // nothing of the kind is there: the bytes then go through host memory. Any thread.
  virtual absl::StatusOr<uint32_t> SendBinding(const Region& /*region*/) {
    return absl::UnimplementedError("this backend sends from host memory");
  }
  virtual void CountSent(uint64_t /*bytes*/) {}
  virtual KernelCalls& calls() { return KernelCalls::System(); }
  // An exporter has acted on a region that was attached for SendBinding().
  virtual void LookAfterRegions() {}

  // The region of frags that did not land in a bound one; nullptr where there are never any.
  virtual const Region* host_region() const { return nullptr; }
  virtual Account host_account() const { return Account{}; }
  // Where that region tells how it stands.
  virtual HostArea* host_area() { return nullptr; }
  virtual void AppendStatistics(std::vector<Statistic>* /*statistics*/) const {}
};

}  // namespace devmem
