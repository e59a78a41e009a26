// SPDX-License-Identifier: Apache-2.0
// Topology over machines that nobody has: every distance, both ways, and what may go between them.
// The machines are in selftests/topologies.
#include "provider/topology.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace devmem {
namespace {

Topology Load(const std::string& name) {
  absl::StatusOr<Topology> topology = Topology::FromXml("selftests/topologies/" + name);
  EXPECT_TRUE(topology.ok()) << topology.status();
  return topology.ok() ? *std::move(topology) : *Topology::FromSynthetic("numa:1 pu:1");
}

const TopologyDevice& Device(const Topology& topology, const std::string& name) {
  const TopologyDevice* device = topology.FindNic(name);
  if (device == nullptr) device = topology.FindMemory(name);
  EXPECT_NE(device, nullptr) << name;
  return device == nullptr ? topology.memories().back() : *device;
}

// The word in the matrix; "-" where there is no distance.
std::string Word(const Topology& topology, const std::string& a, const std::string& b) {
  const auto answer = topology.Distance(Device(topology, a), Device(topology, b));
  return answer.distance.has_value() ? std::string(ToString(*answer.distance)) : "-";
}

std::vector<std::string> Names(std::span<const TopologyDevice> devices) {
  std::vector<std::string> names;
  for (const TopologyDevice& device : devices) names.push_back(device.name);
  return names;
}

PeerToPeerAnswer Peers(const Topology& topology, const std::string& a, const std::string& b) {
  return topology.FindPeerToPeer(Device(topology, a), Device(topology, b));
}

TEST(TopologyTest, NicsAndMemoryAreListedInTheOrderOfPciAndSoftwareLast) {
  const Topology topology = Load("two_sockets.xml");
  EXPECT_EQ(Names(topology.nics()), (std::vector<std::string>{"eth0", "eth1", "eth2", "dm0"}));
  EXPECT_EQ(Names(topology.memories()),
            (std::vector<std::string>{"cuda0", "cuda1", "cuda2", "card1", "cuda3", "cuda4",
                                      "0000:83:00.0", "opencl0d0", "node0", "node1"}));
}

TEST(TopologyTest, ADeviceHasAllThatTheMachineSaysAboutIt) {
  const Topology topology = Load("two_sockets.xml");
  const TopologyDevice& gpu = Device(topology, "cuda0");
  EXPECT_EQ(gpu.kind, TopologyKind::kGpu);
  EXPECT_EQ(gpu.aliases, (std::vector<std::string>{"card0", "renderD128", "0000:03:00.0"}));
  EXPECT_EQ(gpu.pci_address(), "0000:03:00.0");
  EXPECT_EQ(gpu.model, "Example GPU");
  EXPECT_EQ(gpu.numa_node, 0u);
  EXPECT_NEAR(gpu.link_gigabytes_per_second, 15.75, 0.01);

  const TopologyDevice& nic = Device(topology, "eth2");
  EXPECT_EQ(nic.kind, TopologyKind::kNic);
  EXPECT_EQ(nic.pci_address(), "0000:82:00.0");
  EXPECT_EQ(nic.model, "15b3:101d");
  EXPECT_EQ(nic.numa_node, 1u);
  EXPECT_NEAR(nic.link_gigabytes_per_second, 31.508, 0.01);

  const TopologyDevice& accelerator = Device(topology, "0000:83:00.0");
  EXPECT_EQ(accelerator.kind, TopologyKind::kCoprocessor);
  const TopologyDevice& host = Device(topology, "node1");
  EXPECT_EQ(host.kind, TopologyKind::kHostMemory);
  EXPECT_EQ(host.host_bytes, uint64_t{256} << 30);
}

TEST(TopologyTest, ADeviceIsFoundByEachOfItsNamesAndByNoOther) {
  const Topology topology = Load("two_sockets.xml");
  for (const char* const name : {"cuda0", "card0", "renderD128", "0000:03:00.0"}) {
    EXPECT_EQ(topology.FindMemory(name), &Device(topology, "cuda0")) << name;
  }
  EXPECT_EQ(topology.FindNic("0000:04:00.1"), &Device(topology, "eth1"));
  EXPECT_EQ(topology.FindNic("cuda0"), nullptr);
  EXPECT_EQ(topology.FindMemory("eth0"), nullptr);
  EXPECT_EQ(topology.FindMemory(""), nullptr);
}

TEST(TopologyTest, EveryWordOfTheMatrixMeansWhatNvidiaSmiMeans) {
  const Topology topology = Load("two_sockets.xml");
  const std::map<std::pair<std::string, std::string>, std::string> expected = {
      {{"eth0", "eth0"}, "X"},      // Itself.
      {{"eth0", "eth1"}, "PIX"},    // Two functions of one card.
      {{"eth0", "cuda0"}, "PIX"},   // Two ports of one switch.
      {{"eth0", "cuda1"}, "PXB"},   // A switch behind the switch.
      {{"cuda0", "cuda1"}, "PXB"},  //
      {{"eth0", "cuda2"}, "PHB"},   // Another root port of the same host bridge.
      {{"cuda1", "card1"}, "PHB"},  //
      {{"eth0", "cuda3"}, "NODE"},  // Another host bridge of the same socket.
      {{"eth0", "cuda4"}, "SYS"},   // The other socket.
      {{"eth2", "cuda4"}, "PHB"},   //
      {{"eth2", "cuda0"}, "SYS"},   //
      {{"eth2", "0000:83:00.0"}, "PHB"},
      {{"eth0", "node0"}, "PHB"},    // The way ends behind the host bridge.
      {{"eth0", "node1"}, "SYS"},    //
      {{"node0", "node0"}, "X"},     //
      {{"node0", "node1"}, "SYS"},   //
      {{"dm0", "cuda0"}, "-"},       // Software is nowhere.
      {{"dm0", "node0"}, "-"},       //
      {{"eth0", "opencl0d0"}, "-"},  // No PCI device.
      {{"dm0", "dm0"}, "X"},
  };
  for (const auto& [pair, word] : expected) {
    EXPECT_EQ(Word(topology, pair.first, pair.second), word) << pair.first << " " << pair.second;
  }
}

TEST(TopologyTest, DistanceAndPeerToPeerAreTheSameBothWays) {
  for (const char* const file :
       {"two_sockets.xml", "one_socket_two_nodes.xml", "silent_firmware.xml"}) {
    const Topology topology = Load(file);
    std::vector<const TopologyDevice*> devices;
    for (const TopologyDevice& device : topology.nics()) devices.push_back(&device);
    for (const TopologyDevice& device : topology.memories()) devices.push_back(&device);
    for (const TopologyDevice* const a : devices) {
      for (const TopologyDevice* const b : devices) {
        const std::string which = std::string(file) + ": " + a->name + " " + b->name;
        EXPECT_EQ(topology.Distance(*a, *b).distance, topology.Distance(*b, *a).distance) << which;
        EXPECT_EQ(topology.Distance(*a, *b).distance == PciDistance::kSelf, a == b) << which;
        EXPECT_EQ(topology.FindPeerToPeer(*a, *b).verdict, topology.FindPeerToPeer(*b, *a).verdict)
            << which;
      }
    }
  }
}

TEST(TopologyTest, NoDistanceComesWithTheReason) {
  const Topology topology = Load("two_sockets.xml");
  EXPECT_EQ(topology.Distance(Device(topology, "dm0"), Device(topology, "cuda0")).why,
            "dm0 is no PCI device: it has no distance");
  EXPECT_EQ(topology.Distance(Device(topology, "eth0"), Device(topology, "opencl0d0")).why,
            "opencl0d0 is no PCI device: it has no distance");
}

TEST(TopologyTest, PeersTalkBehindASwitchAndNotBetweenSockets) {
  const Topology topology = Load("two_sockets.xml");
  EXPECT_EQ(Peers(topology, "eth0", "cuda0").verdict, PeerToPeer::kYes);
  EXPECT_EQ(Peers(topology, "eth0", "cuda1").verdict, PeerToPeer::kYes);
  EXPECT_EQ(Peers(topology, "eth0", "cuda4").verdict, PeerToPeer::kNo);
  EXPECT_EQ(Peers(topology, "eth0", "node1").verdict, PeerToPeer::kYes);
  const PeerToPeerAnswer none = Peers(topology, "dm0", "cuda0");
  EXPECT_EQ(none.verdict, PeerToPeer::kNo);
  EXPECT_EQ(none.reason, "dm0 is no PCI device: it has no distance");
}

TEST(TopologyTest, ThroughAHostBridgePeersTalkOnlyWhereLinuxVouchesForIt) {
  const Topology topology = Load("two_sockets.xml");
  // The first device of root bus 00 is 8086:2020, which Linux lists; of bus 20 it is a root port
  // that is listed, too.
  EXPECT_EQ(Peers(topology, "eth0", "cuda2").verdict, PeerToPeer::kYes);
  EXPECT_EQ(Peers(topology, "eth0", "cuda3").verdict, PeerToPeer::kYes);
  // 8086:3c00 forwards inside of one host bridge only.
  const Topology silent = Load("silent_firmware.xml");
  EXPECT_EQ(Peers(silent, "eth0", "cuda0").verdict, PeerToPeer::kYes);
}

TEST(TopologyTest, NumaNodesOfOneSocketAreFarButNoOtherSocket) {
  const Topology topology = Load("one_socket_two_nodes.xml");
  EXPECT_EQ(Word(topology, "eth0", "rsmi0"), "PHB");
  EXPECT_EQ(Word(topology, "eth0", "rsmi1"), "SYS");
  EXPECT_EQ(Device(topology, "rsmi1").numa_node, 1u);
  EXPECT_EQ(Peers(topology, "eth0", "rsmi0").verdict, PeerToPeer::kYes);
  const PeerToPeerAnswer across = Peers(topology, "eth0", "rsmi1");
  EXPECT_EQ(across.verdict, PeerToPeer::kYes) << across.reason;
  EXPECT_NE(across.reason.find("AMD family 25"), std::string::npos) << across.reason;
}

TEST(TopologyTest, WhereFirmwareIsSilentTheFarEndIsAssumed) {
  const Topology topology = Load("silent_firmware.xml");
  EXPECT_EQ(Word(topology, "eth0", "cuda0"), "PHB");
  EXPECT_EQ(Word(topology, "eth0", "cuda1"), "SYS");
  EXPECT_EQ(Device(topology, "cuda0").numa_node, std::nullopt);
  const auto answer = topology.Distance(Device(topology, "eth0"), Device(topology, "node0"));
  EXPECT_EQ(answer.distance, std::nullopt);
  EXPECT_EQ(answer.why, "nobody knows the NUMA node of eth0");
}

TEST(TopologyTest, ASyntheticMachineHasMemoryAndNoDevices) {
  const absl::StatusOr<Topology> topology =
      Topology::FromSynthetic("package:2 [numa(memory=64GiB)] core:2 pu:1");
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_TRUE(topology->nics().empty());
  EXPECT_EQ(Names(topology->memories()), (std::vector<std::string>{"node0", "node1"}));
  EXPECT_EQ(Word(*topology, "node0", "node1"), "SYS");
  EXPECT_EQ(Word(*topology, "node1", "node1"), "X");
  EXPECT_EQ(Device(*topology, "node0").host_bytes, uint64_t{64} << 30);
  EXPECT_EQ(topology->machine().numa_node_count, 2u);
  EXPECT_FALSE(topology->is_this_machine());
}

TEST(TopologyTest, WhatIsNoTopologyIsRefusedByName) {
  const auto missing = Topology::FromXml("selftests/topologies/missing.xml");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound) << missing.status();
  EXPECT_NE(missing.status().message().find("missing.xml"), absl::string_view::npos);
  const auto no_xml = Topology::FromXml("CMakeLists.txt");
  EXPECT_EQ(no_xml.status().code(), absl::StatusCode::kInvalidArgument) << no_xml.status();
  const auto no_text = Topology::FromXmlText("<topology");
  EXPECT_EQ(no_text.status().code(), absl::StatusCode::kInvalidArgument) << no_text.status();
  const auto empty = Topology::FromXmlText("");
  EXPECT_EQ(empty.status().code(), absl::StatusCode::kInvalidArgument) << empty.status();
  const auto synthetic = Topology::FromSynthetic("two sockets please");
  EXPECT_EQ(synthetic.status().code(), absl::StatusCode::kInvalidArgument) << synthetic.status();
  EXPECT_NE(synthetic.status().message().find("two sockets please"), absl::string_view::npos);
}

TEST(TopologyTest, ThisMachineHasMemoryAndTheLoopbackDevice) {
  const absl::StatusOr<Topology> topology = Topology::Create();
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_TRUE(topology->is_this_machine());
  ASSERT_FALSE(topology->memories().empty());
  EXPECT_EQ(topology->memories().back().kind, TopologyKind::kHostMemory);
  EXPECT_GT(topology->memories().back().host_bytes, 0u);
  const TopologyDevice* const loopback = topology->FindNic("lo");
  ASSERT_NE(loopback, nullptr);
  EXPECT_FALSE(loopback->pci.has_value());
  std::set<std::string> names;
  for (const TopologyDevice& nic : topology->nics()) EXPECT_TRUE(names.insert(nic.name).second);
}

}  // namespace
}  // namespace devmem
