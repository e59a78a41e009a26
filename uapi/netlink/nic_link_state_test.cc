// SPDX-License-Identifier: Apache-2.0
//
// What a refused binding tells about the interface's link: NicSetup::BindRx() and WithLinkState()
// on a fake NIC whose link the refusal can cost, as gve's is.

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "selftests/testing/fake_nic_control.h"
#include "uapi/netlink/nic_setup.h"
#include "uapi/netlink/refusal.h"

namespace devmem {
namespace {

constexpr std::array<uint32_t, 1> kQueue3 = {3};

class NicLinkStateTest : public testing::Test {
 protected:
  NicLinkStateTest() {
    std::string pattern = testing::TempDir() + "nic_link_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~NicLinkStateTest() override {
    // Settings can be put back again.
    nic_->refuse = [](const std::string&) { return 0; };
    setup_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Apply() {
    NicSetupOptions options;
    options.device = "eth0";
    options.queues = {3};
    options.journal_path = folder_ + "/journal";
    auto setup = NicSetup::Open(options, std::make_unique<FakeNicControl>(nic_));
    ASSERT_TRUE(setup.ok()) << setup.status();
    setup_ = *std::move(setup);
    ASSERT_TRUE(setup_->Apply().ok());
  }

  std::string folder_;
  std::shared_ptr<FakeNicSettings> nic_ = std::make_shared<FakeNicSettings>();
  std::unique_ptr<NicSetup> setup_;
};

TEST_F(NicLinkStateTest, ARefusedBindingThatCostsTheLinkSaysSoAndHowToWakeTheInterface) {
  Apply();
  nic_->refuse = [](const std::string&) { return EINVAL; };
  const absl::Status refused = setup_->BindRx(5, kQueue3).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_FALSE(absl::StrContains(refused.message(), "link")) << refused;

  nic_->refuse = [this](const std::string&) {
    nic_->link.carrier = false;
    return EINVAL;
  };
  const absl::Status lost = setup_->BindRx(5, kQueue3).status();
  EXPECT_EQ(lost.code(), refused.code());
  EXPECT_TRUE(absl::StartsWith(lost.message(), refused.message())) << lost;
  EXPECT_TRUE(absl::StrContains(lost.message(), "eth0 has had no link since: gve stopped")) << lost;
  EXPECT_TRUE(absl::StrContains(lost.message(), "`ip link set dev eth0 down` and `up`")) << lost;
  ASSERT_TRUE(KernelErrorOf(lost).has_value());
  EXPECT_EQ(KernelErrorOf(lost)->error, EINVAL);
}

TEST_F(NicLinkStateTest, ALinkThatWasNotThereBeforeIsNotLaidAtTheBindingsDoor) {
  nic_->link.carrier = false;
  Apply();
  nic_->refuse = [](const std::string&) { return EINVAL; };
  const absl::Status refused = setup_->BindRx(5, kQueue3).status();
  EXPECT_FALSE(absl::StrContains(refused.message(), "link since")) << refused;
}

TEST_F(NicLinkStateTest, ARefusalOfAnotherKindOfBindingIsToldTheSame) {
  Apply();
  EXPECT_TRUE(setup_->WithLinkState(absl::OkStatus()).ok());
  const absl::Status refused = absl::FailedPreconditionError("io_uring refused");
  EXPECT_EQ(setup_->WithLinkState(refused), refused);
  nic_->link.carrier = false;
  const absl::Status lost = setup_->WithLinkState(refused);
  EXPECT_TRUE(absl::IsFailedPrecondition(lost));
  EXPECT_TRUE(absl::StartsWith(lost.message(), "io_uring refused; and eth0 has had no link since"))
      << lost;
}

}  // namespace
}  // namespace devmem
