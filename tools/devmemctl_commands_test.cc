// SPDX-License-Identifier: Apache-2.0
//
// What devmemctl's commands print, and how they exit.

#include "tools/devmemctl_commands.h"

#include <gtest/gtest.h>

#include <string>

namespace devmem {
namespace {

bool Says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

DevmemctlOptions Machine(const std::string& file) {
  DevmemctlOptions options;
  options.xml_path = "selftests/topologies/" + file;
  return options;
}

TEST(DevmemctlTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(FormatTable({{"a", "bb", "c"}, {"dddd", "", "e"}, {"f"}}),
            "a     bb  c\n"
            "dddd      e\n"
            "f\n");
  EXPECT_EQ(FormatTable({}), "");
}

TEST(DevmemctlTopoTest, TheMatrixHasARowAndAColumnForEachDevice) {
  const CommandOutcome outcome = ShowTopology(Machine("one_socket_two_nodes.xml"));
  EXPECT_EQ(outcome.exit_code, kCtlOk);
  EXPECT_TRUE(Says(outcome.output, "       rsmi0  rsmi1  node0  node1  eth0  eth1  KIND "))
      << outcome.output;
  EXPECT_TRUE(Says(outcome.output, "\nrsmi0  X      SYS    PHB    SYS    PHB   SYS   coprocessor "))
      << outcome.output;
  EXPECT_TRUE(Says(outcome.output, "\neth1   SYS    PHB    SYS    PHB    SYS   X     nic "))
      << outcome.output;
}

TEST(DevmemctlTopoTest, ReasonsAreToldOnceWithThePairsThatTheyAreAbout) {
  const CommandOutcome outcome = ShowTopology(Machine("two_sockets.xml"));
  EXPECT_TRUE(Says(outcome.output,
                   "eth0/cuda0 eth0/cuda1 eth1/cuda0 eth1/cuda1\n"
                   "    yes: the switch carries transfers between its ports\n"))
      << outcome.output;
  // Software has no row there.
  EXPECT_FALSE(Says(outcome.output, "dm0/")) << outcome.output;
}

TEST(DevmemctlTopoTest, JsonNamesEachPairOnce) {
  DevmemctlOptions options = Machine("one_socket_two_nodes.xml");
  options.json = true;
  const CommandOutcome outcome = ShowTopology(options);
  EXPECT_TRUE(Says(outcome.output,
                   R"({"a":"rsmi0","b":"eth0","distance":"PHB","peer_to_peer":"yes","reason":")"))
      << outcome.output;
  EXPECT_FALSE(Says(outcome.output, R"({"a":"eth0","b":"rsmi0")"));
  EXPECT_TRUE(Says(outcome.output, R"("this_machine":false)"));
}

TEST(DevmemctlTopoTest, AMachineThatCannotBeReadIsRefused) {
  DevmemctlOptions options = Machine("missing.xml");
  CommandOutcome outcome = ShowTopology(options);
  EXPECT_EQ(outcome.exit_code, kCtlRefused);
  EXPECT_EQ(outcome.output, "");
  EXPECT_TRUE(Says(outcome.error, "missing.xml")) << outcome.error;
  options.json = true;
  outcome = ShowTopology(options);
  EXPECT_EQ(outcome.exit_code, kCtlRefused);
  EXPECT_EQ(outcome.error, "");
  EXPECT_TRUE(Says(outcome.output, R"({"error":{"kind":"refused","code":"NOT_FOUND","message":")"))
      << outcome.output;
}

TEST(DevmemctlProviderTest, EveryProviderIsListedAndProbed) {
  DevmemctlOptions options;
  EXPECT_EQ(ListProviders(options).output.rfind("memfd\n", 0), 0u);
  EXPECT_TRUE(Says(ProbeProviders(options).output, "memfd"));
  EXPECT_EQ(ProbeProviders(options).exit_code, kCtlOk);
  options.json = true;
  EXPECT_EQ(ListProviders(options).output.rfind(R"([{"name":"memfd"})", 0), 0u);
  options.provider = "memfd";
  const CommandOutcome probed = ProbeProviders(options);
  EXPECT_EQ(probed.output.rfind(R"([{"name":"memfd","usable":true,"detail":")", 0), 0u)
      << probed.output;
}

TEST(DevmemctlProviderTest, AProviderThatDoesNotExistIsAWrongCommandLine) {
  DevmemctlOptions options;
  options.provider = "floppy";
  for (const CommandOutcome& outcome : {ProbeProviders(options), TestRegion(options)}) {
    EXPECT_EQ(outcome.exit_code, kCtlUsage);
    EXPECT_TRUE(Says(outcome.error, "there is no provider \"floppy\"")) << outcome.error;
  }
}

TEST(DevmemctlRegionTest, MemfdMemoryWorks) {
  DevmemctlOptions options;
  options.provider = "memfd";
  options.region_bytes = 1u << 20;
  CommandOutcome outcome = TestRegion(options);
  EXPECT_EQ(outcome.exit_code, kCtlOk) << outcome.output;
  EXPECT_TRUE(Says(outcome.output, "memfd, pinned, 1048576 bytes: works\n")) << outcome.output;
  options.json = true;
  outcome = TestRegion(options);
  EXPECT_TRUE(Says(outcome.output, R"("result":"ok")")) << outcome.output;
  EXPECT_FALSE(Says(outcome.output, R"("error")")) << outcome.output;
}

TEST(DevmemctlRegionTest, ASizeThatTheProviderDoesNotGiveIsRefused) {
  DevmemctlOptions options;
  options.provider = "memfd";
  options.region_bytes = 4097;
  options.json = true;
  const CommandOutcome outcome = TestRegion(options);
  EXPECT_EQ(outcome.exit_code, kCtlRefused);
  EXPECT_TRUE(Says(outcome.output, R"("error":{"kind":"refused","message":")")) << outcome.output;
}

}  // namespace
}  // namespace devmem
