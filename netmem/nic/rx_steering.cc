// SPDX-License-Identifier: Apache-2.0
//
// The cold half of steering: taking over changed rules. The hot half is inline in the header.

#include "netmem/nic/rx_steering.h"

namespace devmem {

void RxSteering::Reload() {
  // Read before the snapshot: rules that change in between are taken over at the next poll again.
  generation_ = rules_->generation();
  matcher_ = rules_->Snapshot();
}

}  // namespace devmem
