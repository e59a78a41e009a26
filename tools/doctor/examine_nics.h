// SPDX-License-Identifier: Apache-2.0
//
// What there is to know about network devices: names, drivers and links from /sys, the rest from
// the kernel's netdev and ethtool families. Called by the doctor, on any thread.

#pragma once

#include <vector>

#include "tools/doctor/machine.h"
#include "tools/doctor/machine_files.h"
#include "uapi/netlink/ethtool_types.h"
#include "uapi/netlink/netdev_types.h"

namespace devmem {

// The devices of /sys/class/net in the order of their interface index, without what only netlink
// tells.
std::vector<NicFacts> ListNics(const MachineFiles& files);

// What one answer adds to a NIC's facts.
void AddRings(const RingsInfo& rings, NicFacts* nic);
void AddChannels(const ChannelsInfo& channels, NicFacts* nic);
void AddFeatures(const std::vector<FeatureState>& features, NicFacts* nic);
void AddRss(const RssTable& table, NicFacts* nic);
// Of all devices; those of others are passed over.
void AddQueues(const std::vector<NetdevQueue>& queues, NicFacts* nic);

// ListNics(), and what the running kernel adds to each: for this machine only. Also fills in which
// commands the netlink families know.
void ExamineNics(const MachineFiles& files, Machine* machine);

}  // namespace devmem
