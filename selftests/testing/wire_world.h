// SPDX-License-Identifier: Apache-2.0
//
// Two sessions of the public interface, a client and a server, joined by an in-memory link under
// one virtual clock. Whoever waits in one of them moves the clock to the next event and lets the
// other side work, so blocking calls read as they would in a program and a test takes no real time.
// One thread.
//
//   client (end A, 192.0.2.2, one queue)  <-- WireLink -->  server (end B, 192.0.2.1, queue 1
//   bound)
//
// The same options give the same packets at the same times: link().trace_hash() is the proof.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "netmem/nic/wire_link.h"
#include "netmem/stack/clock.h"
#include "provider/region_view.h"
#include "uapi/devmem.h"
#include "uapi/stack_session.h"

namespace devmem::testing {

inline constexpr char kServerAddress[] = "192.0.2.1";
inline constexpr char kClientAddress[] = "192.0.2.2";
inline constexpr uint16_t kPort = 5201;

// The byte at `offset` of the test stream number `seed`: any part of it can be made, and checked,
// alone.
void FillPattern(uint64_t seed, uint64_t offset, std::span<uint8_t> bytes);
// Where `bytes` first differs from the stream at `offset`; nothing when it does not.
std::optional<size_t> FindMismatch(uint64_t seed, uint64_t offset, std::span<const uint8_t> bytes);

struct WireWorldOptions {
  WireWorldOptions();

  WireConfig link;
  SessionOptions server;  // nic and clock are filled in.
  SessionOptions client;
  uint64_t region_bytes = 1 << 20;  // 0: nothing is allocated or bound.
  RegionOptions region;             // Of the rest.
  BindOptions bind;
};

struct ConnectionPair {
  std::unique_ptr<Connection> client;
  std::unique_ptr<Connection> server;
};

class WireWorld {
 public:
  // Stops the program when something cannot be made.
  explicit WireWorld(const WireWorldOptions& options = {});
  ~WireWorld();

  WireLink& link() { return *link_; }
  Session& server() { return *server_; }
  Session& client() { return *client_; }
  Stack& server_stack() { return server_->stack(); }
  Stack& client_stack() { return client_->stack(); }
  Nanos now() const { return link_->now(); }

  Region& region() { return *region_; }
  BindingId binding() const { return *binding_; }
  // Ends the binding that the world made.
  void Unbind();

  // The bytes of a frag of the server: in its region or its host memory.
  std::span<const uint8_t> Bytes(const Frag& frag) const;

  // On the server, with the world's binding or without one.
  std::unique_ptr<Listener> Listen(bool bound = true, uint16_t port = kPort);
  // A connection from the client through a listener that is there.
  ConnectionPair Open(Listener& listener);

  // Runs on every wait of either session, after the other side's turn; must not wait itself.
  void OnWait(std::function<void()> task) { tasks_.push_back(std::move(task)); }
  // Queues `bytes` of stream `seed` on a connection as room comes, then shuts it down. Ends with
  // the connection's own, which must outlive it.
  void PumpFrom(Connection& connection, uint64_t seed, uint64_t bytes);

  // Forgets all tasks and streams, before their connections go.
  void StopTasks() { tasks_.clear(); }

  // Lets both sides work until `done` or for `duration`. Returns whether `done` came to be.
  bool RunUntil(const std::function<bool()>& done, Nanos duration = 10 * kSecond);
  void Run(Nanos duration) {
    (void)RunUntil([] { return false; }, duration);
  }
  // Lets all timers run out and all frames arrive: TIME-WAIT is over afterwards.
  void Settle() { Run(200 * kSecond); }

  // The sum of the server's statistics of that name; fails the test when there is none.
  uint64_t ServerStatistic(const std::string& name) const { return StatisticOf(*server_, name); }
  uint64_t ClientStatistic(const std::string& name) const { return StatisticOf(*client_, name); }

  // Fails the test unless both sides hold nothing: pools sound and idle, no token, no promise, no
  // connection, no frame in the link. Every connection has been destroyed.
  void ExpectNothingLeft();

 private:
  // The clock of one end; a wait drives the other.
  class EndClock final : public Clock {
   public:
    explicit EndClock(WireWorld* world) : world_(world) {}
    Nanos Now() override { return world_->link_->now(); }
    void Wait(std::span<const int>, Nanos until) override { world_->Step(until, this); }

   private:
    WireWorld* const world_;
  };

  void Step(Nanos until, const EndClock* waiter);
  void DriveOthers(const EndClock* waiter);
  void ExpectIdle(StackSession& session);
  static uint64_t StatisticOf(const Session& session, const std::string& name);
  static Nanos NextDeadline(const StackSession& session);

  EndClock server_clock_{this};
  EndClock client_clock_{this};
  std::unique_ptr<WireLink> link_;
  std::unique_ptr<StackSession> server_;
  std::unique_ptr<StackSession> client_;
  std::unique_ptr<Region> region_;
  std::optional<RegionView> view_;
  std::optional<RegionView> host_view_;
  std::optional<BindingId> binding_;
  std::vector<std::function<void()>> tasks_;
  bool in_task_ = false;
};

}  // namespace devmem::testing
