// SPDX-License-Identifier: Apache-2.0
//
// See verdict.h. Which drivers carry device memory, and what they insist on, is the state of Linux
// 7.2; a driver that is not listed is judged by what it answers.

#include "tools/doctor/verdict.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/abi/io_uring_zcrx.h"
#include "uapi/abi/netdev.h"

namespace devmem {
namespace {

constexpr std::array<absl::string_view, 4> kDrivers = {"bnxt_en", "fbnic", "gve", "mlx5_core"};
constexpr char kDriverWords[] = "bnxt_en, fbnic, gve or mlx5_core";
constexpr char kOtherNic[] = "use another NIC; `tools/lab demo` brings a virtual one";

bool Contains(const std::vector<uint32_t>& numbers, uint32_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool IsKnownDriver(absl::string_view driver) {
  return std::find(kDrivers.begin(), kDrivers.end(), driver) != kDrivers.end();
}

// Loads a module, unless the kernel was built without it.
std::string Modprobe(const Machine& machine, absl::string_view module, absl::string_view option) {
  const auto said = machine.kernel.options.find(std::string(option));
  return said != machine.kernel.options.end() && said->second == "n"
             ? absl::StrCat("use a kernel with CONFIG_", option)
             : absl::StrCat("modprobe ", module);
}

// " (CONFIG_X is off)" where the configuration says so.
std::string Because(const Machine& machine, absl::string_view option) {
  const std::string said = machine.kernel.Option(option);
  return said.empty() ? "" : absl::StrCat(" (", said, ")");
}

Verdict JudgeStack(const Machine& machine) {
  Verdict verdict{.backend = "stack", .detail = "over a TAP device of its own"};
  if (machine.tun_errno == ENOENT || machine.tun_errno == ENODEV || machine.tun_errno == ENXIO) {
    verdict.missing.push_back({absl::StrCat("no /dev/net/tun", Because(machine, "TUN")),
                               Modprobe(machine, "tun", "TUN")});
  } else if (machine.tun_errno != 0) {
    verdict.missing.push_back(
        {absl::StrCat("/dev/net/tun cannot be opened: ", std::strerror(machine.tun_errno)),
         "chmod 666 /dev/net/tun, or run as root"});
  }
  if (!machine.permissions.net_admin) {
    verdict.missing.push_back({"no CAP_NET_ADMIN to make a TAP", "sudo, or unshare -Urn"});
  }
  return verdict;
}

void AddDevmemObstacles(const Machine& machine, std::vector<Missing>* missing) {
  if (machine.devmem_errno != 0) {
    missing->push_back({absl::StrCat("this kernel's sockets know no device memory",
                                     Because(machine, "NET_DEVMEM")),
                        "use Linux 6.12 or later with CONFIG_NET_DEVMEM"});
  }
  if (!Contains(machine.netdev_commands, abi::NETDEV_CMD_BIND_RX)) {
    missing->push_back({"the netdev family has no bind-rx", "use Linux 6.12 or later"});
  }
  if (!machine.permissions.net_admin) {
    missing->push_back({"no CAP_NET_ADMIN", "sudo"});
  }
  const bool memory = std::any_of(machine.memory.begin(), machine.memory.end(),
                                  [](const auto& m) { return m.usable && m.exports_dmabuf; });
  if (!memory) {
    missing->push_back({absl::StrCat("no memory that is a dma-buf: no udmabuf",
                                     Because(machine, "UDMABUF"), ", no dma-heap, no GPU"),
                        Modprobe(machine, "udmabuf", "UDMABUF")});
  }
}

void AddZcrxObstacles(const Machine& machine, std::vector<Missing>* missing) {
  const IoUringFacts& ring = machine.io_uring;
  if (ring.setup_errno == ENOSYS) {
    missing->push_back({absl::StrCat("this kernel has no io_uring", Because(machine, "IO_URING")),
                        "use Linux 6.15 or later with CONFIG_IO_URING_ZCRX"});
  } else if (ring.disabled.value_or(0) == 2 || ring.setup_errno == EPERM) {
    missing->push_back({absl::StrCat("io_uring is switched off here (kernel.io_uring_disabled=",
                                     ring.disabled.value_or(0), ")"),
                        "sysctl kernel.io_uring_disabled=0"});
  } else if (ring.setup_errno != 0) {
    missing->push_back(
        {absl::StrCat("an io_uring cannot be made: ", std::strerror(ring.setup_errno)),
         "ulimit -l unlimited"});
  } else if (!ring.zcrx) {
    missing->push_back({absl::StrCat("this kernel's io_uring has no zero-copy receive",
                                     Because(machine, "IO_URING_ZCRX")),
                        "use Linux 6.15 or later with CONFIG_IO_URING_ZCRX"});
  }
  if (!machine.permissions.net_admin || !machine.permissions.initial_user_namespace) {
    missing->push_back({machine.permissions.net_admin
                            ? "CAP_NET_ADMIN is a user namespace's, the initial one's is needed"
                            : "no CAP_NET_ADMIN",
                        "sudo, outside of user namespaces"});
  }
}

// The first NIC that can be bound, or what is in the way of the one that comes nearest.
const NicFacts* ChooseNic(const Machine& machine, std::vector<Missing>* missing) {
  const NicFacts* nearest = nullptr;
  std::vector<Missing> in_the_way;
  for (const NicFacts& nic : machine.nics) {
    if (!nic.hardware) continue;
    const std::vector<Missing> obstacles = NicObstacles(nic);
    if (obstacles.empty()) return &nic;
    // A driver that can, and is in the wrong state, is nearer than one that cannot.
    const bool nearer =
        nearest == nullptr || (IsKnownDriver(nic.driver) && !IsKnownDriver(nearest->driver));
    if (!nearer) continue;
    nearest = &nic;
    in_the_way = obstacles;
  }
  if (nearest == nullptr) {
    missing->push_back({"no NIC: every network device here is software alone",
                        absl::StrCat("use one with the driver ", kDriverWords,
                                     "; `tools/lab demo` brings a virtual one")});
  }
  missing->insert(missing->end(), in_the_way.begin(), in_the_way.end());
  return nullptr;
}

std::string OnNic(const NicFacts& nic) {
  const std::vector<std::string> changes = NicChanges(nic);
  const uint32_t top = std::max(nic.rx_queues, 2u) - 1;
  return absl::StrCat("on ", nic.name, " (", nic.driver, "), queue ", top,
                      changes.empty() ? "" : "; set-up makes: ", absl::StrJoin(changes, ", "));
}

Verdict JudgeKernel(const Machine& machine) {
  Verdict verdict{.backend = "kernel"};
  AddDevmemObstacles(machine, &verdict.missing);
  const NicFacts* const nic = ChooseNic(machine, &verdict.missing);
  if (nic != nullptr) verdict.detail = OnNic(*nic);
  return verdict;
}

Verdict JudgeZcrx(const Machine& machine) {
  Verdict verdict{.backend = "zcrx"};
  AddZcrxObstacles(machine, &verdict.missing);
  std::vector<Missing> of_nics;
  const NicFacts* const nic = ChooseNic(machine, &of_nics);
  const bool without_nic =
      machine.io_uring.features.has_value() &&
      (machine.io_uring.features->registration_flags & abi::ZCRX_REG_NODEV) != 0;
  if (nic != nullptr) {
    verdict.detail = OnNic(*nic);
  } else if (without_nic) {
    verdict.detail = absl::StrCat("without a NIC, which copies every byte: ", of_nics[0].what);
  } else {
    verdict.missing.insert(verdict.missing.end(), of_nics.begin(), of_nics.end());
  }
  return verdict;
}

}  // namespace

std::vector<Missing> NicObstacles(const NicFacts& nic) {
  std::vector<Missing> missing;
  const bool asked = nic.bind_errno != 0;
  if (asked ? nic.bind_errno == EOPNOTSUPP : !IsKnownDriver(nic.driver)) {
    missing.push_back({absl::StrCat(nic.name, ": the driver ", nic.driver,
                                    " cannot bind memory to queues; ", kDriverWords, " can"),
                       kOtherNic});
    return missing;
  }
  if (!nic.up) {
    missing.push_back(
        {absl::StrCat(nic.name, " is down"), absl::StrCat("ip link set dev ", nic.name, " up")});
  }
  if (nic.xdp) {
    missing.push_back({absl::StrCat(nic.name, " has an XDP program attached"),
                       absl::StrCat("ip link set dev ", nic.name, " xdp off")});
  }
  if (std::max(nic.rx_queues, nic.rx_queues_max) < 2) {
    missing.push_back(
        {absl::StrCat(nic.name, " has one receive queue, two are the least"), kOtherNic});
  }
  return missing;
}

std::vector<std::string> NicChanges(const NicFacts& nic) {
  std::vector<std::string> changes;
  const uint32_t queues = std::max(nic.rx_queues, 2u);
  if (nic.rx_queues < 2) changes.emplace_back("2 queues");
  if (nic.split != Switch::kOn) changes.emplace_back("header split on");
  if (nic.hds_threshold_bytes.value_or(0) != 0) changes.emplace_back("hds-thresh 0");
  if (nic.ntuple != Switch::kOn) changes.emplace_back("ntuple on");
  if (Contains(nic.rss_queues, queues - 1)) {
    changes.push_back(absl::StrCat("RSS away from queue ", queues - 1));
  }
  return changes;
}

std::vector<Verdict> Judge(const Machine& machine) {
  std::vector<Verdict> verdicts;
  verdicts.push_back(JudgeStack(machine));
  verdicts.push_back(
      {.backend = "copy", .detail = "the kernel's TCP and one copy; works anywhere"});
  verdicts.push_back(JudgeKernel(machine));
  verdicts.push_back(JudgeZcrx(machine));
  for (Verdict& verdict : verdicts) verdict.usable = verdict.missing.empty();
  return verdicts;
}

}  // namespace devmem
