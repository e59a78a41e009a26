// SPDX-License-Identifier: Apache-2.0
//
// What devmemctl tells of sessions that published what they hold.

#include "tools/owner_report.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tools/devmemctl_output.h"

namespace devmem {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kOurNetwork = 4026531840;

std::string Name(uint32_t ifindex) { return absl::StrCat("eth", ifindex); }

StatsFigures Queue(uint32_t queue, uint64_t tokens, uint64_t held_bytes) {
  return {.kind = StatsKind::kQueue,
          .queue = queue,
          .region_bytes = 65536,
          .net_iov_bytes = 4096,
          .net_iovs = 16,
          .net_iovs_used = 5,
          .tokens_held = tokens,
          .held_bytes = held_bytes};
}

PublishedSession Session(std::vector<StatsFigures> records) {
  PublishedSession session;
  session.path = "/run/devmem/sessions/812-1.stats";
  session.live = true;
  session.pid_here = 812;
  session.pid = 812;
  session.same_pid_namespace = true;
  session.net_namespace = kOurNetwork;
  session.command = "ncdevmem";
  session.backend = "stack";
  session.device = "dm0";
  session.records = std::move(records);
  return session;
}

OwnerSample Sample(uint64_t seconds, std::vector<PublishedSession> sessions) {
  OwnerSample sample;
  sample.time_ns = seconds * kSecond;
  sample.listing.sessions = std::move(sessions);
  return sample;
}

TEST(OwnerReportTest, ARowSumsUpAllQueuesOfASession) {
  StatsFigures unbound{.kind = StatsKind::kQueue, .queue = 0, .connections = 1};
  unbound.drop_other = 2;
  const OwnerSample now = Sample(10, {Session({unbound, Queue(2, 3, 30000), Queue(1, 4, 2768)})});
  EXPECT_EQ(FormatTable(OwnerRows(nullptr, now)),
            "PID  UID  COMMAND   BACKEND  DEVICE  QUEUES  CONNS  TOKENS  HELD   REGION  SHARE  "
            "CHANGE  EMPTY-IN  DROPS  STATE\n"
            "812  0    ncdevmem  stack    dm0     1,2     1      7       32768  131072  25.0%  "
            "-       -         2      live\n");
}

TEST(OwnerReportTest, TheHostRegionIsNotBoundButItsFragsAreHeld) {
  StatsFigures host{.kind = StatsKind::kHost, .region_bytes = 1 << 20, .net_iovs = 2};
  host.tokens_held = 1;
  host.held_bytes = 100;
  const StatsFigures sum = SumOf(Session({host, Queue(1, 2, 500)}));
  EXPECT_EQ(sum.region_bytes, 65536u);
  EXPECT_EQ(sum.net_iovs, 16u);
  EXPECT_EQ(sum.tokens_held, 3u);
  EXPECT_EQ(sum.held_bytes, 600u);
}

TEST(OwnerReportTest, TheTimeToEmptyIsThatOfPoolsAndComesFromTwoSamples) {
  const OwnerSample before = Sample(10, {Session({Queue(1, 4, 30720)})});
  const TableRows rows = OwnerRows(&before, Sample(12, {Session({Queue(1, 2, 10240)})}));
  EXPECT_EQ(rows[1][11], "-10.0 KiB/s");
  EXPECT_EQ(rows[1][12], "1.0 s");
  // Who takes more has none.
  EXPECT_EQ(OwnerRows(&before, Sample(12, {Session({Queue(1, 9, 40960)})}))[1][12], "-");
  // Another session's past is not its own.
  PublishedSession other = Session({Queue(1, 2, 10240)});
  other.path = "/run/devmem/sessions/812-2.stats";
  EXPECT_EQ(OwnerRows(&before, Sample(12, {other}))[1][11], "-");
}

TEST(OwnerReportTest, WhoIsNotSeenHereIsNamedByItsOwnWordInParentheses) {
  PublishedSession contained = Session({Queue(1, 1, 1)});
  contained.pid_here.reset();
  contained.pid = 7;
  PublishedSession killed = contained;
  killed.live = false;
  killed.unsettled = 1;
  const TableRows rows = OwnerRows(nullptr, Sample(1, {contained, killed}));
  EXPECT_EQ(rows[1].front(), "(7)");
  EXPECT_EQ(rows[1].back(), "live");
  EXPECT_EQ(rows[2].back(), "gone, torn");
}

TEST(OwnerReportTest, JsonSumsUpTheTokensOfThoseWhoLive) {
  PublishedSession killed = Session({Queue(1, 100, 1)});
  killed.live = false;
  killed.pid_here.reset();
  OwnerSample now = Sample(1, {Session({Queue(1, 4, 32768)}), killed});
  now.listing.passed_over = {"/run/x.stats: it is no regular file"};
  JsonObject json;
  AddOwners(nullptr, now, &json);
  const std::string text = json.ToString();
  EXPECT_EQ(text.substr(0, text.find("},")),
            R"({"owners":[{"pid":812,"own_pid":812,"same_pid_namespace":true,"uid":0,)"
            R"("command":"ncdevmem","state":"live","torn":false,)"
            R"("page":"/run/devmem/sessions/812-1.stats","backend":"stack","device":"dm0",)"
            R"("net_namespace":4026531840,"queues":[1],"region_bytes":65536,"held_bytes":32768,)"
            R"("share":0.5,"tokens":4,"tokens_issued":0,"tokens_returned":0,"tokens_refused":0,)"
            R"("connections":0,"connections_total":0,"net_iovs":16,"net_iovs_free":11,)"
            R"("payload_bytes":0,"payload_bytes_bounced":0,"drop_pool_empty":0,"drop_other":0,)"
            R"("starved":0)");
  EXPECT_NE(text.find(R"("owners_gone":1,"tokens":4,"held_bytes":32768,)"
                      R"("passed_over":["/run/x.stats: it is no regular file"],"complete":true})"),
            std::string::npos);
  EXPECT_NE(text.find(R"({"pid":null,"own_pid":812,)"), std::string::npos);
}

TEST(OwnerReportTest, FiguresThatNobodyCouldHaveAreStillOnlyNumbers) {
  StatsFigures absurd = Queue(UINT32_MAX, UINT64_MAX, UINT64_MAX);
  absurd.net_iovs_used = UINT64_MAX;
  absurd.region_bytes = 1;
  const OwnerSample now = Sample(2, {Session({absurd, absurd})});
  const OwnerSample before = Sample(1, {Session({Queue(1, 1, 1)})});
  EXPECT_EQ(OwnerRows(&before, now).size(), 2u);
  JsonObject json;
  AddOwners(&before, now, &json);
  EXPECT_NE(json.ToString().find(R"("net_iovs_free":)"), std::string::npos);
}

TEST(OwnerReportTest, OnlySessionsOnTheDeviceOfThisNetworkNamespaceAreKept) {
  PublishedSession elsewhere = Session({});
  elsewhere.net_namespace = 5;
  PublishedSession other = Session({});
  other.device = "eth0";
  StatsListing listing;
  listing.sessions = {Session({}), elsewhere, other};
  KeepDevice("", kOurNetwork, &listing);
  EXPECT_EQ(listing.sessions.size(), 3u);
  KeepDevice("dm0", kOurNetwork, &listing);
  ASSERT_EQ(listing.sessions.size(), 1u);
  EXPECT_EQ(listing.sessions[0].net_namespace, kOurNetwork);
}

TEST(OwnerReportTest, AQueuesPoolIsItsOwners) {
  PagePool bound;
  bound.id = 7;
  bound.dmabuf = 3;
  PagePool ring;
  ring.id = 8;
  ring.ifindex = 2;
  ring.napi_id = 99;
  ring.io_uring = true;
  PagePool plain;
  plain.id = 9;
  plain.ifindex = 2;
  plain.napi_id = 99;
  NetdevQueue queue;
  queue.ifindex = 2;
  queue.id = 5;
  queue.napi_id = 99;
  queue.io_uring = true;
  PublishedSession kernel = Session({Queue(1, 0, 0)});
  kernel.records[0].kernel_binding = 3;
  PublishedSession zcrx = Session({Queue(5, 0, 0)});
  zcrx.device = "eth2";
  zcrx.pid_here = 813;
  PublishedSession elsewhere = zcrx;
  elsewhere.net_namespace = 5;
  elsewhere.pid_here = 814;
  const std::map<uint64_t, pid_t> owners =
      FindPoolOwners({bound, ring, plain}, {queue}, {kernel, zcrx, elsewhere}, kOurNetwork, Name);
  EXPECT_EQ(owners, (std::map<uint64_t, pid_t>{{7, 812}, {8, 813}}));
}

}  // namespace
}  // namespace devmem
