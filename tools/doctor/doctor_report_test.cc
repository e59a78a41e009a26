// SPDX-License-Identifier: Apache-2.0
//
// What the doctor prints: that it fits one screen, and that both forms say the same.

#include "tools/doctor/doctor_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "tools/doctor/examine_machine.h"
#include "tools/doctor/limits.h"

namespace devmem {
namespace {

bool Says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Bound, and short of many things at once: the longest report.
Machine Worst() {
  Machine machine;
  machine.kernel.release = "6.1.0-9-cloud-amd64";
  machine.devmem_errno = 92;
  machine.io_uring.setup_errno = 1;
  machine.io_uring.disabled = 2;
  machine.permissions.effective_user = 1000;
  machine.tun_errno = 2;
  machine.memory = {{.name = "memfd", .usable = true, .detail = "host memory"},
                    {.name = "udmabuf", .detail = "there is no /dev/udmabuf"},
                    {.name = "dma-heap", .detail = "no heap"}};
  for (int i = 0; i < 12; ++i) {
    machine.nics.push_back({.name = "eth" + std::to_string(i),
                            .driver = "mlx5_core",
                            .firmware = "28.39.1002 (MT_0000000838)",
                            .hardware = true,
                            .split = Switch::kOff,
                            .hds_threshold_bytes = 0,
                            .ntuple = Switch::kOn,
                            .rx_queues = 1,
                            .rx_queues_max = 1,
                            .rss_queues = {0},
                            .xdp = true,
                            .bound = {{0, "devmem 3"}}});
  }
  machine.nics.push_back({.name = "lo"});
  return machine;
}

TEST(DoctorReportTest, TheLongestReportFitsOneScreen) {
  const Machine machine = Worst();
  const std::string text = FormatDoctor(machine, Judge(machine));
  std::istringstream lines(text);
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    ++count;
    EXPECT_LE(line.size(), kReportColumns) << line;
  }
  EXPECT_LE(count, 50) << text;
  EXPECT_TRUE(Says(text, "and: eth0 is down; fix: ip link set dev eth0 up\n")) << text;
  EXPECT_TRUE(Says(text, "and: eth0 is down, as above\n")) << text;
  EXPECT_TRUE(Says(text, "and 7 more: `devmemctl netdev show`")) << text;
  EXPECT_TRUE(Says(text, "fix: modprobe udmabuf")) << text;
}

TEST(DoctorReportTest, TheMachineAtHandIsToldInBothForms) {
  const Machine machine = ExamineMachine(MachineFiles());
  const std::vector<Verdict> verdicts = Judge(machine);
  const std::string text = FormatDoctor(machine, verdicts);
  const std::string json = DoctorToJson(machine, verdicts).ToString();
  EXPECT_TRUE(Says(text, machine.kernel.release));
  EXPECT_TRUE(Says(json, R"("release":")" + machine.kernel.release));
  for (const Verdict& verdict : verdicts) {
    EXPECT_TRUE(Says(text, "\n" + verdict.backend + " ")) << text;
    EXPECT_TRUE(Says(json, R"({"name":")" + verdict.backend + R"(","usable":)" +
                               (verdict.usable ? "true" : "false")))
        << json;
  }
  EXPECT_TRUE(Says(text, "copy      usable: ")) << text;
}

TEST(DoctorReportTest, JsonTellsWhatANicLacksAsNull) {
  const Machine machine = Worst();
  const std::string json = DoctorToJson(machine, Judge(machine)).ToString();
  EXPECT_TRUE(Says(json, R"("header_split":false,"hds_thresh":0,"ntuple":true)")) << json;
  EXPECT_TRUE(Says(json, R"("bound":[{"queue":0,"by":"devmem 3"}])")) << json;
  EXPECT_TRUE(Says(json, R"("name":"lo")") && Says(json, R"("header_split":null)")) << json;
  EXPECT_TRUE(Says(json, R"("what":"no /dev/net/tun","fix":"modprobe tun")")) << json;
}

}  // namespace
}  // namespace devmem
