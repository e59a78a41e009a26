// SPDX-License-Identifier: Apache-2.0
//
// What ncdevmem tells about a run: keys that scripts rely on, lines that people read.

#include "tools/ncdevmem_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace devmem {
namespace {

RunResult GoodRun() {
  RunResult result;
  result.info.backend = Backend::kStack;
  result.info.why = "the caller asked for it";
  result.info.device = "dm0";
  result.info.nic = "tap";
  result.info.steering = "bpf";
  result.streams.push_back({.index = 0,
                            .counted = true,
                            .local = "192.0.2.2:5201",
                            .remote = "192.0.2.1:40000",
                            .queue = 1,
                            .bound = true,
                            .bytes = 5'000'000'000,
                            .frags = 7,
                            .cut = false,
                            .sha256 = "abc",
                            .hash_on = "device",
                            .status = absl::OkStatus()});
  result.streams.push_back({.index = 1,
                            .counted = false,
                            .local = "192.0.2.2:5300",
                            .remote = "192.0.2.1:40001",
                            .queue = 0,
                            .bound = false,
                            .bytes = 1000,
                            .frags = 0,
                            .cut = false,
                            .sha256 = "def",
                            .hash_on = "host",
                            .status = absl::OkStatus()});
  result.provider = "opencl";
  result.region_bytes = 64u << 20;
  result.seconds = 1;
  result.cpu_s = 0.75;
  result.statistics = {{"payload_bytes_bounced", 12}, {"presteer_bytes", 3},
                       {"payload_bytes_staged", 9},   {"frags", 7},
                       {"tokens_issued", 7},          {"tokens_returned", 7},
                       {"drop.pool_empty", 2},        {"drop.checksum", 0}};
  return result;
}

TEST(NcdevmemReportTest, TheJsonObjectHasTheKeysThatScriptsRelyOn) {
  const auto json = nlohmann::json::parse(ReportJson(GoodRun()));
  EXPECT_EQ(json["ok"], true);
  EXPECT_EQ(json["backend"], "stack");
  EXPECT_EQ(json["why"], "the caller asked for it");
  EXPECT_EQ(json["nic"], "tap");
  EXPECT_EQ(json["steering"], "bpf");
  EXPECT_EQ(json["queue"], 1);
  EXPECT_EQ(json["bytes"], 5'000'000'000);  // Without the unsteered stream.
  EXPECT_EQ(json["gbit_per_s"], 40.0);
  EXPECT_EQ(json["cpu_s"], 0.75);
  EXPECT_EQ(json["cpu_s_per_gb"], 0.15);
  EXPECT_EQ(json["sha256"], "abc");
  EXPECT_EQ(json["hash_on"], "device");
  EXPECT_EQ(json["provider"], "opencl");
  EXPECT_EQ(json["region_bytes"], 67108864);
  EXPECT_EQ(json["net_iovs_leaked"], 0);
  EXPECT_EQ(json["payload_bytes_bounced"], 12);
  EXPECT_EQ(json["payload_bytes_staged"], 9);
  EXPECT_EQ(json["presteer_bytes"], 3);
  EXPECT_EQ(json["missteered_bytes"], 0);
  EXPECT_EQ(json["frags"], 7);
  EXPECT_EQ(json["tokens_issued"], 7);
  EXPECT_EQ(json["tokens_returned"], 7);
  EXPECT_EQ(json["tokens_refused"], 0);
  EXPECT_EQ(json["drops"].dump(), R"({"drop.pool_empty":2})");
  EXPECT_EQ(json["statistics"]["drop.checksum"], 0);
  ASSERT_EQ(json["streams"].size(), 2u);
  EXPECT_EQ(json["streams"][1]["sha256"], "def");
  EXPECT_EQ(json["streams"][1]["hash_on"], "host");
  EXPECT_EQ(json["streams"][1]["bound"], false);
  EXPECT_FALSE(json.contains("error"));
}

TEST(NcdevmemReportTest, AChoiceOfMemoryIsReportedWhereOneWasMade) {
  RunResult result = GoodRun();
  EXPECT_FALSE(nlohmann::json::parse(ReportJson(result)).contains("provider_choice"));
  EXPECT_EQ(ReportSummary(result).find("memory:"), std::string::npos);
  result.residence = "65536 bytes in place, 0 in host memory instead, 0 absent: node 0";
  EXPECT_EQ(nlohmann::json::parse(ReportJson(result))["residence"], result.residence);
  result.provider_choice = "memfd: no GPU's memory can be had here";
  EXPECT_EQ(nlohmann::json::parse(ReportJson(result))["provider_choice"], result.provider_choice);
  EXPECT_NE(ReportSummary(result).find("\nmemory: memfd: no GPU's memory can be had here\n"),
            std::string::npos);
}

TEST(NcdevmemReportTest, TheJsonObjectIsOneLineWhateverTheTexts) {
  RunResult result = GoodRun();
  result.status = absl::InvalidArgumentError("line one\nline \"two\" \xff");
  const std::string text = ReportJson(result);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["error"], "line one\nline \"two\" \xef\xbf\xbd");
}

TEST(NcdevmemReportTest, ALeakOrAFailedStreamIsNoSuccess) {
  EXPECT_TRUE(Succeeded(GoodRun()));
  RunResult leaking = GoodRun();
  leaking.net_iovs_leaked = 1;
  EXPECT_FALSE(Succeeded(leaking));
  EXPECT_NE(ReportFailures(leaking).find("1 net_iovs are still in use"), std::string::npos);
  RunResult broken = GoodRun();
  broken.streams[0].status = absl::UnavailableError("reset by the peer");
  EXPECT_FALSE(Succeeded(broken));
  EXPECT_EQ(ReportFailures(broken),
            "stream 0 from 192.0.2.1:40000 after 5000000000 bytes: reset by the peer\n");
  EXPECT_EQ(ReportFailures(GoodRun()), "");
}

TEST(NcdevmemReportTest, AStreamThatWasCutDoesNotClaimItsEnd) {
  RunResult result = GoodRun();
  result.streams[0].cut = true;
  const auto json = nlohmann::json::parse(ReportJson(result));
  EXPECT_EQ(json["streams"][0]["end"], "as many bytes as asked for");
  EXPECT_EQ(json["streams"][1]["end"], "end of stream");
}

TEST(NcdevmemReportTest, ARefusalSaysWhichBackendRefusedAndWhyItWasChosen) {
  RunResult result;
  result.info.backend = Backend::kCopy;
  result.info.why = "the stack cannot run here: no /dev/net/tun";
  result.status = absl::FailedPreconditionError("192.0.2.2 is not an address of this machine");
  EXPECT_EQ(ReportFailures(result),
            "192.0.2.2 is not an address of this machine\n"
            "(backend copy: the stack cannot run here: no /dev/net/tun)\n");
}

TEST(NcdevmemReportTest, TheSummarySaysHowMuchHowFastAndWhere) {
  const std::string text = ReportSummary(GoodRun());
  EXPECT_EQ(text.substr(0, text.find('\n')),
            "5.00 GB in 1.000 s, 40.0 Gbit/s into a region of 67.11 MB on queue 1 (stack over tap, "
            "bpf); bounced 12 B, 0 net_iovs leaked");
  EXPECT_NE(text.find("abc  192.0.2.1:40000\n"), std::string::npos);
}

TEST(NcdevmemReportTest, TheTableLeavesOutWhatIsZero) {
  const std::string table = ReportTable(GoodRun());
  EXPECT_NE(table.find("drop.pool_empty"), std::string::npos);
  EXPECT_EQ(table.find("drop.checksum"), std::string::npos);
}

TEST(NcdevmemReportTest, ARunWithoutAnyStreamStillHasAReport) {
  RunResult result;
  result.status = absl::PermissionDeniedError("no /dev/net/tun");
  const auto json = nlohmann::json::parse(ReportJson(result));
  EXPECT_EQ(json["bytes"], 0);
  EXPECT_EQ(json["gbit_per_s"], 0.0);
  EXPECT_FALSE(json.contains("sha256"));
  EXPECT_FALSE(json.contains("hash_on"));
}

TEST(ProgressLineTest, TheRateIsThatSinceTheLastLook) {
  ProgressLine line;
  Account pool;
  pool.total = 100;
  pool.used = 50;
  line.Format({.bytes = 0, .now = kSecond, .account = pool});
  EXPECT_EQ(
      line.Format({.bytes = 500'000'000, .now = kSecond + 100 * kMillisecond, .account = pool}),
      "   500.00 MB    40.0 Gbit/s  pool [##########..........]  50 % used");
}

}  // namespace
}  // namespace devmem
