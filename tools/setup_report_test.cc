// SPDX-License-Identifier: Apache-2.0
//
// What devmemctl tells of a set-up and of its undoing.

#include "tools/setup_report.h"

#include <gtest/gtest.h>

#include "tools/exit_codes.h"

namespace devmem {
namespace {

NicPlan Plan() {
  NicPlan plan;
  plan.device = "eth1";
  plan.ifindex = 3;
  plan.driver = "gve";
  plan.mtu_bytes = 1500;
  plan.rx_queue_count = 4;
  plan.queues = {2, 3};
  NicStep step;
  step.name = "tcp-data-split";
  step.before = "unknown";
  step.after = "enabled";
  step.netlink = "rings-set dev-name=eth1 tcp-data-split=enabled";
  step.ethtool = "ethtool -G eth1 tcp-data-split on";
  plan.steps = {step};
  plan.notes = {"rule 5 is somebody else's"};
  return plan;
}

TEST(SetupReportTest, ADryRunIsAScriptThatAShellTakes) {
  EXPECT_EQ(PlanText(Plan(), false),
            "# eth1: gve, 4 rx queues, MTU 1500; set apart: rx queue 2,3\n"
            "# rings-set dev-name=eth1 tcp-data-split=enabled\n"
            "ethtool -G eth1 tcp-data-split on\n"
            "# rule 5 is somebody else's\n");
}

TEST(SetupReportTest, ALongTableIsCutForPeopleAlone) {
  NicPlan plan = Plan();
  std::string table = "0";
  for (int i = 1; i < 128; ++i) table += i % 2 == 0 ? ",0" : ",1";
  plan.steps[0].netlink = "rss-set dev-name=eth1 indir=" + table;
  const std::string text = PlanText(plan, false);
  EXPECT_NE(text.find(",0,1,...\n"), std::string::npos) << text;
  EXPECT_EQ(text.find(table), std::string::npos);
  EXPECT_NE(PlanToJson(plan, false).ToString().find(table), std::string::npos);
}

TEST(SetupReportTest, WhatWasAppliedSaysHowToUndoIt) {
  NicPlan plan = Plan();
  plan.steps.clear();
  plan.notes.clear();
  EXPECT_EQ(PlanText(plan, true),
            "# eth1: gve, 4 rx queues, MTU 1500; set apart: rx queue 2,3\n"
            "# everything is as it should be\n"
            "# done; `devmemctl restore eth1` undoes it\n");
}

TEST(SetupReportTest, JsonHasEachStepInBothLanguages) {
  EXPECT_EQ(PlanToJson(Plan(), false).ToString(),
            R"({"ifname":"eth1","ifindex":3,"driver":"gve","mtu":1500,"rx_queues":4,)"
            R"("queues":[2,3],"applied":false,"steps":[{"name":"tcp-data-split",)"
            R"("before":"unknown","after":"enabled",)"
            R"("netlink":"rings-set dev-name=eth1 tcp-data-split=enabled",)"
            R"("ethtool":"ethtool -G eth1 tcp-data-split on"}],)"
            R"("notes":["rule 5 is somebody else's"]})");
}

TEST(SetupReportTest, WhatCannotBePutBackIsAnErrorBesideWhatWas) {
  RestoreReport report;
  EXPECT_EQ(RestoreText(report), "nothing to restore\n");
  EXPECT_EQ(RestoreToJson(report, kCtlOk).ToString(), R"({"undone":[],"left":[]})");
  EXPECT_EQ(RestoreExitCode(report), kCtlOk);
  report.in_use = {"eth3: process 77 uses it"};
  EXPECT_EQ(RestoreExitCode(report), kCtlRefused);
  report.undone = {"eth1: tcp-data-split is off again"};
  EXPECT_EQ(RestoreExitCode(report), kCtlPartly);
  report.skipped = {"eth2: is in another network namespace"};
  report.failed = {"eth1: the RSS table was changed since"};
  EXPECT_EQ(RestoreText(report),
            "undone: eth1: tcp-data-split is off again\n"
            "left: eth2: is in another network namespace\n"
            "in use: eth3: process 77 uses it\n"
            "failed: eth1: the RSS table was changed since\n");
  EXPECT_EQ(RestoreToJson(report, kCtlPartly).ToString(),
            R"({"undone":["eth1: tcp-data-split is off again"],)"
            R"("left":["eth2: is in another network namespace"],)"
            R"("in_use":["eth3: process 77 uses it"],)"
            R"("failed":["eth1: the RSS table was changed since"],)"
            R"("error":{"kind":"partly","message":"eth3: process 77 uses it; )"
            R"(eth1: the RSS table was changed since"}})");
}

}  // namespace
}  // namespace devmem
