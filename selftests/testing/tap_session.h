// SPDX-License-Identifier: Apache-2.0
//
// A session of the stack backend on a TAP, in a network namespace of the test's own, with the
// kernel at the other end: 192.0.2.1 is the kernel's, 192.0.2.2 ours. Needs root and /dev/net/tun;
// a test says so and is skipped where they are missing.

#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "provider/region_view.h"
#include "selftests/testing/kernel_peer.h"
#include "selftests/testing/tap_fixture.h"
#include "selftests/testing/wire_world.h"
#include "uapi/devmem.h"

namespace devmem::testing {

class TapSessionTest : public ::testing::Test {
 protected:
  static constexpr char kKernel[] = "192.0.2.1";
  static constexpr char kOurs[] = "192.0.2.2";
  static constexpr Nanos kPatience = 60 * kSecond;

  virtual Threading threading() const { return Threading::kThread; }

  void SetUp() override {
    const std::string reason = EnterNewNetwork();
    if (!reason.empty()) GTEST_SKIP() << reason;
    SessionOptions options;
    options.backend = Backend::kStack;
    options.device = "dmt1";
    options.addresses = {std::string(kOurs) + "/24"};
    options.kernel_address = std::string(kKernel) + "/24";
    options.queue_count = 3;
    options.connections_max = 64;
    options.threading = threading();
    session_ = ValueOrFail(Session::Open(options), "test session");
    region_ = ValueOrFail(session_->Allocate({.bytes = 8 << 20}), "test region");
    view_ = ValueOrFail(RegionView::Map(*region_), "view of the region");
    host_view_ = ValueOrFail(RegionView::Map(*session_->host_region()), "view of the host memory");
    binding_ = ValueOrFail(session_->Bind(*region_, {.queues = {1}}), "test binding");
  }

  // Every connection and listener has gone. Waits for what the kernel still has to answer.
  void TearDown() override {
    if (session_ == nullptr) return;
    if (binding_.has_value()) {
      const absl::StatusOr<Account> account = session_->account(*binding_);
      ASSERT_TRUE(account.ok()) << account.status();
      EXPECT_TRUE(account->idle()) << account->ToString();
    }
    EXPECT_TRUE(session_->host_account().idle()) << session_->host_account().ToString();
  }

  Nanos Soon() const { return session_->Now() + kPatience; }

  std::unique_ptr<Listener> Listen(uint16_t port, std::optional<BindingId> binding) {
    return ValueOrFail(session_->Listen({.address = kOurs, .port = port}, binding),
                       "test listener");
  }
  std::unique_ptr<Connection> Accept(Listener& listener) {
    return ValueOrFail(listener.Accept(Soon()), "accepted connection");
  }

  std::span<const uint8_t> Bytes(const Frag& frag) const {
    const bool host = frag.region_id == session_->host_region_id();
    return (host ? host_view_ : view_)->bytes().subspan(frag.offset, frag.length_bytes);
  }

  // Takes the stream to its end as frags and releases them. Returns its bytes, all of them right.
  // Good on any thread.
  uint64_t ReceiveAll(Connection& connection, uint64_t seed, uint64_t offset = 0) {
    std::array<Frag, 64> frags;
    while (true) {
      const absl::StatusOr<size_t> count = connection.Recv(frags, Soon());
      EXPECT_TRUE(count.ok()) << count.status();
      if (!count.ok() || *count == 0) return offset;
      for (const Frag& frag : std::span(frags).first(*count)) {
        EXPECT_EQ(FindMismatch(seed, offset, Bytes(frag)), std::nullopt) << "from byte " << offset;
        offset += frag.length_bytes;
      }
      const absl::Status released = connection.Release(std::span(frags).first(*count));
      EXPECT_TRUE(released.ok()) << released;
    }
  }

  std::unique_ptr<Region> region_;
  std::optional<RegionView> view_;
  std::optional<RegionView> host_view_;
  std::unique_ptr<Session> session_;
  std::optional<BindingId> binding_;
};

}  // namespace devmem::testing
