// SPDX-License-Identifier: Apache-2.0
//
// The virtual clock of a world of two sessions, its streams and its tear-down.

#include "selftests/testing/wire_world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "selftests/testing/nic_fixture.h"

namespace devmem::testing {
namespace {

uint64_t PatternWord(uint64_t seed, uint64_t index) {
  uint64_t word = (index + 1) * 0x9e3779b97f4a7c15 ^ seed * 0xbf58476d1ce4e5b9;
  word ^= word >> 29;
  return word * 0x94d049bb133111eb;
}

std::unique_ptr<StackSession> OpenOrFail(SessionOptions options, WireNic& nic, Clock* clock) {
  options.nic = &nic;
  options.clock = clock;
  return ValueOrFail(StackSession::Open(options, "the test asked for it"), "test session");
}

}  // namespace

void FillPattern(uint64_t seed, uint64_t offset, std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const uint64_t word = PatternWord(seed, offset / 8);
    const size_t skip = offset % 8;
    const size_t part = std::min(bytes.size(), 8 - skip);
    std::memcpy(bytes.data(), reinterpret_cast<const uint8_t*>(&word) + skip, part);
    offset += part;
    bytes = bytes.subspan(part);
  }
}

std::optional<size_t> FindMismatch(uint64_t seed, uint64_t offset, std::span<const uint8_t> bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const uint64_t word = PatternWord(seed, (offset + done) / 8);
    const size_t skip = (offset + done) % 8;
    const size_t part = std::min(bytes.size() - done, 8 - skip);
    const uint8_t* wanted = reinterpret_cast<const uint8_t*>(&word) + skip;
    if (std::memcmp(bytes.data() + done, wanted, part) != 0) {
      while (bytes[done] == *wanted) ++done, ++wanted;
      return done;
    }
    done += part;
  }
  return std::nullopt;
}

WireWorldOptions::WireWorldOptions() {
  link.b.queue_count = 2;
  for (SessionOptions* session : {&server, &client}) {
    session->seed = 7;
    session->connections_max = 64;
    session->host_bytes_per_queue = 1 << 20;
  }
  server.addresses = {std::string(kServerAddress) + "/24"};
  client.addresses = {std::string(kClientAddress) + "/24"};
}

WireWorld::WireWorld(const WireWorldOptions& options) {
  link_ = ValueOrFail(WireLink::Create(options.link), "test link");
  server_ = OpenOrFail(options.server, link_->b(), &server_clock_);
  client_ = OpenOrFail(options.client, link_->a(), &client_clock_);
  host_view_ = ValueOrFail(RegionView::Map(*server_->host_region()), "view of the host memory");
  if (options.region_bytes == 0) return;
  RegionOptions region = options.region;
  region.bytes = options.region_bytes;
  region_ = ValueOrFail(server_->Allocate(region), "test region");
  view_ = ValueOrFail(RegionView::Map(*region_), "view of the region");
  binding_ = ValueOrFail(server_->Bind(*region_, options.bind), "test binding");
}

WireWorld::~WireWorld() = default;

void WireWorld::Unbind() {
  const absl::Status unbound = server_->Unbind(*binding_);
  EXPECT_TRUE(unbound.ok()) << unbound;
  binding_.reset();
}

std::span<const uint8_t> WireWorld::Bytes(const Frag& frag) const {
  const bool host = frag.region_id == server_->host_region_id();
  EXPECT_TRUE(host || frag.region_id == region_->id()) << "region " << frag.region_id;
  return (host ? host_view_ : view_)->bytes().subspan(frag.offset, frag.length_bytes);
}

std::unique_ptr<Listener> WireWorld::Listen(bool bound, uint16_t port) {
  std::optional<BindingId> binding;
  if (bound) binding = binding_;
  return ValueOrFail(server_->Listen({.address = kServerAddress, .port = port}, binding),
                     "test listener");
}

ConnectionPair WireWorld::Open(Listener& listener) {
  ConnectionPair pair;
  pair.client = ValueOrFail(client().Connect({.address = kServerAddress, .port = listener.port()}),
                            "test connection");
  pair.server = ValueOrFail(listener.Accept(now() + 60 * kSecond), "accepted connection");
  return pair;
}

void WireWorld::PumpFrom(Connection& connection, uint64_t seed, uint64_t bytes) {
  struct Stream {
    uint64_t offset = 0;
    std::array<uint8_t, 64 << 10> chunk;
    size_t begin = 0, end = 0;
    bool over = false;
  };
  OnWait([stream = std::make_shared<Stream>(), &connection, seed, bytes] {
    while (!stream->over) {
      if (stream->begin == stream->end) {
        stream->begin = 0;
        stream->end = std::min<uint64_t>(bytes - stream->offset, stream->chunk.size());
        FillPattern(seed, stream->offset, std::span(stream->chunk).first(stream->end));
        stream->offset += stream->end;
      }
      if (stream->end == 0) {
        stream->over = true;
        (void)connection.Shutdown();
        return;
      }
      const std::span<const uint8_t> rest =
          std::span(stream->chunk).subspan(stream->begin, stream->end - stream->begin);
      const absl::StatusOr<size_t> sent = connection.Send(rest, 0);
      stream->over = !sent.ok() && !absl::IsDeadlineExceeded(sent.status());
      if (!sent.ok()) return;
      stream->begin += *sent;
    }
  });
}

Nanos WireWorld::NextDeadline(const StackSession& session) {
  Nanos next = kNever;
  for (uint32_t i = 0; i < session.stack().worker_count(); ++i) {
    next = std::min(next, session.stack().worker(i).NextDeadline());
  }
  return next;
}

// The session that waits has found nothing to do; a turn of the other one or a task may change
// that.
void WireWorld::DriveOthers(const EndClock* waiter) {
  if (waiter != &server_clock_) (void)server_->Drive();
  if (waiter != &client_clock_) (void)client_->Drive();
  if (in_task_) return;
  in_task_ = true;
  for (const std::function<void()>& task : tasks_) task();
  in_task_ = false;
}

void WireWorld::Step(Nanos until, const EndClock* waiter) {
  DriveOthers(waiter);
  Nanos next = std::min(until, link_->NextDelivery());
  if (waiter != &server_clock_) next = std::min(next, NextDeadline(*server_));
  if (waiter != &client_clock_) next = std::min(next, NextDeadline(*client_));
  if (next == kNever) Fail("wire world", "waits for ever", "no frame is on its way, no timer runs");
  link_->AdvanceTo(next);
  DriveOthers(waiter);
}

bool WireWorld::RunUntil(const std::function<bool()>& done, Nanos duration) {
  const Nanos end = now() + duration;
  while (!done()) {
    if (now() >= end) return false;
    Step(end, nullptr);
  }
  return true;
}

uint64_t WireWorld::StatisticOf(const Session& session, const std::string& name) {
  for (const Statistic& statistic : session.statistics()) {
    if (statistic.name == name) return statistic.value;
  }
  ADD_FAILURE() << "no statistic is called " << name;
  return 0;
}

void WireWorld::ExpectIdle(StackSession& session) {
  const absl::Status audit = session.stack().Audit();
  EXPECT_TRUE(audit.ok()) << audit;
  EXPECT_TRUE(session.host_account().idle()) << session.host_account().ToString();
  for (uint32_t i = 0; i < session.stack().worker_count(); ++i) {
    const Worker& worker = session.stack().worker(i);
    EXPECT_EQ(worker.tokens_held(), 0u) << "queue " << i;
    EXPECT_EQ(worker.engine().promised_bytes(false), 0u) << "queue " << i;
    EXPECT_EQ(worker.engine().promised_bytes(true), 0u) << "queue " << i;
    EXPECT_EQ(worker.engine().connection_count(), 0u) << "queue " << i;
  }
}

void WireWorld::ExpectNothingLeft() {
  tasks_.clear();
  Settle();
  ExpectIdle(*server_);
  ExpectIdle(*client_);
  if (binding_.has_value()) {
    const absl::StatusOr<Account> account = server_->account(*binding_);
    ASSERT_TRUE(account.ok()) << account.status();
    EXPECT_TRUE(account->idle()) << account->ToString();
  }
  EXPECT_EQ(link_->frames_on_the_way(), 0u);
}

}  // namespace devmem::testing
