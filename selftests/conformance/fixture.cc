// SPDX-License-Identifier: Apache-2.0
//
// Sessions, links and streams of the conformance suite.

#include "selftests/conformance/fixture.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr uint16_t kFirstPort = 5201;
// A peer that waits for us is looked at this often: its descriptor cannot be waited for together
// with the session's, which is readable as long as bytes are left unread.
constexpr int kLookAgainMilliseconds = 1;

// What a test cannot go on without. GoogleTest reports what is thrown as the test's failure and
// goes on with the next test, which a run over a backend that lacks something needs.
template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}

}  // namespace

std::string FamilyName(const ::testing::TestParamInfo<Family>& family) {
  return family.param == Family::kIpv4 ? "v4" : "v6";
}

void ConformanceTest::SetUp() {
  if (!EnterWorld()) GTEST_SKIP() << world_->why_not();
  OpenSession();
  if (!HasFatalFailure()) BindFirst();
}

bool ConformanceTest::EnterWorld() {
  world_ = std::make_unique<World>(options(), GetParam());
  return world_->why_not().empty();
}

void ConformanceTest::OpenSession() {
  session_ = Must(Session::Open(world_->session_options()));
  const Region* const host = session_->host_region();
  if (host == nullptr) return;
  views_.insert_or_assign(session_->host_region_id(), Must(RegionView::Map(*host)));
}

void ConformanceTest::BindFirst() {
  region_ = NewRegion();
  ASSERT_NE(region_, nullptr);
  binding_ = Bind(*region_, options().queues[0]);
}

void ConformanceTest::CloseSession() {
  views_.clear();
  binding_.reset();
  session_.reset();
  region_.reset();
}

void ConformanceTest::TearDown() {
  if (session_ == nullptr || HasFatalFailure()) return;
  if (binding_.has_value() && session_->BindingStatus(*binding_).ok()) ExpectIdle(*binding_);
  EXPECT_EQ(Statistic("tokens_issued"), Statistic("tokens_returned"));
  CloseSession();
}

bool ConformanceTest::Expects(const Trait& trait) {
  RecordProperty("expects_" + std::string(trait.matter),
                 std::string(trait.what) + " | " + std::string(trait.why));
  return trait.value;
}

uint16_t ConformanceTest::NextPort() {
  static uint16_t next = kFirstPort;
  return next++;
}

std::unique_ptr<Region> ConformanceTest::NewRegion(uint64_t bytes) {
  std::unique_ptr<Region> region =
      Must(session_->Allocate({.provider = options().provider, .bytes = bytes}));
  views_.insert_or_assign(region->id(), Must(RegionView::Map(*region)));
  return region;
}

BindingId ConformanceTest::Bind(const Region& region, uint32_t queue) {
  return Must(session_->Bind(region, {.queues = {queue}}));
}

std::unique_ptr<Listener> ConformanceTest::Listen(std::optional<BindingId> binding) {
  return Must(session_->Listen({.address = world_->ours(), .port = NextPort()}, binding));
}

Link ConformanceTest::Open(Listener& listener) {
  Link link;
  link.peer = world_->Connect(listener.port());
  link.ours = Must(listener.Accept(Soon()));
  EXPECT_TRUE(Await(link.peer, POLLOUT));
  return link;
}

Link ConformanceTest::Open() {
  const std::unique_ptr<Listener> listener = Listen();
  return Open(*listener);
}

Link ConformanceTest::Dial(std::optional<BindingId> binding) {
  const uint16_t port = NextPort();
  Peer server = world_->Listen(port);
  Link link;
  link.ours = Must(session_->Connect({.address = world_->peers(), .port = port}, binding, Soon()));
  EXPECT_TRUE(Await(server, POLLIN));
  link.peer = server.Accept();
  return link;
}

std::span<const uint8_t> ConformanceTest::Bytes(const Frag& frag) const {
  const auto view = views_.find(frag.region_id);
  if (view == views_.end()) return {};
  const std::span<const uint8_t> all = view->second.bytes();
  if (frag.offset > all.size() || frag.length_bytes > all.size() - frag.offset) return {};
  return all.subspan(frag.offset, frag.length_bytes);
}

uint64_t ConformanceTest::Check(std::span<const Frag> frags, uint64_t seed, uint64_t offset) const {
  uint64_t bytes = 0;
  for (const Frag& frag : frags) {
    const std::span<const uint8_t> part = Bytes(frag);
    EXPECT_GT(frag.length_bytes, 0u);
    EXPECT_NE(frag.token, 0u);
    EXPECT_EQ(part.size(), frag.length_bytes)
        << "region " << frag.region_id << ", offset " << frag.offset;
    EXPECT_EQ(FindMismatch(seed, offset + bytes, part), std::nullopt)
        << "from byte " << offset + bytes;
    bytes += frag.length_bytes;
  }
  return bytes;
}

void ConformanceTest::Release(Connection& connection, std::span<const Frag> frags) {
  const absl::Status released = connection.Release(frags);
  EXPECT_TRUE(released.ok()) << released;
}

void ConformanceTest::Transfer(Link& link, const Stream& stream) {
  StreamSender sender(link.peer, stream);
  std::array<Frag, 64> frags;
  uint64_t received_bytes = 0;
  while (received_bytes < stream.bytes) {
    const absl::StatusOr<size_t> count = RecvWhileSending(sender, *link.ours, frags);
    ASSERT_TRUE(count.ok()) << count.status() << " after " << received_bytes << " bytes";
    ASSERT_GT(*count, 0u) << "the stream ended after " << received_bytes << " bytes";
    received_bytes += Check(std::span(frags).first(*count), stream.seed, received_bytes);
    Release(*link.ours, std::span(frags).first(*count));
    ASSERT_FALSE(HasFailure()) << "at byte " << received_bytes;
  }
  EXPECT_EQ(received_bytes, stream.bytes);
}

std::vector<Frag> ConformanceTest::Take(Connection& connection, uint64_t seed, uint64_t offset,
                                        uint64_t bytes) {
  std::vector<Frag> taken;
  std::array<Frag, 64> frags;
  uint64_t done = 0;
  while (done < bytes) {
    const absl::StatusOr<size_t> count = connection.Recv(frags, Soon());
    EXPECT_TRUE(count.ok()) << count.status();
    if (!count.ok() || *count == 0) break;
    done += Check(std::span(frags).first(*count), seed, offset + done);
    taken.insert(taken.end(), frags.begin(), frags.begin() + static_cast<ptrdiff_t>(*count));
  }
  EXPECT_EQ(done, bytes);
  return taken;
}

std::vector<Frag> ConformanceTest::SendAndTake(Link& link, const Stream& stream) {
  StreamSender sender(link.peer, stream);
  std::vector<Frag> taken;
  uint64_t taken_bytes = 0;
  while (!sender.done() && !HasFailure()) {
    if (!Await(link.peer, POLLOUT)) break;
    const uint64_t pushed = sender.Push();
    const std::vector<Frag> part = Take(*link.ours, stream.seed, taken_bytes, pushed);
    taken.insert(taken.end(), part.begin(), part.end());
    taken_bytes += pushed;
  }
  return taken;
}

void ConformanceTest::PeerSends(Peer& peer, const Stream& stream) {
  StreamSender sender(peer, stream);
  while (!sender.done() && Await(peer, POLLOUT)) sender.Push();
}

void ConformanceTest::ExpectEnd(Connection& connection) {
  std::array<Frag, 4> frags;
  for (int again = 0; again < 2; ++again) {
    const absl::StatusOr<size_t> count = connection.Recv(frags, Soon());
    ASSERT_TRUE(count.ok()) << count.status();
    EXPECT_EQ(*count, 0u);
  }
}

void ConformanceTest::ExpectBroken(Connection& connection) {
  std::array<Frag, 4> frags;
  for (int again = 0; again < 2; ++again) {
    const absl::StatusOr<size_t> count = connection.Recv(frags, Soon());
    EXPECT_TRUE(absl::IsUnavailable(count.status())) << count.status();
  }
}

void ConformanceTest::SendAll(Connection& connection, uint64_t seed, uint64_t offset,
                              uint64_t bytes) {
  std::vector<uint8_t> all(bytes);
  FillPattern(seed, offset, all);
  for (size_t done = 0; done < all.size();) {
    const absl::StatusOr<size_t> sent = connection.Send(std::span(all).subspan(done), Soon());
    ASSERT_TRUE(sent.ok()) << sent.status();
    ASSERT_GT(*sent, 0u);
    done += *sent;
  }
}

ssize_t ConformanceTest::PeerReceives(Peer& peer, std::span<uint8_t> room) {
  if (!Await(peer, POLLIN)) return -ETIMEDOUT;
  return peer.Receive(room);
}

void ConformanceTest::ExpectPeerReads(Peer& peer, uint64_t seed, uint64_t offset, uint64_t bytes) {
  std::vector<uint8_t> room(64 << 10);
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t got =
        PeerReceives(peer, std::span(room).first(std::min<uint64_t>(room.size(), bytes - done)));
    ASSERT_GT(got, 0) << std::strerror(static_cast<int>(-got)) << " after " << done << " bytes";
    const auto part = std::span(room).first(static_cast<size_t>(got));
    ASSERT_EQ(FindMismatch(seed, offset + done, part), std::nullopt) << "from byte " << done;
    done += part.size();
  }
}

void ConformanceTest::ExpectPeerReadsEnd(Peer& peer) {
  std::array<uint8_t, 1> room;
  EXPECT_EQ(PeerReceives(peer, room), 0);
}

void ConformanceTest::ExpectPeerReset(Peer& peer) {
  std::array<uint8_t, 4096> room;
  ssize_t got = 0;
  do {
    got = PeerReceives(peer, room);
  } while (got > 0);
  EXPECT_EQ(got, -ECONNRESET);
}

bool ConformanceTest::Await(const Peer& peer, short events) {
  return AwaitThat([&] {
    pollfd polled{peer.fd(), events, 0};
    return ::poll(&polled, 1, kLookAgainMilliseconds) == 1;
  });
}

bool ConformanceTest::AwaitThat(const std::function<bool()>& done) {
  const Nanos deadline = Soon();
  while (!done()) {
    session_->Drive();
    if (session_->Now() >= deadline) {
      ADD_FAILURE() << "nothing happened for a long while";
      return false;
    }
    session_->Wait(session_->Now() + kMillisecond);
  }
  return true;
}

uint64_t ConformanceTest::Statistic(const std::string& name) const {
  for (const devmem::Statistic& statistic : session_->statistics()) {
    if (statistic.name == name) return statistic.value;
  }
  ADD_FAILURE() << "the session has no statistic " << name;
  return 0;
}

Account ConformanceTest::AccountOf(BindingId binding) const {
  const absl::StatusOr<Account> account = session_->account(binding);
  EXPECT_TRUE(account.ok()) << account.status();
  return account.value_or(Account{});
}

void ConformanceTest::ExpectIdle(BindingId binding) {
  EXPECT_TRUE(AwaitThat([&] {
    return AccountOf(binding).idle() && session_->host_account().idle();
  })) << AccountOf(binding).ToString()
      << "\nhost " << session_->host_account().ToString();
}

}  // namespace devmem::testing
