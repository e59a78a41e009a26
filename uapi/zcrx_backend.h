// SPDX-License-Identifier: Apache-2.0
//
// The backend `zcrx`: a NIC of this machine whose queues io_uring receives from, each into a part
// of a region, by a ring of its own (Linux Documentation/networking/iou-zcrx.rst). Behind
// SocketSession, on the session's one thread, to which the rings belong.

#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "uapi/kernel_nic.h"
#include "uapi/nic_backend.h"
#include "uapi/zcrx_memory.h"
#include "uapi/zcrx_queue.h"
#include "uapi/zcrx_system.h"

namespace devmem {

class ZcrxBackend final : public NicBackend {
 public:
  // `system` outlives it. Errors: HostArea::Create().
  static absl::StatusOr<std::unique_ptr<ZcrxBackend>> Create(const SessionOptions& options,
                                                             absl::string_view why,
                                                             std::unique_ptr<KernelNic> nic,
                                                             ZcrxSystem* system);

  absl::StatusOr<std::vector<std::shared_ptr<SocketQueue>>> MakeQueues(const Binding& binding,
                                                                       const Region& region,
                                                                       Attachment& attachment,
                                                                       SocketStats* stats) override;
  void EndBinding(BindingId binding) override;

  void AppendStatistics(std::vector<Statistic>* statistics) const override;

 private:
  ZcrxBackend(Parts parts, ZcrxSystem* system) : NicBackend(std::move(parts)), system_(system) {}

  // What a bound queue needs besides its SocketQueue.
  struct Bound {
    uint32_t queue = 0;
    ZcrxMemory memory;
  };

  absl::StatusOr<std::shared_ptr<SocketQueue>> MakeQueue(const MemoryProvider& part, uint32_t index,
                                                         const Region& region,
                                                         const ZcrxMemory& memory,
                                                         SocketStats* stats);

  ZcrxSystem* const system_;
  ZcrxStats stats_;
  std::map<BindingId, std::vector<Bound>> bound_;
};

}  // namespace devmem
