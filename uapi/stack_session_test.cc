// SPDX-License-Identifier: Apache-2.0
//
// What a session of the stack backend refuses, with what words, and what it says about itself.

#include "uapi/stack_session.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

// A status of that code whose message has all of the words.
void ExpectRefused(const absl::Status& status, absl::StatusCode code,
                   std::initializer_list<const char*> words) {
  EXPECT_EQ(status.code(), code) << status;
  for (const char* word : words) {
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << word << " in: " << status;
  }
}

class StackSessionTest : public ::testing::Test {
 protected:
  void TearDown() override { world_.ExpectNothingLeft(); }

  absl::Status BindStatus(const BindOptions& options) {
    return world_.server().Bind(*other_, options).status();
  }
  absl::Status ListenStatus(const ListenOptions& options,
                            std::optional<BindingId> binding = std::nullopt) {
    return world_.server().Listen(options, binding).status();
  }
  absl::Status ConnectStatus(const ConnectOptions& options, Nanos deadline = kNever) {
    return world_.client().Connect(options, std::nullopt, deadline).status();
  }

  WireWorld world_;
  std::unique_ptr<Region> other_ =
      ValueOrFail(world_.server().Allocate({.bytes = 1 << 20}), "another region");
};

TEST_F(StackSessionTest, SaysWhatItIs) {
  const SessionInfo& info = world_.server().info();
  EXPECT_EQ(info.backend, Backend::kStack);
  EXPECT_EQ(info.nic, "wire");
  EXPECT_EQ(info.steering, "rules");
  EXPECT_EQ(info.queue_count, 2u);
  EXPECT_EQ(info.mtu_bytes, 1500u);
  EXPECT_FALSE(info.why.empty());
  EXPECT_EQ(world_.server().fd(), -1);
}

TEST_F(StackSessionTest, RefusesQueuesThatAreNotThereOrBoundAlready) {
  ExpectRefused(BindStatus({.queues = {2}}), absl::StatusCode::kOutOfRange, {"queue 2", "has 2"});
  ExpectRefused(BindStatus({.queues = {1}}), absl::StatusCode::kFailedPrecondition,
                {"queue 1", "already bound", "unbind"});
  ExpectRefused(BindStatus({.queues = {}}), absl::StatusCode::kInvalidArgument, {"no rx queue"});
}

TEST_F(StackSessionTest, KeepsOneQueueUnbound) {
  ExpectRefused(BindStatus({.queues = {0}}), absl::StatusCode::kFailedPrecondition,
                {"2 queues", "more queues"});
  // The refusal changed nothing: the queue still serves unsteered connections.
  std::unique_ptr<Listener> listener = world_.Listen(false);
  ConnectionPair pair = world_.Open(*listener);
  EXPECT_EQ(pair.server->info().queue, 0u);
}

TEST_F(StackSessionTest, RefusesRangesThatAreTooSmallOrOutsideOfTheRegion) {
  world_.Unbind();
  ExpectRefused(BindStatus({.queues = {1}, .bytes = 64 << 10}), absl::StatusCode::kInvalidArgument,
                {"65536 bytes", "too small"});
  ExpectRefused(BindStatus({.queues = {1}, .offset = 1 << 20}), absl::StatusCode::kInvalidArgument,
                {"0 bytes"});
  ExpectRefused(BindStatus({.queues = {1}, .offset = 4096, .bytes = 1 << 20}),
                absl::StatusCode::kOutOfRange, {"1048576 bytes", "beyond"});
  ExpectRefused(BindStatus({.queues = {1}, .offset = 100}), absl::StatusCode::kInvalidArgument,
                {"byte 100", "multiple"});
  // And after all of these the queue is free.
  const absl::StatusOr<BindingId> bound = world_.server().Bind(*other_, {.queues = {1}});
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_TRUE(world_.server().Unbind(*bound).ok());
}

TEST_F(StackSessionTest, RefusesARangeThatAnotherBindingHas) {
  WireWorldOptions options;
  options.link.b.queue_count = 3;
  options.region_bytes = 4 << 20;
  options.bind.bytes = 2 << 20;
  WireWorld world(options);
  Session& server = world.server();
  const absl::Status overlapping =
      server.Bind(world.region(), {.queues = {2}, .offset = 1 << 20}).status();
  ExpectRefused(overlapping, absl::StatusCode::kFailedPrecondition, {"overlap"});
  EXPECT_TRUE(server.Bind(world.region(), {.queues = {2}, .offset = 2 << 20}).ok());
}

TEST_F(StackSessionTest, AnImportedRegionIsBoundLikeAnyOther) {
  world_.Unbind();
  const auto imported = world_.server().ImportDmabuf(other_->fd(), 512 << 10, 0);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ((*imported)->size_bytes(), uint64_t{512 << 10});
  const absl::StatusOr<BindingId> bound = world_.server().Bind(**imported, {.queues = {1}});
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_TRUE(world_.server().Unbind(*bound).ok());
  ExpectRefused(world_.server().ImportDmabuf(-1, 0, 0).status(), absl::StatusCode::kInvalidArgument,
                {"descriptor -1", "not open"});
}

TEST_F(StackSessionTest, AnUnknownBindingIsNotFound) {
  ExpectRefused(world_.server().Unbind(99), absl::StatusCode::kNotFound, {"99"});
  ExpectRefused(world_.server().account(99).status(), absl::StatusCode::kNotFound, {"99"});
  ExpectRefused(ListenStatus({.address = kServerAddress, .port = 1}, 99),
                absl::StatusCode::kNotFound, {"99"});
  const BindingId binding = world_.binding();
  world_.Unbind();
  ExpectRefused(world_.server().Unbind(binding), absl::StatusCode::kNotFound, {});
}

TEST_F(StackSessionTest, ListensOnItsOwnAddressesOnly) {
  ExpectRefused(ListenStatus({.address = "192.0.2.77", .port = 80}),
                absl::StatusCode::kFailedPrecondition, {"192.0.2.77", "192.0.2.1/24"});
  ExpectRefused(ListenStatus({.address = "here", .port = 80}), absl::StatusCode::kInvalidArgument,
                {"'here'"});
  ExpectRefused(ListenStatus({.address = kServerAddress, .port = 0}),
                absl::StatusCode::kInvalidArgument, {"port 0"});
  ExpectRefused(ListenStatus({.address = kServerAddress, .port = 80, .backlog = 0}),
                absl::StatusCode::kOutOfRange, {"backlog is 0"});
}

TEST_F(StackSessionTest, APortHasOneListenerBoundOrNot) {
  for (const bool first_bound : {true, false}) {
    std::unique_ptr<Listener> first = world_.Listen(first_bound);
    const ListenOptions same{.address = kServerAddress, .port = kPort};
    ExpectRefused(ListenStatus(same), absl::StatusCode::kAlreadyExists, {"5201"});
    ExpectRefused(ListenStatus(same, world_.binding()), absl::StatusCode::kAlreadyExists, {"5201"});
    EXPECT_TRUE(ListenStatus({.address = kServerAddress, .port = kPort + 1}).ok());
  }
  // With the listener the port and its rule are free.
  EXPECT_TRUE(world_.link().b().ListRules().empty());
  EXPECT_NE(world_.Listen(), nullptr);
}

TEST_F(StackSessionTest, ARuleThatAnotherQueueHasRefusesTheListenerAndLeavesNothing) {
  FlowMatch match;
  match.local = *ParseIpAddress(kServerAddress);
  match.local_port = kPort;
  const FlowRuleId rule = *world_.link().b().AddRule(match, 0);
  const ListenOptions same{.address = kServerAddress, .port = kPort};
  ExpectRefused(ListenStatus(same, world_.binding()), absl::StatusCode::kAlreadyExists,
                {"queue 0"});
  ASSERT_TRUE(world_.link().b().DeleteRule(rule).ok());
  EXPECT_TRUE(ListenStatus(same, world_.binding()).ok());
}

TEST_F(StackSessionTest, AQueueThatIsNotTheBindingsIsRefused) {
  ExpectRefused(ListenStatus({.address = kServerAddress, .port = 80, .queue = 0}, world_.binding()),
                absl::StatusCode::kOutOfRange, {"queue 0", "has 1"});
  EXPECT_TRUE(
      ListenStatus({.address = kServerAddress, .port = 80, .queue = 1}, world_.binding()).ok());
}

TEST_F(StackSessionTest, ConnectingToAPortWhereNobodyListensIsRefused) {
  const absl::Status refused = ConnectStatus({.address = kServerAddress, .port = 80});
  ExpectRefused(refused, absl::StatusCode::kUnavailable, {"192.0.2.1:80", "refused"});
  EXPECT_EQ(world_.client_stack().worker(0).engine().connection_count(), 0u);
}

TEST_F(StackSessionTest, ConnectingToNobodyTimesOutAfterTwoMinutes) {
  const Nanos begin = world_.now();
  const absl::Status silent = ConnectStatus({.address = "192.0.2.99", .port = 80});
  ExpectRefused(silent, absl::StatusCode::kUnavailable, {"192.0.2.99:80", "timed out"});
  // 1 s doubling six times, the last time only to the longest timeout that there is.
  EXPECT_EQ(world_.now() - begin, 63 * kSecond + kRtoMax);
}

TEST_F(StackSessionTest, AConnectWithADeadlineGivesUpThenAndCancelsTheOpen) {
  const Nanos begin = world_.now();
  const absl::Status late =
      ConnectStatus({.address = "192.0.2.99", .port = 80}, begin + 5 * kSecond);
  ExpectRefused(late, absl::StatusCode::kDeadlineExceeded, {"192.0.2.99:80"});
  EXPECT_EQ(world_.now(), begin + 5 * kSecond);
  EXPECT_EQ(world_.client_stack().worker(0).engine().connection_count(), 0u);
}

TEST_F(StackSessionTest, RefusesConnectsThatCannotBe) {
  ExpectRefused(ConnectStatus({.address = "nowhere", .port = 80}),
                absl::StatusCode::kInvalidArgument, {"'nowhere'"});
  ExpectRefused(ConnectStatus({.address = kServerAddress, .port = 0}),
                absl::StatusCode::kInvalidArgument, {"port 0"});
  ExpectRefused(
      ConnectStatus({.address = kServerAddress, .port = 80, .local_address = "192.0.2.9"}),
      absl::StatusCode::kFailedPrecondition, {"192.0.2.9", "192.0.2.2/24"});
}

TEST_F(StackSessionTest, AFourTupleIsOneConnection) {
  std::unique_ptr<Listener> listener = world_.Listen();
  const ConnectOptions same{.address = kServerAddress, .port = kPort, .local_port = 50000};
  std::unique_ptr<Connection> first = ValueOrFail(world_.client().Connect(same), "connection");
  EXPECT_EQ(first->info().local, "192.0.2.2:50000");
  ExpectRefused(ConnectStatus(same), absl::StatusCode::kAlreadyExists, {"50000"});
  first->Abort();
}

TEST_F(StackSessionTest, AnActiveOpenIntoARegionSteersItsAnswersThere) {
  std::unique_ptr<Listener> listener = ValueOrFail(
      world_.client().Listen({.address = kClientAddress, .port = 80}), "listener of the client");
  std::unique_ptr<Connection> ours = ValueOrFail(
      world_.server().Connect({.address = kClientAddress, .port = 80}, world_.binding()),
      "active open");
  EXPECT_EQ(world_.link().b().ListRules().size(), 1u);
  std::unique_ptr<Connection> theirs = ValueOrFail(listener->Accept(), "accepted");
  world_.PumpFrom(*theirs, 3, 1 << 20);
  std::array<Frag, 32> frags;
  uint64_t offset = 0;
  while (const size_t count = ValueOrFail(ours->Recv(frags), "frags")) {
    for (const Frag& frag : std::span(frags).first(count)) {
      EXPECT_EQ(frag.region_id, world_.region().id());
      EXPECT_EQ(FindMismatch(3, offset, world_.Bytes(frag)), std::nullopt);
      offset += frag.length_bytes;
    }
    EXPECT_TRUE(ours->Release(std::span(frags).first(count)).ok());
  }
  EXPECT_EQ(offset, 1u << 20);
  EXPECT_EQ(world_.ServerStatistic("payload_bytes_bounced"), 0u);
  ours.reset();
  EXPECT_TRUE(world_.link().b().ListRules().empty());
}

TEST_F(StackSessionTest, StatisticsHaveOneNameEach) {
  std::set<std::string> names;
  for (const Statistic& statistic : world_.server().statistics()) {
    EXPECT_TRUE(names.insert(statistic.name).second) << statistic.name;
    EXPECT_EQ(statistic.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_."),
              std::string::npos)
        << statistic.name;
  }
  EXPECT_GT(names.size(), 40u);
}

TEST(StackSessionOpenTest, RefusesAnOptionThatCannotBeAndNamesIt) {
  std::unique_ptr<WireLink> link = ValueOrFail(WireLink::Create({}), "link");
  SessionOptions options;
  options.backend = Backend::kStack;
  options.nic = &link->a();
  ExpectRefused(Session::Open(options).status(), absl::StatusCode::kInvalidArgument,
                {"no address"});
  options.addresses = {"192.0.2.1"};
  options.host_bytes_per_queue = 4096;
  ExpectRefused(Session::Open(options).status(), absl::StatusCode::kOutOfRange, {"4096"});
  options.host_bytes_per_queue = 1 << 20;
  options.threading = Threading::kThread;
  options.clock = &Clock::System();
  ExpectRefused(Session::Open(options).status(), absl::StatusCode::kInvalidArgument, {"clock"});
  options.threading = Threading::kInline;
  options.record_path = "/nowhere/at/all.pcapng";
  ExpectRefused(Session::Open(options).status(), absl::StatusCode::kNotFound,
                {"/nowhere/at/all.pcapng"});
}

TEST(StackSessionRecordTest, WritesEveryFramesHeadersToAPcapngFile) {
  const std::string path = ::testing::TempDir() + "/devmem_stack_session.pcapng";
  {
    WireWorldOptions options;
    options.server.record_path = path;
    WireWorld world(options);
    std::unique_ptr<Listener> listener = world.Listen();
    ConnectionPair pair = world.Open(*listener);
  }
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  // A section header block, an interface, and at least ARP, its answer and the handshake.
  ASSERT_GT(bytes.size(), 28u + 20u + 5u * 32u);
  EXPECT_EQ(bytes.substr(0, 4), "\x0a\x0d\x0d\x0a");
  EXPECT_NE(bytes.find(std::string("\xc0\x00\x02\x01", 4)), std::string::npos) << "192.0.2.1";
  std::remove(path.c_str());
}

}  // namespace
}  // namespace devmem::testing
