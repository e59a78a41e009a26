// SPDX-License-Identifier: Apache-2.0
//
// See doctor_report.h: the screen for people.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/devmemctl_output.h"
#include "tools/doctor/doctor_report.h"
#include "tools/doctor/limits.h"
#include "uapi/abi/ethtool_netlink.h"
#include "uapi/abi/netdev.h"

namespace devmem {
namespace {

constexpr size_t kIndent = 10;  // Where the text stands behind the words at the left.

bool Contains(const std::vector<uint32_t>& numbers, uint32_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// `text` behind `title`, broken between words where the screen ends.
std::string Paragraph(absl::string_view title, absl::string_view text, size_t indent = kIndent) {
  std::string lines;
  std::string line(title);
  line.resize(std::max(line.size() + 1, indent), ' ');
  bool empty = true;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!empty && line.size() + 1 + word.size() > kReportColumns) {
      absl::StrAppend(&lines, line, "\n");
      line.assign(indent, ' ');
      empty = true;
    }
    absl::StrAppend(&line, empty ? "" : " ", word);
    empty = false;
  }
  return absl::StrCat(lines, line, "\n");
}

std::string WithOption(const Machine& machine, absl::string_view answer, absl::string_view option) {
  const std::string said = machine.kernel.Option(option);
  return said.empty() ? std::string(answer) : absl::StrCat(answer, " (", said, ")");
}

std::string KernelText(const Machine& machine) {
  const KernelFacts& kernel = machine.kernel;
  std::string text = Paragraph(
      "kernel", absl::StrCat("Linux ", kernel.release,
                             kernel.config_source.empty()
                                 ? "; its options cannot be read, so it was asked"
                                 : absl::StrCat("; options from ", kernel.config_source)));
  const auto& netdev = machine.netdev_commands;
  const std::string sockets =
      WithOption(machine, machine.devmem_errno == 0 ? "yes" : "no", "NET_DEVMEM");
  const auto knows = [&](uint32_t command) { return Contains(netdev, command) ? "yes" : "no"; };
  absl::StrAppend(&text,
                  Paragraph("", absl::StrCat("device memory in sockets ", sockets, "; bind-rx ",
                                             knows(abi::NETDEV_CMD_BIND_RX), ", bind-tx ",
                                             knows(abi::NETDEV_CMD_BIND_TX), ", queue leases ",
                                             knows(abi::NETDEV_CMD_QUEUE_CREATE))));
  absl::StrAppend(
      &text,
      Paragraph(
          "",
          absl::StrCat(
              "page pools ", knows(abi::NETDEV_CMD_PAGE_POOL_GET), ", their statistics ",
              WithOption(machine, knows(abi::NETDEV_CMD_PAGE_POOL_STATS_GET), "PAGE_POOL_STATS"),
              "; RSS by netlink ",
              Contains(machine.ethtool_commands, abi::ETHTOOL_MSG_RSS_SET) ? "yes"
                                                                           : "no, by ioctl")));
  return text;
}

std::string IoUringText(const Machine& machine) {
  const IoUringFacts& ring = machine.io_uring;
  if (ring.setup_errno != 0) {
    return Paragraph("io_uring",
                     absl::StrCat("no: ", std::strerror(ring.setup_errno),
                                  ring.disabled.value_or(0) != 0
                                      ? absl::StrCat("; kernel.io_uring_disabled=", *ring.disabled)
                                      : ""));
  }
  return Paragraph(
      "io_uring", absl::StrCat("yes; zero-copy receive ",
                               WithOption(machine, ring.zcrx ? "yes" : "no", "IO_URING_ZCRX"), ", ",
                               ring.features.has_value() ? ToString(*ring.features)
                                                         : "its features cannot be asked for"));
}

// What is there by name, then each that is not with the first clause of the reason.
std::string MemoryText(const Machine& machine) {
  std::vector<std::string> usable;
  std::vector<std::string> missing;
  for (const MemoryFacts& memory : machine.memory) {
    if (memory.usable) {
      usable.push_back(absl::StrCat(memory.name, memory.exports_dmabuf ? " (dma-buf)" : ""));
    } else {
      missing.push_back(memory.name);
    }
  }
  std::string text = Paragraph("memory", usable.empty() ? "none" : absl::StrJoin(usable, ", "));
  if (!missing.empty()) {
    absl::StrAppend(&text, Paragraph("", absl::StrCat("not here: ", absl::StrJoin(missing, ", "),
                                                      "; `devmemctl provider probe` says why")));
  }
  return text;
}

std::string ToText(Switch state) {
  switch (state) {
    case Switch::kAbsent: return "-";
    case Switch::kOff: return "off";
    case Switch::kOn: return "on";
  }
  return "";
}

// "0-3,7": numbers that ascend.
std::string Ranges(const std::vector<uint32_t>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    absl::StrAppend(&text, text.empty() ? "" : ",", numbers[i],
                    last > i ? absl::StrCat("-", numbers[last]) : "");
    i = last + 1;
  }
  return text;
}

// The line below a NIC's row: what few NICs have.
std::string NicRemarks(const NicFacts& nic) {
  std::vector<std::string> remarks;
  if (!nic.firmware.empty()) remarks.push_back(absl::StrCat("firmware ", nic.firmware));
  if (nic.xdp) remarks.emplace_back("XDP attached");
  std::map<std::string, std::vector<uint32_t>> queues_by_user;
  for (const auto& [queue, whose] : nic.bound) queues_by_user[whose].push_back(queue);
  for (const auto& [whose, queues] : queues_by_user) {
    remarks.push_back(absl::StrCat("rx queue ", Ranges(queues), " bound: ", whose));
  }
  return remarks.empty() ? "" : Paragraph("", absl::StrJoin(remarks, "; "));
}

std::vector<std::string> NicRow(const NicFacts& nic) {
  const std::string queues = nic.rx_queues_max == 0
                                 ? absl::StrCat(nic.rx_queues)
                                 : absl::StrCat(nic.rx_queues, "/", nic.rx_queues_max);
  return {nic.name,
          nic.driver.empty() ? "-" : nic.driver,
          nic.up ? "up" : "down",
          ToText(nic.split),
          nic.hds_threshold_bytes.has_value() ? absl::StrCat(*nic.hds_threshold_bytes) : "-",
          ToText(nic.ntuple),
          absl::StrCat(nic.rules),
          queues,
          nic.rss_queues.empty() ? "-" : Ranges(nic.rss_queues)};
}

std::string NicText(const Machine& machine) {
  std::vector<std::vector<std::string>> rows = {
      {"NIC", "DRIVER", "LINK", "SPLIT", "HDS", "NTUPLE", "RULES", "RXQ", "RSS"}};
  std::vector<std::string> remarks = {""};
  size_t more = 0;
  for (const NicFacts& nic : machine.nics) {
    if (!nic.hardware || rows.size() > kReportNicsMax) {
      ++more;
      continue;
    }
    rows.push_back(NicRow(nic));
    remarks.push_back(NicRemarks(nic));
  }
  const std::vector<std::string> lines = absl::StrSplit(FormatTable(rows), '\n');
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows.size() > 1) absl::StrAppend(&text, lines[i], "\n", remarks[i]);
  }
  if (rows.size() == 1) text = "no NIC\n";
  if (more > 0) absl::StrAppend(&text, "and ", more, " more: `devmemctl netdev show`\n");
  return text;
}

// Each obstacle with its remedy; one that another backend has, too, is told in full once.
std::string VerdictText(const Verdict& verdict, std::set<std::string>* told) {
  if (verdict.usable) {
    return Paragraph(verdict.backend, absl::StrCat("usable: ", verdict.detail));
  }
  std::string text;
  for (const Missing& missing : verdict.missing) {
    const std::string fix =
        told->insert(missing.what).second ? absl::StrCat("; fix: ", missing.fix) : ", as above";
    absl::StrAppend(&text,
                    Paragraph(text.empty() ? verdict.backend : "",
                              absl::StrCat(text.empty() ? "no:  " : "and: ", missing.what, fix)));
  }
  return text;
}

}  // namespace

std::string FormatDoctor(const Machine& machine, const std::vector<Verdict>& verdicts) {
  std::string text = absl::StrCat(KernelText(machine), IoUringText(machine),
                                  Paragraph("rights", ToString(machine.permissions)),
                                  MemoryText(machine), "\n", NicText(machine), "\n");
  std::set<std::string> told;
  for (const Verdict& verdict : verdicts) absl::StrAppend(&text, VerdictText(verdict, &told));
  return text;
}

}  // namespace devmem
