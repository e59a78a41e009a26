// SPDX-License-Identifier: Apache-2.0
//
// How devmemctl tells what the kernel's family `netdev` says: the kernel's names, in both forms.

#include "tools/netdev_report.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tools/devmemctl_output.h"

namespace devmem {
namespace {

std::string Name(uint32_t ifindex) { return absl::StrCat("eth", ifindex); }

NetdevQueue Queue() {
  NetdevQueue queue;
  queue.ifindex = 2;
  queue.id = 3;
  return queue;
}

TEST(NetdevReportTest, AQueueSaysOnlyWhatTheKernelSaid) {
  EXPECT_EQ(ToJson(Queue(), Name).ToString(),
            R"({"ifname":"eth2","ifindex":2,"type":"rx","id":3})");
  NetdevQueue queue = Queue();
  queue.type = QueueType::kTx;
  queue.napi_id = 8193;
  EXPECT_EQ(ToJson(queue, Name).ToString(),
            R"({"ifname":"eth2","ifindex":2,"type":"tx","id":3,"napi-id":8193})");
}

TEST(NetdevReportTest, TheOwnerOfAQueuesMemoryIsTold) {
  NetdevQueue queue = Queue();
  EXPECT_EQ(MemoryOwner(queue), "");
  queue.af_xdp = true;
  EXPECT_EQ(MemoryOwner(queue), "xsk");
  EXPECT_NE(ToJson(queue, Name).ToString().find(R"("xsk":{})"), std::string::npos);
  queue = Queue();
  queue.io_uring = true;
  EXPECT_EQ(MemoryOwner(queue), "io_uring");
  EXPECT_NE(ToJson(queue, Name).ToString().find(R"("io-uring":{})"), std::string::npos);
  queue.io_uring_rx_buf_len_bytes = 65536;
  EXPECT_NE(ToJson(queue, Name).ToString().find(R"("io-uring":{"rx-buf-len":65536})"),
            std::string::npos);
  queue = Queue();
  queue.dmabuf = 5;
  EXPECT_EQ(FormatTable(QueueRows({queue}, Name)),
            "DEVICE  TYPE  QUEUE  NAPI  MEMORY    LEASED-TO\n"
            "eth2    rx    3      -     devmem 5  -\n");
}

TEST(NetdevReportTest, ALeaseNamesTheOtherQueueAndItsNamespace) {
  NetdevQueue queue = Queue();
  queue.lease = QueueLease{.ifindex = 7, .queue = 1, .type = QueueType::kRx, .netns_id = {}};
  EXPECT_EQ(QueueRows({queue}, Name)[1].back(), "eth7:1");
  EXPECT_NE(
      ToJson(queue, Name).ToString().find(R"("lease":{"ifindex":7,"queue":{"id":1,"type":"rx"}})"),
      std::string::npos);
  queue.lease->netns_id = 4;
  EXPECT_EQ(QueueRows({queue}, Name)[1].back(), "netns 4 if7:1");
  EXPECT_NE(ToJson(queue, Name).ToString().find(R"(,"netns-id":4})"), std::string::npos);
}

TEST(NetdevReportTest, FeaturesHaveTheSpecificationsNames) {
  NetdevDevice device;
  device.ifindex = 2;
  device.xdp_features = 0x2b | 1u << 9;
  device.xsk_features = 2;
  EXPECT_EQ(ToJson(device, Name).ToString(),
            R"({"ifname":"eth2","ifindex":2,"xdp-features":["basic","redirect","xsk-zerocopy",)"
            R"("rx-sg","bit-9"],"xsk-features":["tx-checksum"]})");
}

TEST(NetdevReportTest, ANapiTellsItsThreadAndTimers) {
  NetdevNapi napi;
  napi.ifindex = 2;
  napi.id = 8193;
  napi.pid = 77;
  napi.threaded = 2;
  napi.gro_flush_timeout_ns = 20000;
  EXPECT_EQ(ToJson(napi, Name).ToString(),
            R"({"ifname":"eth2","ifindex":2,"id":8193,"pid":77,"threaded":"busy-poll",)"
            R"("gro-flush-timeout":20000})");
}

TEST(NetdevReportTest, APoolThatIsDetachedTellsItsAge) {
  PagePool pool;
  pool.id = 18;
  pool.inflight_buffers = 2;
  pool.inflight_bytes = 8192;
  pool.detached_at_seconds = 100;
  pool.dmabuf = 5;
  EXPECT_EQ(FormatTable(PagePoolRows({pool}, Name, 142)),
            "POOL  DEVICE  NAPI  INFLIGHT  BYTES  MEMORY    DETACHED\n"
            "18    gone    -     2         8192   devmem 5  42 s ago\n");
  EXPECT_EQ(ToJson(pool, Name).ToString(),
            R"({"id":18,"inflight":2,"inflight-mem":8192,"detach-time":100,"dmabuf":5})");
}

}  // namespace
}  // namespace devmem
