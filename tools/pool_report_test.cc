// SPDX-License-Identifier: Apache-2.0
//
// What devmemctl computes from two looks at the kernel's page pools.

#include "tools/pool_report.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tools/devmemctl_output.h"

namespace devmem {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

std::string Name(uint32_t ifindex) { return absl::StrCat("eth", ifindex); }

PagePool Pool(uint64_t id, uint64_t buffers) {
  PagePool pool;
  pool.id = id;
  pool.ifindex = 2;
  pool.inflight_buffers = buffers;
  pool.inflight_bytes = buffers * 4096;
  return pool;
}

PoolSample Sample(uint64_t seconds, std::vector<PagePool> pools) {
  PoolSample sample;
  sample.time_ns = seconds * kSecond;
  sample.pools = std::move(pools);
  return sample;
}

TEST(PoolReportTest, ADetachedPoolIsAZombieWhileBuffersAreOut) {
  PagePool pool = Pool(7, 3);
  EXPECT_FALSE(IsZombie(pool));
  pool.detached_at_seconds = 90;
  EXPECT_TRUE(IsZombie(pool));
  EXPECT_EQ(PoolStatsRows(nullptr, Sample(100, {pool}), Name)[1][4], "zombie 10 s");
  pool.inflight_buffers = 0;
  EXPECT_FALSE(IsZombie(pool));
  EXPECT_EQ(PoolStatsRows(nullptr, Sample(100, {pool}), Name)[1][4], "detached 10 s");
}

TEST(PoolReportTest, TheTimeToEmptyComesFromTwoSamples) {
  const PoolSample before = Sample(10, {Pool(7, 30)});
  const PoolSample now = Sample(12, {Pool(7, 10)});
  const std::optional<double> drain = DrainBytesPerSecond(now.pools[0], before, now);
  ASSERT_TRUE(drain.has_value());
  EXPECT_DOUBLE_EQ(*drain, 10 * 4096);
  EXPECT_DOUBLE_EQ(*SecondsToEmpty(now.pools[0], drain), 1);
}

TEST(PoolReportTest, APoolThatGrowsOrIsNewHasNoTimeToEmpty) {
  const PoolSample before = Sample(10, {Pool(7, 10)});
  const PoolSample now = Sample(11, {Pool(7, 12), Pool(8, 5), Pool(9, 0)});
  EXPECT_LT(*DrainBytesPerSecond(now.pools[0], before, now), 0);
  EXPECT_EQ(SecondsToEmpty(now.pools[0], DrainBytesPerSecond(now.pools[0], before, now)),
            std::nullopt);
  EXPECT_EQ(DrainBytesPerSecond(now.pools[1], before, now), std::nullopt);
  EXPECT_EQ(SecondsToEmpty(now.pools[2], std::nullopt), 0.0);
  // Two samples of one moment say nothing about a rate.
  EXPECT_EQ(DrainBytesPerSecond(before.pools[0], before, before), std::nullopt);
}

TEST(PoolReportTest, TheTableShowsTheChangeBetweenPictures) {
  const PoolSample before = Sample(10, {Pool(7, 30)});
  EXPECT_EQ(FormatTable(PoolStatsRows(&before, Sample(12, {Pool(7, 10)}), Name)),
            "POOL  DEVICE  MEMORY  OWNER  STATE  INFLIGHT  BYTES  CHANGE       EMPTY-IN\n"
            "7     eth2    -       -      live   10        40960  -40.0 KiB/s  1.0 s\n");
  EXPECT_EQ(PoolStatsRows(nullptr, before, Name)[1][7], "-");
}

TEST(PoolReportTest, WhoBoundAPoolsMemoryIsNamedWhereItIsKnown) {
  PoolSample now = Sample(10, {Pool(7, 30), Pool(8, 1)});
  now.owners = {{7, 4711}};
  const TableRows rows = PoolStatsRows(nullptr, now, Name);
  EXPECT_EQ(rows[1][3], "4711");
  EXPECT_EQ(rows[2][3], "-");
  EXPECT_NE(StatsToJson(nullptr, now, Name).ToString().find(R"("zombie":false,"owner_pid":4711})"),
            std::string::npos);
}

TEST(PoolReportTest, OnlyDevicesThatCountDropsAreListed) {
  PoolSample now = Sample(1, {});
  QueueStats silent;
  silent.ifindex = 3;
  silent.counters = {{"tx-packets", 5}};
  QueueStats counting;
  counting.ifindex = 2;
  counting.counters = {{"rx-packets", 100}, {"rx-alloc-fail", 4}};
  now.queues = {silent, counting};
  EXPECT_EQ(FormatTable(DropRows(now, Name)),
            "DEVICE  RX-PACKETS  ALLOC-FAIL  HW-DROPS  OVERRUNS  RATELIMITS\n"
            "eth2    100         4           -         -         -\n");
}

TEST(PoolReportTest, JsonSumsUpWhatIsInFlightAndCountsZombies) {
  PagePool zombie = Pool(8, 1);
  zombie.detached_at_seconds = 95;
  PoolSample before = Sample(98, {Pool(7, 4)});
  PoolSample now = Sample(100, {Pool(7, 2), zombie});
  PagePoolStats counters;
  counters.id = 7;
  counters.counters = {{"recycle-ring", 11}};
  now.counters = {counters};
  const std::string json = StatsToJson(&before, now, Name).ToString();
  EXPECT_EQ(json, R"({"time_ns":100000000000,"inflight_bytes":12288,"zombies":1,"pools":[)"
                  R"({"id":7,"ifname":"eth2","ifindex":2,"inflight":2,"inflight-mem":8192,)"
                  R"("zombie":false,"drain_bytes_per_second":4096.0,"seconds_to_empty":2.0,)"
                  R"("counters":{"recycle-ring":11}},)"
                  R"({"id":8,"ifname":"eth2","ifindex":2,"inflight":1,"inflight-mem":4096,)"
                  R"("detach-time":95,"zombie":true,"age_seconds":5}],"devices":[]})");
}

}  // namespace
}  // namespace devmem
