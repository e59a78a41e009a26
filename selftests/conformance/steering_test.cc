// SPDX-License-Identifier: Apache-2.0
//
// Conformance: a connection without a binding lives in host memory, with the right bytes, also
// beside one that has a binding; and takes nothing from the region.

#include "selftests/conformance/fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

class SteeringTest : public ConformanceTest {
 protected:
  // Sends a stream to a connection without a binding, and reads it.
  void TransferToHost(Link& link, const Stream& stream) {
    StreamSender sender(link.peer, stream);
    std::vector<uint8_t> room(64 << 10);
    for (uint64_t done = 0; done < stream.bytes;) {
      const absl::StatusOr<size_t> got =
          AskWhileSending(sender, [&](Nanos deadline) { return link.ours->Read(room, deadline); });
      ASSERT_TRUE(got.ok()) << got.status();
      ASSERT_GT(*got, 0u);
      ASSERT_EQ(FindMismatch(stream.seed, done, std::span(room).first(*got)), std::nullopt);
      done += *got;
    }
  }
};
DEVMEM_CONFORMANCE_SUITE(SteeringTest);

TEST_P(SteeringTest, AConnectionWithoutABindingGetsItsBytesInHostMemory) {
  const std::unique_ptr<Listener> listener = Listen(std::nullopt);
  Link link = Open(*listener);
  EXPECT_FALSE(link.ours->info().bound);
  const uint64_t steered = Statistic("steered_bytes");
  TransferToHost(link, {.seed = 1, .bytes = options().Scaled(4 << 20)});
  EXPECT_EQ(Statistic("steered_bytes"), steered) << "the region was used";
  link.peer.Close();
  std::array<uint8_t, 1> room;
  EXPECT_EQ(link.ours->Read(room, Soon()).value_or(1), 0u);
}

TEST_P(SteeringTest, AConnectionThatWeOpenWithoutABindingGetsItsBytesInHostMemory) {
  Link link = Dial(std::nullopt);
  TransferToHost(link, {.seed = 1, .bytes = 1 << 20});
  SendAll(*link.ours, 2, 0, 50'000);
  ExpectPeerReads(link.peer, 2, 0, 50'000);
}

TEST_P(SteeringTest, RecvOnAConnectionWithoutABindingSaysToUseRead) {
  const std::unique_ptr<Listener> listener = Listen(std::nullopt);
  Link link = Open(*listener);
  std::array<Frag, 4> frags;
  const absl::Status refused = link.ours->Recv(frags, 0).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_NE(refused.message().find("Read()"), absl::string_view::npos) << refused;
}

TEST_P(SteeringTest, OneWithAndOneWithoutABindingEachGetTheirOwnBytes) {
  const std::unique_ptr<Listener> bound = Listen();
  const std::unique_ptr<Listener> unbound = Listen(std::nullopt);
  Link steered = Open(*bound);
  Link plain = Open(*unbound);
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Transfer(steered, {.seed = seed, .bytes = 200'000});
    TransferToHost(plain, {.seed = 100 + seed, .bytes = 200'000});
    ASSERT_FALSE(HasFailure());
  }
}

TEST_P(SteeringTest, ReadGetsTheRightBytesWhileFragsAreHeld) {
  const std::unique_ptr<Listener> bound = Listen();
  const std::unique_ptr<Listener> unbound = Listen(std::nullopt);
  Link steered = Open(*bound);
  Link plain = Open(*unbound);
  const std::vector<Frag> held = SendAndTake(steered, {.seed = 1, .bytes = 1 << 20});
  TransferToHost(plain, {.seed = 2, .bytes = 1 << 20});
  EXPECT_EQ(Check(held, 1, 0), 1u << 20);
  Release(*steered.ours, held);
}

}  // namespace
}  // namespace devmem::testing
