// SPDX-License-Identifier: Apache-2.0
//
// The doctor's judgement: each thing that a machine can lack, in turn.

#include "tools/doctor/verdict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

namespace devmem {
namespace {

NicFacts Gvnic() {
  return {.name = "eth1",
          .ifindex = 3,
          .driver = "gve",
          .hardware = true,
          .up = true,
          .split = Switch::kOn,
          .ntuple = Switch::kOn,
          .rx_queues = 4,
          .rx_queues_max = 4,
          .rss_queues = {0, 1, 2}};
}

// A machine where everything works.
Machine Complete() {
  Machine machine;
  machine.kernel.release = "7.2.13";
  machine.permissions = {.net_admin = true, .bpf = true};
  machine.io_uring.zcrx = true;
  machine.netdev_commands = {1, 5, 9, 10, 11, 12, 13, 14, 15, 16};
  machine.memory = {{.name = "memfd", .usable = true},
                    {.name = "udmabuf", .usable = true, .exports_dmabuf = true}};
  machine.nics = {{.name = "lo"}, Gvnic()};
  return machine;
}

Verdict Of(const Machine& machine, const std::string& backend) {
  const std::vector<Verdict> verdicts = Judge(machine);
  return *std::find_if(verdicts.begin(), verdicts.end(),
                       [&](const Verdict& v) { return v.backend == backend; });
}

TEST(VerdictTest, OnACompleteMachineEveryBackendIsUsable) {
  const std::vector<Verdict> verdicts = Judge(Complete());
  ASSERT_EQ(verdicts.size(), 4u);
  for (const Verdict& verdict : verdicts) {
    EXPECT_TRUE(verdict.usable && verdict.missing.empty()) << verdict.backend;
  }
  EXPECT_EQ(verdicts[2].detail, "on eth1 (gve), queue 3");
}

struct Lack {
  std::string backend;
  std::function<void(Machine*)> take_away;
  std::string what;
  std::string fix;
};

TEST(VerdictTest, EachThingThatIsMissingIsNamedWithItsRemedy) {
  const std::vector<Lack> lacks = {
      {"stack", [](Machine* m) { m->tun_errno = ENOENT; }, "no /dev/net/tun", "modprobe tun"},
      {"stack", [](Machine* m) { m->tun_errno = EACCES; }, "Permission denied", "chmod 666"},
      {"stack", [](Machine* m) { m->permissions.net_admin = false; }, "no CAP_NET_ADMIN", "sudo"},
      {"kernel", [](Machine* m) { m->devmem_errno = ENOPROTOOPT; }, "sockets know no device memory",
       "Linux 6.12"},
      {"kernel",
       [](Machine* m) {
         m->netdev_commands = {1, 5};
       },
       "no bind-rx", "Linux 6.12"},
      {"kernel", [](Machine* m) { m->permissions.net_admin = false; }, "no CAP_NET_ADMIN", "sudo"},
      {"kernel", [](Machine* m) { m->memory.pop_back(); }, "no memory that is a dma-buf",
       "modprobe udmabuf"},
      {"kernel", [](Machine* m) { m->nics.pop_back(); }, "software alone", "tools/lab demo"},
      {"kernel", [](Machine* m) { m->nics[1].driver = "virtio_net"; },
       "the driver virtio_net cannot bind memory", "another NIC"},
      {"kernel", [](Machine* m) { m->nics[1].up = false; }, "eth1 is down",
       "ip link set dev eth1 up"},
      {"kernel", [](Machine* m) { m->nics[1].xdp = true; }, "XDP program",
       "ip link set dev eth1 xdp off"},
      {"kernel", [](Machine* m) { m->nics[1].rx_queues = m->nics[1].rx_queues_max = 1; },
       "one receive queue", "another NIC"},
      {"zcrx", [](Machine* m) { m->io_uring.setup_errno = ENOSYS; }, "no io_uring", "Linux 6.15"},
      {"zcrx",
       [](Machine* m) {
         m->io_uring.setup_errno = EPERM;
         m->io_uring.disabled = 2;
       },
       "kernel.io_uring_disabled=2", "sysctl kernel.io_uring_disabled=0"},
      {"zcrx", [](Machine* m) { m->io_uring.setup_errno = ENOMEM; }, "Cannot allocate memory",
       "ulimit -l"},
      {"zcrx", [](Machine* m) { m->io_uring.zcrx = false; }, "no zero-copy receive", "Linux 6.15"},
      {"zcrx", [](Machine* m) { m->permissions.initial_user_namespace = false; },
       "user namespace's", "outside of user namespaces"},
      {"zcrx", [](Machine* m) { m->nics.pop_back(); }, "software alone", "tools/lab demo"},
  };
  for (const Lack& lack : lacks) {
    Machine machine = Complete();
    lack.take_away(&machine);
    const Verdict verdict = Of(machine, lack.backend);
    EXPECT_FALSE(verdict.usable) << lack.what;
    ASSERT_EQ(verdict.missing.size(), 1u) << lack.what;
    EXPECT_NE(verdict.missing[0].what.find(lack.what), std::string::npos)
        << verdict.missing[0].what;
    EXPECT_NE(verdict.missing[0].fix.find(lack.fix), std::string::npos) << verdict.missing[0].fix;
    EXPECT_TRUE(Of(machine, "copy").usable);
  }
}

TEST(VerdictTest, TheConfigurationExplainsWhatIsMissing) {
  Machine machine = Complete();
  machine.devmem_errno = ENOPROTOOPT;
  machine.kernel.options = {{"NET_DEVMEM", "n"}};
  EXPECT_NE(Of(machine, "kernel").missing[0].what.find("(CONFIG_NET_DEVMEM is off)"),
            std::string::npos);
  // What the kernel was built without, no module brings.
  machine.memory.pop_back();
  machine.kernel.options["UDMABUF"] = "n";
  EXPECT_EQ(Of(machine, "kernel").missing[1].fix, "use a kernel with CONFIG_UDMABUF");
}

TEST(VerdictTest, WhatSetUpChangesIsNoObstacle) {
  Machine machine = Complete();
  NicFacts& nic = machine.nics[1];
  nic.split = Switch::kOff;
  nic.hds_threshold_bytes = 640;
  nic.ntuple = Switch::kOff;
  nic.rss_queues = {0, 1, 2, 3};
  EXPECT_EQ(Of(machine, "kernel").detail,
            "on eth1 (gve), queue 3; set-up makes: header split on, hds-thresh 0, ntuple on, RSS "
            "away from queue 3");
  nic.rx_queues = 1;
  nic.rss_queues = {0};
  EXPECT_EQ(NicChanges(nic)[0], "2 queues");
}

TEST(VerdictTest, WhatADeviceAnsweredCountsForMoreThanItsDriversName) {
  Machine machine = Complete();
  machine.nics[1].driver = "newnic";
  machine.nics[1].bind_errno = EBADF;
  EXPECT_TRUE(Of(machine, "kernel").usable);
  machine.nics[1].driver = "bnxt_en";
  machine.nics[1].bind_errno = EOPNOTSUPP;
  EXPECT_FALSE(Of(machine, "kernel").usable);
}

TEST(VerdictTest, OfSeveralNicsTheNearestExplains) {
  Machine machine = Complete();
  machine.nics[1].up = false;
  NicFacts virtio = Gvnic();
  virtio.name = "eth0";
  virtio.driver = "virtio_net";
  machine.nics.insert(machine.nics.begin(), virtio);
  const Verdict verdict = Of(machine, "kernel");
  ASSERT_EQ(verdict.missing.size(), 1u);
  EXPECT_EQ(verdict.missing[0].what, "eth1 is down");
}

TEST(VerdictTest, ZcrxRunsWithoutANicWhereTheKernelCanDoThat) {
  Machine machine = Complete();
  machine.nics.clear();
  machine.io_uring.features = ZcrxFeatures{.registration_flags = 3};
  const Verdict verdict = Of(machine, "zcrx");
  EXPECT_TRUE(verdict.usable);
  EXPECT_NE(verdict.detail.find("copies every byte"), std::string::npos) << verdict.detail;
  EXPECT_FALSE(Of(machine, "kernel").usable);
}

}  // namespace
}  // namespace devmem
