// SPDX-License-Identifier: Apache-2.0
//
// The refusal table: each row is reached by what it is about, says a cause and a fix, and stands in
// the documentation; and the kernel's answers, fed through a fake socket, end at the right row.

#include "uapi/netlink/refusal.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "selftests/testing/fake_netlink.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/ethtool_client.h"
#include "uapi/netlink/netdev_client.h"
#include "uapi/netlink/refusal_table.h"

namespace devmem {
namespace {

std::vector<RefusalRow> AllRows() {
  std::vector<RefusalRow> rows;
  for (const auto& part : {BindRefusalRows(), SettingsRefusalRows(), DataRefusalRows()}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }
  return rows;
}

// The error and the state that a row describes, and nothing more.
NetlinkError ErrorOf(const RefusalRow& row) {
  NetlinkError error;
  error.error = row.error != 0 ? row.error : EREMOTEIO;
  error.message = std::string(row.text);
  error.attribute = std::string(row.at);
  return error;
}

RefusalContext ContextOf(const RefusalRow& row) {
  RefusalContext context;
  context.device = "eth7";
  context.driver = "gve";
  context.queues = {row.when == RefusalWhen::kQueueZero ? 0u : 3u};
  context.command_known = row.when != RefusalWhen::kCommandUnknown;
  context.initial_user_namespace = row.when != RefusalWhen::kNotInitialUserNamespace;
  context.xdp_attached = row.when == RefusalWhen::kXdpAttached;
  context.queue_bound = row.when == RefusalWhen::kQueueBound;
  context.queue_af_xdp = row.when == RefusalWhen::kQueueAfXdp;
  context.up = row.when != RefusalWhen::kDeviceDown;
  context.split_enabled = row.when != RefusalWhen::kSplitOff;
  context.hds_thresh = row.when == RefusalWhen::kHdsThreshold ? 640 : 0;
  return context;
}

std::string Describe(const RefusalRow& row) {
  return absl::StrCat(ToString(row.operation), " ", ErrnoName(row.error), " \"", row.text, "\" ",
                      row.at);
}

TEST(RefusalTest, EveryRowIsReachedByWhatItIsAbout) {
  for (const RefusalRow& row : AllRows()) {
    const absl::Status status = ExplainRefusal(row.operation, ErrorOf(row), ContextOf(row));
    EXPECT_EQ(status.code(), row.code) << Describe(row) << "\n" << status.message();
    // The cause up to its first name that is filled in tells the row apart.
    const std::string cause(row.cause.substr(0, row.cause.find('{')));
    EXPECT_TRUE(absl::StrContains(status.message(), cause))
        << Describe(row) << " is hidden by another row: " << status.message();
  }
}

TEST(RefusalTest, EveryRowSaysWhatToDo) {
  for (const RefusalRow& row : AllRows()) {
    EXPECT_GT(row.cause.size(), 10u) << Describe(row);
    EXPECT_GT(row.fix.size(), 10u) << Describe(row);
    EXPECT_NE(row.code, absl::StatusCode::kOk) << Describe(row);
    EXPECT_NE(row.code, absl::StatusCode::kUnknown) << Describe(row);
    const absl::Status status = ExplainRefusal(row.operation, ErrorOf(row), ContextOf(row));
    EXPECT_FALSE(absl::StrContains(status.message(), "{")) << status.message();
  }
}

TEST(RefusalTest, EveryRowIsInTheDocumentation) {
  std::ifstream file("Documentation/nic-setup.md");
  ASSERT_TRUE(file.is_open()) << "run from the repository's root";
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (const RefusalRow& row : AllRows()) {
    EXPECT_TRUE(absl::StrContains(page, std::string(row.cause))) << Describe(row);
    EXPECT_TRUE(absl::StrContains(page, std::string(row.fix))) << Describe(row);
  }
}

TEST(RefusalTest, AMessageNamesWhatWasRefusedWhereAndTheKernelsWords) {
  RefusalContext context;
  context.device = "eth0";
  context.queues = {3};
  const absl::Status status = ExplainRefusal(
      KernelOperation::kBindRx,
      {.error = EINVAL, .message = "tcp-data-split is disabled", .attribute = "", .missing = ""},
      context);
  EXPECT_EQ(status.message(),
            "bind-rx on eth0 queue 3: header split is not set explicitly; that the driver reports "
            "it as on is not enough; ethtool -G eth0 tcp-data-split on "
            "[EINVAL, \"tcp-data-split is disabled\"]");
}

TEST(RefusalTest, OneErrnoOfTwoMeaningsIsToldApartByWhatIsReadBack) {
  const NetlinkError exists = {.error = EEXIST, .message = "", .attribute = "", .missing = ""};
  RefusalContext context;
  context.queues = {3};
  context.xdp_attached = true;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(ExplainRefusal(KernelOperation::kBindRx, exists, context)));
  context.xdp_attached = false;
  EXPECT_TRUE(absl::IsAlreadyExists(ExplainRefusal(KernelOperation::kBindRx, exists, context)));
}

TEST(RefusalTest, ARefusalThatNoRowKnowsKeepsTheKernelsWords) {
  const NetlinkError odd = {
      .error = ENOTTY, .message = "the sky is low", .attribute = "queues.id", .missing = ""};
  const absl::Status status = ExplainRefusal(KernelOperation::kBindRx, odd, {});
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(status.message(), "the sky is low")) << status.message();
  EXPECT_EQ(KernelErrorOf(status), odd);
  EXPECT_EQ(KernelErrorOf(absl::NotFoundError("of ours")), std::nullopt);
  EXPECT_EQ(KernelErrorOf(absl::OkStatus()), std::nullopt);
}

// A kernel whose family lists `commands` and that refuses everything else with an errno and a text.
class RefusingKernel final : public GenlChannel {
 public:
  RefusingKernel(std::vector<uint8_t> commands, NetlinkError error) : error_(std::move(error)) {
    family_.name = "netdev";
    family_.commands = std::move(commands);
  }
  absl::StatusOr<GenlAnswer> Exchange(NetlinkRequest) override {
    return GenlAnswer{.error = error_, .messages = {}};
  }
  const GenlFamily& family() const override { return family_; }

 private:
  GenlFamily family_;
  const NetlinkError error_;
};

absl::Status BindOn(std::vector<uint8_t> commands, int error, std::string text = "",
                    std::string attribute = "") {
  NetdevClient client(std::make_unique<RefusingKernel>(
      std::move(commands), NetlinkError{.error = error,
                                        .message = std::move(text),
                                        .attribute = std::move(attribute),
                                        .missing = ""}));
  const uint32_t queues[] = {3};
  return client.BindRx(2, 5, queues).status();
}

TEST(RefusalTest, AnOldKernelIsToldFromADriverThatCannot) {
  const absl::Status old = BindOn({1, 5, 10, 11}, EOPNOTSUPP);
  EXPECT_TRUE(absl::StrContains(old.message(), "Linux 6.12")) << old.message();
  const absl::Status driver = BindOn({1, 5, 10, 11, 13}, EOPNOTSUPP, "", "ifindex");
  EXPECT_TRUE(absl::StrContains(driver.message(), "restart a single queue")) << driver.message();
}

TEST(RefusalTest, EachLimitOfAnUnfitNicHasItsOwnAnswer) {
  const std::vector<uint8_t> all = {1, 13, 15, 16};
  const auto says = [](const absl::Status& status, const char* text) {
    EXPECT_TRUE(absl::StrContains(status.message(), text)) << status.message();
  };
  says(BindOn(all, EPERM), "CAP_NET_ADMIN");
  says(BindOn(all, EINVAL, "hds-thresh is not zero"), "hds-thresh 0");
  says(BindOn(all, EBUSY, "designated queue already in use by AF_XDP"), "AF_XDP socket uses");
  says(BindOn(all, EEXIST, "designated queue already memory provider bound"), "somebody else's");
  says(BindOn(all, EEXIST, "unable to custom memory provider to device with XDP program attached"),
       "XDP program is attached");
  says(BindOn(all, EAGAIN), "up");
  says(BindOn(all, ENODATA), "splits headers in a way of its own");
  says(BindOn(all, EINVAL, "", "queues.id"), "no rx queue 3");
}

TEST(RefusalTest, AFamilyThatIsNotThereIsAnOldKernel) {
  const auto opened =
      GenlSocket::Open("netdev", std::make_unique<FakeNetlink>([](uint32_t sequence) {
                         NetlinkBytes payload;
                         payload.Raw(-ENOENT).Raw(nlmsghdr{.nlmsg_len = 16,
                                                           .nlmsg_type = 0,
                                                           .nlmsg_flags = 0,
                                                           .nlmsg_seq = sequence,
                                                           .nlmsg_pid = 0});
                         return std::vector<std::vector<uint8_t>>{NetlinkBytes::Message(
                             NLMSG_ERROR, NLM_F_CAPPED, sequence, payload.bytes())};
                       }));
  EXPECT_TRUE(absl::IsNotFound(opened.status())) << opened.status();
  EXPECT_TRUE(absl::StrContains(opened.status().message(), "6.3")) << opened.status();
}

}  // namespace
}  // namespace devmem
