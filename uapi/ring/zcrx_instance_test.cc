// SPDX-License-Identifier: Apache-2.0
//
// Instances of this machine's own kernel, without a NIC (ZCRX_REG_NODEV, Linux 7.1): the kernel
// copies what a loopback connection brings into the area, and everything else is as with a NIC.

#include "uapi/ring/zcrx_instance.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "provider/unique_fd.h"

namespace devmem {
namespace {

constexpr uint64_t kAreaBytes = 1 << 20;
constexpr uint64_t kUserData = 0x1234;

struct Shape {
  bool refill_in_user_memory;
  bool mixed_completions;
};

class ZcrxInstanceTest : public testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    const absl::Status usable = CheckZcrx();
    if (!usable.ok()) GTEST_SKIP() << usable.message();
    const ZcrxSupport support = QueryZcrx();
    if (!support.nodev()) GTEST_SKIP() << "this kernel has no zero-copy receive without a NIC";
    void* const memory =
        ::mmap(nullptr, kAreaBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    area_ = {.address = memory, .bytes = kAreaBytes};
    auto instance = ZcrxInstance::Create({.device = "none",
                                          .refill_entries = 256,
                                          .refill_in_user_memory = GetParam().refill_in_user_memory,
                                          .mixed_completions = GetParam().mixed_completions,
                                          .nodev = true},
                                         area_, support);
    ASSERT_TRUE(instance.ok()) << instance.status();
    instance_ = *std::move(instance);
    Connect();
  }
  void TearDown() override {
    instance_.reset();
    if (area_.address != nullptr) ::munmap(area_.address, kAreaBytes);
  }

  // A TCP connection over the loopback: zero-copy receive takes no other.
  void Connect() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(at);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), bytes), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &bytes), 0);
    peer_.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(peer_.get(), reinterpret_cast<sockaddr*>(&at), bytes), 0);
    socket_.Reset(::accept(listener.get(), nullptr, nullptr));
    ASSERT_TRUE(socket_.valid());
  }

  // The bytes of the next completions until the request ends or `count` have come; each buffer goes
  // back at once.
  std::vector<uint8_t> Receive(size_t count, Completion* last) {
    const uint8_t* const area = static_cast<const uint8_t*>(area_.address);
    std::vector<uint8_t> bytes;
    do {
      EXPECT_EQ(instance_->Enter(), 0);
      Completion completion;
      while (instance_->completions().Next(&completion)) {
        // Events (of copies) and cancellations stand between those of the request.
        if (completion.user_data != kUserData) continue;
        *last = completion;
        if (last->result > 0) {
          const uint64_t offset = last->offset & ~IORING_ZCRX_AREA_MASK;
          bytes.insert(bytes.end(), area + offset, area + offset + last->result);
          EXPECT_TRUE(instance_->refill().Push(offset));
        }
        if (!last->more()) return bytes;
      }
      instance_->completions().Publish();
      instance_->refill().Publish();
      pollfd polled{instance_->fd(), POLLIN, 0};
      if (bytes.size() < count) {
        EXPECT_EQ(::poll(&polled, 1, 60'000), 1);
      }
    } while (bytes.size() < count && !HasFailure());
    return bytes;
  }

  ZcrxArea area_;
  std::unique_ptr<ZcrxInstance> instance_;
  UniqueFd peer_;
  UniqueFd socket_;
};

std::vector<uint8_t> Numbered(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  return bytes;
}

TEST_P(ZcrxInstanceTest, BytesLandInTheAreaAndCopiesAreCounted) {
  ASSERT_TRUE(instance_->Arm(socket_.get(), kUserData, 0));
  const std::vector<uint8_t> sent = Numbered(50'000);
  ASSERT_EQ(::send(peer_.get(), sent.data(), sent.size(), 0), ssize_t{50'000});
  Completion last;
  EXPECT_EQ(Receive(sent.size(), &last), sent);
  EXPECT_TRUE(last.more());
  if (instance_->copies().known) {
    EXPECT_EQ(instance_->copies().bytes, sent.size());
  }
}

TEST_P(ZcrxInstanceTest, AWaiterIsWokenByWhatArrivesLater) {
  ASSERT_TRUE(instance_->Arm(socket_.get(), kUserData, 0));
  EXPECT_EQ(instance_->Enter(), 0);
  pollfd polled{instance_->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 0), 0);
  ASSERT_EQ(::send(peer_.get(), "x", 1, 0), 1);
  EXPECT_EQ(::poll(&polled, 1, 60'000), 1);
  Completion last;
  EXPECT_EQ(Receive(1, &last), std::vector<uint8_t>{'x'});
}

TEST_P(ZcrxInstanceTest, ARequestEndsWithItsCreditAndWithTheStream) {
  ASSERT_TRUE(instance_->Arm(socket_.get(), kUserData, 1000));
  const std::vector<uint8_t> sent = Numbered(1500);
  ASSERT_EQ(::send(peer_.get(), sent.data(), sent.size(), 0), ssize_t{1500});
  ::shutdown(peer_.get(), SHUT_WR);
  Completion last;
  std::vector<uint8_t> bytes = Receive(2000, &last);
  EXPECT_EQ(bytes.size(), 1000u);
  EXPECT_FALSE(last.more());
  EXPECT_EQ(last.result, 0);
  ASSERT_TRUE(instance_->Arm(socket_.get(), kUserData, 1000));
  const std::vector<uint8_t> rest = Receive(2000, &last);
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  EXPECT_EQ(bytes, sent);
  EXPECT_EQ(last.result, 0);
}

TEST_P(ZcrxInstanceTest, ACancelledRequestSaysSo) {
  ASSERT_TRUE(instance_->Arm(socket_.get(), kUserData, 0));
  EXPECT_EQ(instance_->Enter(), 0);
  ASSERT_TRUE(instance_->Cancel(kUserData, kUserData + 1));
  Completion last;
  EXPECT_TRUE(Receive(1, &last).empty());
  EXPECT_EQ(last.result, -ECANCELED);
}

TEST_P(ZcrxInstanceTest, TheRefillRingIsTakenWhenAsked) {
  ASSERT_TRUE(instance_->Arm(socket_.get(), kUserData, 0));
  Completion last;
  // More than the area and the refill ring hold, so buffers must have gone round.
  const std::vector<uint8_t> sent = Numbered(100'000);
  for (uint64_t done = 0; done < 4 * kAreaBytes; done += sent.size()) {
    ASSERT_EQ(::send(peer_.get(), sent.data(), sent.size(), 0), ssize_t{100'000});
    ASSERT_EQ(Receive(sent.size(), &last), sent);
    ASSERT_EQ(instance_->FlushRefill(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ZcrxInstanceTest,
                         testing::Values(Shape{true, false}, Shape{false, false},
                                         Shape{true, true}),
                         [](const testing::TestParamInfo<Shape>& shape) {
                           return std::string(shape.param.refill_in_user_memory ? "OurRefill"
                                                                                : "KernelRefill") +
                                  (shape.param.mixed_completions ? "Mixed" : "Long");
                         });

}  // namespace
}  // namespace devmem
