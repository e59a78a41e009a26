// SPDX-License-Identifier: Apache-2.0
//
// The fixture of every conformance test: a session of the backend under test with one region bound
// to its first queue, in a world of its own or a given one, over IPv4 and over IPv6. The test's
// thread runs the session and, without blocking, the peers.
//
// Tear-down holds every test to the account: no net_iov in use, no token out.

#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "provider/region_view.h"
#include "selftests/conformance/expectations.h"
#include "selftests/conformance/peer.h"
#include "selftests/conformance/world.h"
#include "uapi/devmem.h"

namespace devmem::testing {

// One connection with its peer.
struct Link {
  std::unique_ptr<Connection> ours;
  Peer peer;
};

class ConformanceTest : public ::testing::TestWithParam<Family> {
 protected:
  // What a test waits for before it fails. Nothing takes so long, also not in an emulated machine.
  static constexpr Nanos kPatience = 120 * kSecond;
  // How long one side is waited for before the other may go on.
  static constexpr Nanos kTurn = 2 * kMillisecond;
  // How long nothing must happen until a test takes it that nothing more will. Where it is too
  // short on a slow machine, the test asks for less, and does not fail.
  static constexpr Nanos kQuiet = 250 * kMillisecond;

  void SetUp() override;
  void TearDown() override;

  // SetUp() in parts, for tests that open the session later or again.
  bool EnterWorld();
  void OpenSession();
  void BindFirst();
  void CloseSession();

  const WorldOptions& options() const { return TheWorldOptions(); }
  const Expectations& expectations() const {
    return ExpectationsOf(options().backend, options().threading);
  }
  // Asks for a matter in which the backends differ, and records that for the table.
  bool Expects(const Trait& trait);
  Nanos Soon() const { return session_->Now() + kPatience; }
  // A port that no test of this process used before: what lingers there disturbs nobody.
  static uint16_t NextPort();

  std::unique_ptr<Region> NewRegion(uint64_t bytes);
  std::unique_ptr<Region> NewRegion() { return NewRegion(options().region_bytes); }
  BindingId Bind(const Region& region, uint32_t queue);
  std::unique_ptr<Listener> Listen(std::optional<BindingId> binding);
  std::unique_ptr<Listener> Listen() { return Listen(*binding_); }
  // A connection from the peer through a listener that is there.
  Link Open(Listener& listener);
  Link Open();
  // A connection to the peer.
  Link Dial(std::optional<BindingId> binding);

  std::span<const uint8_t> Bytes(const Frag& frag) const;
  // Fails the test unless the frags are in regions of ours and hold the stream from `offset` on.
  // Returns their bytes.
  uint64_t Check(std::span<const Frag> frags, uint64_t seed, uint64_t offset) const;
  void Release(Connection& connection, std::span<const Frag> frags);

  // Lets `sender` go on while `ask(deadline)`, a Recv() or a Read() of ours, finds nothing. A full
  // socket does not say that bytes are under way: all may be here, and only the word of that not
  // yet with the peer.
  template <typename Ask>
  absl::StatusOr<size_t> AskWhileSending(StreamSender& sender, const Ask& ask) {
    const Nanos end = Soon();
    for (;;) {
      sender.Push();
      const Nanos turn = sender.done() ? end : session_->Now() + kTurn;
      const absl::StatusOr<size_t> answer = ask(turn);
      if (!absl::IsDeadlineExceeded(answer.status()) || session_->Now() >= end) return answer;
    }
  }
  absl::StatusOr<size_t> RecvWhileSending(StreamSender& sender, Connection& ours,
                                          std::span<Frag> frags) {
    return AskWhileSending(sender, [&](Nanos deadline) { return ours.Recv(frags, deadline); });
  }
  // Sends a stream and receives it, each byte checked, each frag released at once.
  void Transfer(Link& link, const Stream& stream);
  // Takes the next `bytes` bytes as frags, checked, and keeps them.
  std::vector<Frag> Take(Connection& connection, uint64_t seed, uint64_t offset, uint64_t bytes);
  // Sends from the peer and takes at our side: for streams that fit what a receiver can hold.
  std::vector<Frag> SendAndTake(Link& link, const Stream& stream);
  // Sends a stream that fits the socket buffers on the way, to its last byte.
  void PeerSends(Peer& peer, const Stream& stream);
  // Expects the end of the stream, and that it stays the end.
  void ExpectEnd(Connection& connection);
  void ExpectBroken(Connection& connection);

  // Sends from our side, to the last byte.
  void SendAll(Connection& connection, uint64_t seed, uint64_t offset, uint64_t bytes);
  // What the peer gets, with the session being driven: `bytes` bytes of the pattern; the end; a
  // reset.
  void ExpectPeerReads(Peer& peer, uint64_t seed, uint64_t offset, uint64_t bytes);
  void ExpectPeerReadsEnd(Peer& peer);
  void ExpectPeerReset(Peer& peer);
  // Drives the session until poll(2) says `events` of the peer. False after a long while.
  bool Await(const Peer& peer, short events);
  // Drives the session until `done`. False after a long while.
  bool AwaitThat(const std::function<bool()>& done);

  uint64_t Statistic(const std::string& name) const;
  Account AccountOf(BindingId binding) const;
  // Fails the test unless everything was given back.
  void ExpectIdle(BindingId binding);

  std::unique_ptr<World> world_;
  std::unique_ptr<Region> region_;
  std::map<uint32_t, RegionView> views_;  // By Region::id().
  std::unique_ptr<Session> session_;
  std::optional<BindingId> binding_;

 private:
  ssize_t PeerReceives(Peer& peer, std::span<uint8_t> room);
};

// The last part of a test's name.
std::string FamilyName(const ::testing::TestParamInfo<Family>& family);

// For every suite: its tests over both families.
#define DEVMEM_CONFORMANCE_SUITE(suite)                                                      \
  INSTANTIATE_TEST_SUITE_P(                                                                  \
      OverIp, suite,                                                                         \
      ::testing::Values(::devmem::testing::Family::kIpv4, ::devmem::testing::Family::kIpv6), \
      ::devmem::testing::FamilyName)

}  // namespace devmem::testing
