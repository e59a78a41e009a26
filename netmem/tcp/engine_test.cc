// SPDX-License-Identifier: Apache-2.0
// The user's calls where they are refused, and handles that have outlived what they named.

#include "netmem/tcp/engine.h"

#include <gtest/gtest.h>

#include "selftests/testing/engine_fixture.h"

namespace devmem::testing {
namespace {

using EngineTest = EngineFixture;
using absl::StatusCode;

TEST_F(EngineTest, ConfigurationsOutsideOfTheirBoundsAreRefused) {
  const auto code = [&](const TcpEngine::Config& config) {
    return TcpEngine::Create(config, h().store.get(), &h().sink).status().code();
  };
  EXPECT_EQ(code({}), StatusCode::kOk);
  EXPECT_EQ(code({.connections_max = 0}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.connections_max = kConnectionsMax + 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.mtu_bytes = kMssBytesMin + 39}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.mtu_bytes = 65536}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.window_bytes_max = 0}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.window_bytes_max = kWindowBytesMax + 1}), StatusCode::kOutOfRange);
  EXPECT_EQ(code({.window_bytes_start = 0}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.window_bytes_start = 1}), StatusCode::kOk);
  EXPECT_EQ(code({.send_buffer_bytes = 0}), StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, AReserveAsLargeAsThePoolIsRefused) {
  engine().DetachDevice(h().now);
  EXPECT_EQ(engine().AttachDevice(h().device->capacity_bytes()).code(),
            StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, AListenerOwnsItsPort) {
  const IpAddress address = IpAddress::FromV4(0xc0000202);
  EXPECT_EQ(engine().Listen(address, kListenPort, 8, true).status().code(),
            StatusCode::kAlreadyExists)
      << "the fixture listens on every address";
  ASSERT_TRUE(engine().Listen(address, 80, 8, true).ok());
  EXPECT_EQ(engine().Listen(address, 80, 8, true).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(engine().Listen(IpAddress::FromV4(0), 80, 8, true).status().code(),
            StatusCode::kAlreadyExists);
  EXPECT_TRUE(engine().Listen(IpAddress::FromV4(1), 80, 8, true).ok());
  EXPECT_TRUE(engine().Listen(IpAddress(), 80, 8, true).ok()) << "IPv6 has ports of its own";
}

TEST_F(EngineTest, PortZeroAndBacklogsOutsideOfTheirBoundsAreRefused) {
  const IpAddress any = IpAddress::FromV4(0);
  EXPECT_EQ(engine().Listen(any, 0, 8, true).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(engine().Listen(any, 80, 0, true).status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(engine().Listen(any, 80, kBacklogMax + 1, true).status().code(),
            StatusCode::kOutOfRange);
}

TEST_F(EngineTest, AnAddressPairInUseCannotBeOpenedAgain) {
  Established();
  EXPECT_EQ(engine().Connect(Flow(), true, h().now).status().code(), StatusCode::kAlreadyExists);
}

TEST_F(EngineTest, WithoutAFreeSlotNothingIsOpened) {
  HarnessSetup setup;
  setup.tcp.connections_max = 1;
  Make(setup);
  Established();
  EXPECT_EQ(engine().Connect(Flow(41000), true, h().now).status().code(),
            StatusCode::kResourceExhausted);
}

TEST_F(EngineTest, AHandleNamesNothingOnceItWasLetGoOf) {
  Established();
  const ConnectionId old = id_;
  engine().Abort(c(), h().now);
  Detach();
  EXPECT_EQ(engine().Find(old), nullptr);
  peer_port_ = 40001;
  Established();
  EXPECT_EQ(id_.index, old.index) << "the slot is used again";
  EXPECT_EQ(engine().Find(old), nullptr);
  EXPECT_NE(engine().Find(id_), nullptr);
  EXPECT_EQ(engine().Find(ConnectionId{}), nullptr);
}

TEST_F(EngineTest, NewsAreListedOnceUntilTheyAreCleared) {
  Established();
  engine().ClearChanged();
  Deliver({.bytes = 10});
  Deliver({.bytes = 10});
  ASSERT_EQ(engine().changed().size(), 1u);
  EXPECT_EQ(engine().changed()[0], id_.index);
  engine().ClearChanged();
  EXPECT_TRUE(engine().changed().empty());
}

TEST_F(EngineTest, TheSendBufferTakesWhatFits) {
  HarnessSetup setup;
  setup.tcp.send_buffer_bytes = 1000;
  Make(setup);
  Established();
  EXPECT_EQ(engine().Send(c(), std::vector<uint8_t>(1500), h().now), 1000u);
  EXPECT_EQ(engine().Send(c(), std::vector<uint8_t>(1), h().now), 0u);
}

TEST_F(EngineTest, ItSaysWhichSegmentsAreItsOwn) {
  Established();
  EXPECT_TRUE(engine().Knows({.flow = Flow(), .flags = kTcpAck}));
  EXPECT_FALSE(engine().Knows({.flow = Flow(41000), .flags = kTcpAck}));
  EXPECT_TRUE(engine().Knows({.flow = Flow(41000), .flags = kTcpSyn}));
}

}  // namespace
}  // namespace devmem::testing
