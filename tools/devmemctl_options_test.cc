// SPDX-License-Identifier: Apache-2.0
//
// The command line of devmemctl: what is read from it, and what each mistake is told.

#include "tools/devmemctl_options.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tools/exit_codes.h"

namespace devmem {
namespace {

DevmemctlCommandLine Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "devmemctl");
  return ParseDevmemctlCommandLine(static_cast<int>(words.size()), words.data());
}

DevmemctlOptions Options(std::vector<const char*> words) {
  const DevmemctlCommandLine line = Parse(std::move(words));
  EXPECT_TRUE(line.options.has_value()) << line.error << line.output;
  return line.options.value_or(DevmemctlOptions{});
}

// What the refusal says; everything about it is checked.
std::string Refusal(std::vector<const char*> words) {
  const DevmemctlCommandLine line = Parse(std::move(words));
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, kCtlUsage);
  EXPECT_EQ(line.output, "");
  EXPECT_EQ(line.error.rfind("devmemctl: ", 0), 0u) << line.error;
  EXPECT_NE(line.error.find("\nTry devmemctl --help\n"), std::string::npos) << line.error;
  return line.error;
}

bool Says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(DevmemctlOptionsTest, ObjectsAndVerbsMayBeWrittenShort) {
  EXPECT_EQ(Options({"provider", "list"}).command, DevmemctlCommand::kProviderList);
  EXPECT_EQ(Options({"pr", "l"}).command, DevmemctlCommand::kProviderList);
  EXPECT_EQ(Options({"prov", "pr"}).command, DevmemctlCommand::kProviderProbe);
  EXPECT_EQ(Options({"t", "s"}).command, DevmemctlCommand::kTopoShow);
  EXPECT_EQ(Options({"reg", "t", "memfd"}).command, DevmemctlCommand::kRegionTest);
}

TEST(DevmemctlOptionsTest, AVerbThatIsLeftOutIsTheOneThatLooks) {
  EXPECT_EQ(Options({"provider"}).command, DevmemctlCommand::kProviderList);
  EXPECT_EQ(Options({"topo"}).command, DevmemctlCommand::kTopoShow);
  EXPECT_EQ(Options({"topo", "--xml", "show"}).xml_path, "show");
  EXPECT_TRUE(Says(Refusal({"region"}), "region needs a verb: test"));
}

TEST(DevmemctlOptionsTest, AnObjectWithoutVerbsTakesItsWordsItself) {
  EXPECT_EQ(Options({"doctor"}).command, DevmemctlCommand::kDoctor);
  EXPECT_EQ(Options({"doc", "-j", "zcrx"}).backend, "zcrx");
  EXPECT_TRUE(Says(Refusal({"doctor", "dpdk"}), "is none of: stack, copy, kernel, zcrx"));
}

TEST(DevmemctlOptionsTest, WhatIsDoneToQueuesIsDescribed) {
  EXPECT_EQ(Options({"queue"}).command, DevmemctlCommand::kQueueShow);
  EXPECT_EQ(Options({"queue", "show", "eth1"}).device, "eth1");
  const DevmemctlOptions bind =
      Options({"queue", "bind", "eth1", "--queues", "2,3", "--provider", "dma-heap", "--bytes",
               "64M", "--background", "--while", "77"});
  EXPECT_EQ(bind.command, DevmemctlCommand::kQueueBind);
  EXPECT_EQ(bind.queues, (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(bind.provider, "dma-heap");
  EXPECT_EQ(bind.region_bytes, 64u << 20);
  EXPECT_TRUE(bind.background && bind.while_pid == 77);
  EXPECT_EQ(Options({"queue", "u", "5"}).binding, 5u);
  EXPECT_TRUE(Says(Refusal({"queue", "bind", "eth1"}), "--queues"));
  EXPECT_TRUE(Says(Refusal({"queue", "bind", "eth1", "--queues", "1,,2"}), "--queues"));
  EXPECT_TRUE(Says(Refusal({"queue", "unbind", "0"}), "out of range"));
}

TEST(DevmemctlOptionsTest, ARuleIsSeveralWords) {
  const DevmemctlOptions add =
      Options({"rule", "a", "eth1", "tcp4", "dst-port", "80", "action", "3", "-j"});
  EXPECT_EQ(add.device, "eth1");
  EXPECT_EQ(add.rule, "tcp4 dst-port 80 action 3");
  EXPECT_TRUE(add.json);
  EXPECT_EQ(Options({"rule", "del", "eth1", "7"}).location, 7u);
  EXPECT_EQ(Options({"rule"}).command, DevmemctlCommand::kRuleList);
  EXPECT_TRUE(Says(Refusal({"rule", "add", "eth1"}), "RULE"));
}

TEST(DevmemctlOptionsTest, ASetUpNamesItsQueues) {
  const DevmemctlOptions setup =
      Options({"setup", "eth1", "--queues", "3", "--channels", "4", "--dry-run"});
  EXPECT_EQ(setup.command, DevmemctlCommand::kSetup);
  EXPECT_TRUE(setup.dry_run);
  EXPECT_EQ(setup.channels, 4u);
  EXPECT_FALSE(Options({"setup", "eth1", "--queues", "3"}).dry_run);
  EXPECT_EQ(Options({"restore"}).device, "");
  EXPECT_EQ(Options({"restore", "eth1"}).device, "eth1");
}

TEST(DevmemctlOptionsTest, WhatGoesOnHasAnIntervalAndACount) {
  const DevmemctlOptions stats =
      Options({"stats", "eth1", "--watch", "--interval", "0", "--count", "3"});
  EXPECT_TRUE(stats.watch);
  EXPECT_EQ(stats.interval_ms, 0u);
  EXPECT_EQ(stats.count, 3u);
  EXPECT_EQ(Options({"stats"}).interval_ms, 1000u);
  EXPECT_EQ(Options({"mon", "--count", "1"}).command, DevmemctlCommand::kMonitor);
  EXPECT_TRUE(Says(Refusal({"stats", "--interval", "soon"}), "--interval"));
  EXPECT_TRUE(Says(Refusal({"monitor", "--count", "0"}), "out of range"));
}

TEST(DevmemctlOptionsTest, JsonAndPrettyMayStandAnywhere) {
  for (const auto& words :
       std::vector<std::vector<const char*>>{{"-j", "-p", "provider", "list"},
                                             {"provider", "-j", "list", "-p"},
                                             {"provider", "list", "-jp"},
                                             {"-json", "-pretty", "prov"},
                                             {"--json", "prov", "l", "--pretty"}}) {
    const DevmemctlOptions options = Options(words);
    EXPECT_TRUE(options.json && options.pretty);
  }
  EXPECT_FALSE(Options({"provider"}).json);
}

TEST(DevmemctlOptionsTest, TheRegionToTestIsDescribed) {
  const DevmemctlOptions plain = Options({"region", "test", "memfd"});
  EXPECT_EQ(plain.provider, "memfd");
  EXPECT_EQ(plain.region_bytes, 16u << 20);
  EXPECT_EQ(plain.kind, AttachmentKind::kPinned);
  EXPECT_EQ(plain.device, "");
  const DevmemctlOptions full = Options({"region", "test", "cuda", "--bytes", "64M", "--kind",
                                         "movable", "--device", "0000:17:00.0"});
  EXPECT_EQ(full.provider, "cuda");
  EXPECT_EQ(full.region_bytes, 64u << 20);
  EXPECT_EQ(full.kind, AttachmentKind::kMayMove);
  EXPECT_EQ(full.device, "0000:17:00.0");
  EXPECT_EQ(Options({"region", "test", "x", "--kind", "revocable"}).kind,
            AttachmentKind::kMayRevoke);
}

TEST(DevmemctlOptionsTest, EachMistakeIsNamed) {
  EXPECT_TRUE(Says(Refusal({}), "name an object: doctor, "));
  EXPECT_TRUE(Says(Refusal({"route"}), "no object is called \"route\""));
  EXPECT_TRUE(Says(Refusal({""}), "no object is called \"\""));
  EXPECT_TRUE(Says(Refusal({"provider", "add"}), "provider: no verb is called \"add\""));
  EXPECT_TRUE(Says(Refusal({"region", "test"}), "PROVIDER"));
  EXPECT_TRUE(Says(Refusal({"region", "test", "memfd", "more"}), "more"));
  EXPECT_TRUE(Says(Refusal({"region", "test", "memfd", "--bytes", "many"}), "\"many\" is no size"));
  EXPECT_TRUE(Says(Refusal({"region", "test", "memfd", "--bytes", "0"}), "out of range"));
  EXPECT_TRUE(Says(Refusal({"region", "test", "memfd", "--bytes", "99999T"}), "out of range"));
  EXPECT_TRUE(Says(Refusal({"region", "test", "memfd", "--kind", "soft"}),
                   "--kind \"soft\" is none of: pinned, revocable, movable"));
  EXPECT_TRUE(Says(Refusal({"topo", "--xml", "a", "--synthetic", "b"}), "--xml"));
  EXPECT_TRUE(Says(Refusal({"topo", "--xml"}), "--xml"));
  EXPECT_TRUE(Says(Refusal({"provider", "list", "--wide"}), "--wide"));
}

TEST(DevmemctlOptionsTest, UnderJsonAMistakeIsAnObjectOnStdout) {
  const DevmemctlCommandLine line = Parse({"-j", "route"});
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, kCtlUsage);
  EXPECT_EQ(line.error, "");
  EXPECT_EQ(line.output.rfind(
                R"({"error":{"kind":"usage","code":"INVALID_ARGUMENT","message":"no object is )"
                R"(called \"route\"; there are doctor, )",
                0),
            0u)
      << line.output;
}

TEST(DevmemctlOptionsTest, EveryLevelHasItsHelp) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> levels = {
      {{"--help"}, "Usage: devmemctl [OPTIONS] OBJECT VERB"},
      {{"help"}, "Exit status:"},
      {{"provider", "--help"}, "devmemctl provider [OPTIONS] VERB"},
      {{"provider", "help"}, "devmemctl -j provider probe cuda"},
      {{"provider", "probe", "--help"}, "devmemctl provider probe"},
      {{"topo", "--help"}, "lstopo --whole-io"},
      {{"topo", "show", "-h"}, "--synthetic TEXT"},
      {{"doctor", "help"}, "devmemctl doctor [OPTIONS] [BACKEND]"},
      {{"queue", "bind", "--help"}, "--queues N,N..."},
      {{"rule", "help"}, "dst-port 5201 action 3"},
      {{"setup", "--help"}, "--dry-run"},
      {{"region", "-h"}, "devmemctl region test memfd"},
      {{"region", "test", "--help"}, "--kind pinned|revocable|movable"},
  };
  for (const auto& [words, part] : levels) {
    const DevmemctlCommandLine line = Parse(words);
    EXPECT_FALSE(line.options.has_value());
    EXPECT_EQ(line.exit_code, kCtlOk);
    EXPECT_TRUE(Says(line.output, part)) << part << " in:\n" << line.output;
  }
}

TEST(DevmemctlOptionsTest, TheVersionIsOneLine) {
  EXPECT_EQ(Parse({"--version"}).output, "devmemctl " DEVMEM_VERSION "\n");
  EXPECT_EQ(Parse({"-V"}).exit_code, kCtlOk);
}

}  // namespace
}  // namespace devmem
