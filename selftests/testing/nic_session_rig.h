// SPDX-License-Identifier: Apache-2.0
//
// What the tests of sessions over a NIC of the kernel share: the NIC that is played, a session on
// it, and a connection from the loopback. What is held at the end of a test fails it. One thread.

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "provider/region.h"
#include "selftests/testing/fake_nic.h"
#include "selftests/testing/loopback_peer.h"
#include "uapi/devmem.h"

namespace devmem::testing {

class NicSessionRig : public ::testing::Test {
 protected:
  // By the destructor of the test's own rig, whose kernel the session uses.
  void End() {
    connection_.reset();
    listener_.reset();
    if (session_ != nullptr) {
      const auto account = session_->account(binding_);
      if (account.ok()) {
        EXPECT_TRUE(account->idle()) << account->ToString();
      }
      EXPECT_TRUE(session_->host_account().idle());
    }
    session_.reset();
    EXPECT_TRUE(nic_.rules.empty());
    EXPECT_TRUE(nic_.rx_bindings.empty());
  }

  void Use(absl::StatusOr<std::unique_ptr<Session>> session) {
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
  }
  void Bind(const BindOptions& options = {}) {
    const auto binding = session_->Bind(*region_, options);
    ASSERT_TRUE(binding.ok()) << binding.status();
    binding_ = *binding;
  }
  LoopbackPeer AcceptOne(std::optional<BindingId> binding) {
    auto listener = session_->Listen({.address = kLoopback}, binding);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    LoopbackPeer peer = LoopbackPeer::ConnectTo(listener_->port());
    auto connection = listener_->Accept();
    EXPECT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
    return peer;
  }
  uint64_t StatisticOf(const std::string& name) const {
    for (const auto& statistic : session_->statistics()) {
      if (statistic.name == name) return statistic.value;
    }
    ADD_FAILURE() << "no statistic " << name;
    return 0;
  }

  FakeNicState nic_;
  std::unique_ptr<Region> region_;
  std::unique_ptr<Session> session_;
  BindingId binding_ = 0;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace devmem::testing
