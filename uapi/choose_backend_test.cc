// SPDX-License-Identifier: Apache-2.0
//
// Backend::kAuto on devices that every machine has.

#include "uapi/choose_backend.h"

#include <gtest/gtest.h>

namespace devmem {
namespace {

TEST(ChooseBackendTest, ANicThatCannotIsCopiedFromAndTheReasonIsTold) {
  const auto session = OpenBestSession({.device = "lo"});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ((*session)->info().backend, Backend::kCopy);
  const std::string why = (*session)->info().why;
  EXPECT_EQ(why.rfind("neither the kernel's devmem TCP nor io_uring", 0), 0u) << why;
  EXPECT_NE(why.find(" on lo: "), std::string::npos) << why;
}

TEST(ChooseBackendTest, WhoAsksForTheKernelHearsWhyNot) {
  const auto session = Session::Open({.device = "lo", .backend = Backend::kKernel});
  ASSERT_FALSE(session.ok());
  EXPECT_NE(session.status().message().find("lo"), absl::string_view::npos) << session.status();
  EXPECT_TRUE(absl::IsNotFound(
      Session::Open({.device = "nosuchnic0", .backend = Backend::kKernel}).status()));
}

TEST(ChooseBackendTest, BackendsHaveNames) { EXPECT_EQ(ToString(Backend::kKernel), "kernel"); }

}  // namespace
}  // namespace devmem
