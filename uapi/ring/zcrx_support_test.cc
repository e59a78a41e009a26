// SPDX-License-Identifier: Apache-2.0
//
// What a refused registration means, row by row; and, on this machine's own kernel, what it refuses
// without a NIC.

#include "uapi/ring/zcrx_support.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <vector>

#include "uapi/ring/zcrx_instance.h"

namespace devmem {
namespace {

struct Row {
  int err;
  absl::StatusCode code;
  std::string cause;  // Words of the message.
  std::string remedy;
};

void PrintTo(const Row& row, std::ostream* out) { *out << "errno " << row.err; }

class ZcrxRefusalTest : public testing::TestWithParam<Row> {};

TEST_P(ZcrxRefusalTest, NamesTheQueueTheCauseAndTheRemedy) {
  const absl::Status status = ExplainZcrxRefusal(
      GetParam().err,
      {.device = "eth7", .queue = 3, .area_bytes = 65536, .dmabuf = true, .chunk_bytes = 0});
  EXPECT_EQ(status.code(), GetParam().code) << status;
  const std::string message(status.message());
  EXPECT_NE(message.find("rx queue 3 of eth7"), std::string::npos) << message;
  EXPECT_NE(message.find("65536 bytes of a dma-buf"), std::string::npos) << message;
  EXPECT_NE(message.find(GetParam().cause), std::string::npos) << message;
  EXPECT_NE(message.find(GetParam().remedy), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    EveryErrno, ZcrxRefusalTest,
    testing::Values(
        Row{EPERM, absl::StatusCode::kPermissionDenied, "initial user namespace", "backend kernel"},
        Row{EINVAL, absl::StatusCode::kFailedPrecondition, "all of it must be bound",
            "ethtool -G eth7 tcp-data-split on"},
        Row{ENODEV, absl::StatusCode::kNotFound, "network namespace", "ip link"},
        Row{EOPNOTSUPP, absl::StatusCode::kUnimplemented, "CONFIG_IO_URING_ZCRX", "copy or stack"},
        Row{ERANGE, absl::StatusCode::kOutOfRange, "gve: queue 0", "ethtool -l eth7"},
        Row{EEXIST, absl::StatusCode::kAlreadyExists, "bound already", "xdp off"},
        Row{EBUSY, absl::StatusCode::kFailedPrecondition, "AF_XDP", "another queue"},
        Row{ENOMEM, absl::StatusCode::kResourceExhausted, "RLIMIT_MEMLOCK is", "ulimit -l"},
        Row{ENODATA, absl::StatusCode::kFailedPrecondition, "without the memory", "rx-gro-hw on"},
        Row{EAGAIN, absl::StatusCode::kUnavailable, "down", "ip link set dev eth7 up"},
        Row{ENETDOWN, absl::StatusCode::kUnavailable, "down", "ip link set dev eth7 up"},
        Row{EFAULT, absl::StatusCode::kInvalidArgument, "cannot be pinned", "dma-buf"}));

TEST(ZcrxRefusalTest, ChunksLargerThanAPageAreNamedAmongTheCauses) {
  const absl::Status status =
      ExplainZcrxRefusal(EINVAL, {.device = "eth7", .queue = 1, .chunk_bytes = 16384});
  EXPECT_NE(status.message().find("no chunks of 16384 bytes"), absl::string_view::npos) << status;
}

TEST(ZcrxRefusalTest, ARingThatCannotBeMadeSaysWhy) {
  EXPECT_EQ(ExplainRingRefusal(ENOSYS).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ExplainRingRefusal(EPERM).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ExplainRingRefusal(EINVAL).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ExplainRingRefusal(ENOMEM).code(), absl::StatusCode::kResourceExhausted);
}

// From here on this machine's kernel answers.
class ZcrxKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    const absl::Status usable = CheckZcrx();
    if (!usable.ok()) GTEST_SKIP() << usable.message();
    void* const memory =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    area_ = {.address = memory, .bytes = kBytes};
  }
  void TearDown() override {
    if (area_.address != nullptr) ::munmap(area_.address, kBytes);
  }

  static constexpr uint64_t kBytes = 1 << 20;
  ZcrxArea area_;
};

TEST_F(ZcrxKernelTest, ADeviceThatDoesNoDmaIsRefusedAsSuch) {
  const auto instance = ZcrxInstance::Create(
      {.device = "lo", .ifindex = ::if_nametoindex("lo"), .queue = 0, .refill_entries = 256}, area_,
      QueryZcrx());
  ASSERT_FALSE(instance.ok());
  EXPECT_EQ(instance.status().code(), absl::StatusCode::kUnimplemented) << instance.status();
}

TEST_F(ZcrxKernelTest, ADeviceThatIsNotThereIsRefusedAsSuch) {
  const auto instance = ZcrxInstance::Create(
      {.device = "none", .ifindex = 0x7ffffff0, .queue = 0, .refill_entries = 256}, area_,
      QueryZcrx());
  ASSERT_FALSE(instance.ok());
  EXPECT_EQ(instance.status().code(), absl::StatusCode::kNotFound) << instance.status();
}

}  // namespace
}  // namespace devmem
