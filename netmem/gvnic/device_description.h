// SPDX-License-Identifier: Apache-2.0
//
// What DESCRIBE_DEVICE answers: the fixed part and the options, by which a driver learns of every
// feature. Asked by the admin commands. Linux, drivers/net/ethernet/google/gve/gve_adminq.h, struct
// gve_device_descriptor.

#pragma once

#include <cstdint>
#include <vector>

#include "netmem/gvnic/device_options.h"

namespace devmem {

// The whole answer, in the guest's byte order.
std::vector<uint8_t> DescribeDevice(const GvnicOptions& options);

}  // namespace devmem
