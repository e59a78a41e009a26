// SPDX-License-Identifier: Apache-2.0
//
// The kernel's instances, and netlink's word about a queue.

#include "uapi/zcrx_system.h"

#include <poll.h>

#include "absl/strings/str_cat.h"
#include "uapi/limits.h"
#include "uapi/netlink/netdev_client.h"

namespace devmem {
namespace {

// A ring is taken down by the kernel's own threads, so there is nothing to wait on but to ask
// again.
constexpr uint32_t kAskAgainMilliseconds = 5;

class KernelZcrx final : public ZcrxSystem {
 public:
  absl::StatusOr<std::unique_ptr<ZcrxPort>> Open(const ZcrxOptions& options,
                                                 const ZcrxArea& area) override {
    return ZcrxInstance::Create(options, area, QueryZcrx());
  }

  absl::Status AwaitFree(uint32_t ifindex, uint32_t queue) override {
    absl::StatusOr<std::unique_ptr<NetdevClient>> client = NetdevClient::Open();
    if (!client.ok()) return client.status();
    for (uint32_t waited = 0; waited < kZcrxUnbindMilliseconds; waited += kAskAgainMilliseconds) {
      const absl::StatusOr<NetdevQueue> found = (*client)->Queue(ifindex, QueueType::kRx, queue);
      // A device that is down or gone has no queues, and so none that is bound.
      if (!found.ok() || !found->io_uring) return absl::OkStatus();
      (void)::poll(nullptr, 0, static_cast<int>(kAskAgainMilliseconds));
    }
    return absl::DeadlineExceededError(
        absl::StrCat("rx queue ", queue, " still belongs to a closed io_uring after ",
                     kZcrxUnbindMilliseconds, " ms; `devmemctl queue show` tells when it is free"));
  }
};

}  // namespace

ZcrxSystem& ZcrxSystem::OfThisMachine() {
  static KernelZcrx system;
  return system;
}

}  // namespace devmem
