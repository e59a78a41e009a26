// SPDX-License-Identifier: Apache-2.0
//
// How long a stream stands still while its memory moves: 64 MiB are moved under a stream of the
// kernel's at full rate over a TAP, in a network namespace of its own. The pause is the longest
// time without a frag from just before a move until the first frag after it, and beside it stands
// the longest such time of as long a stretch without a move. Every byte is checked where it lies.
// Needs root and /dev/net/tun. Run by `tools/bench regions`.

#include <benchmark/benchmark.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "provider/region_view.h"
#include "selftests/testing/kernel_peer.h"
#include "tools/pattern.h"
#include "uapi/devmem.h"

namespace devmem::bench {
namespace {

using testing::KernelPeer;
using SteadyClock = std::chrono::steady_clock;

constexpr char kKernel[] = "192.0.2.1/24";
constexpr char kOurs[] = "192.0.2.2";
constexpr uint16_t kPort = 5201;
constexpr uint64_t kRegionBytes = 64 << 20;
constexpr uint64_t kSettleBytes = 256 << 20;  // Before the first move, and between two.
constexpr int kMoves = 9;
constexpr PatternSpec kContent = {PatternSpec::Kind::kDemoBlock, 11};

double Microseconds(SteadyClock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// Sends the content over and over until it is reset.
void SendForEver() {
  KernelPeer peer = KernelPeer::Connect(kOurs, kPort);
  Pattern content(kContent);
  uint64_t offset = 0;
  while (true) {
    const auto part = content.At(offset, kPatternBlockBytes);
    if (!peer.SendAll(part)) return;
    offset += part.size();
  }
}

// The session, its stream, and what was seen of it.
class Receiver {
 public:
  // Empty, or why not.
  std::string Open() {
    SessionOptions options;
    options.backend = Backend::kStack;
    options.device = "dmbench";
    options.addresses = {std::string(kOurs) + "/24"};
    options.kernel_address = kKernel;
    auto session = Session::Open(options);
    if (!session.ok()) return std::string(session.status().message());
    session_ = *std::move(session);
    auto region = session_->Allocate({.bytes = kRegionBytes, .kind = AttachmentKind::kMayMove});
    if (!region.ok()) return std::string(region.status().message());
    region_ = *std::move(region);
    auto view = RegionView::Map(*region_);
    auto binding = session_->Bind(*region_, {});
    if (!view.ok() || !binding.ok()) return "the region cannot be bound";
    view_ = *std::move(view);
    auto listener = session_->Listen({.address = kOurs, .port = kPort}, *binding);
    if (!listener.ok()) return std::string(listener.status().message());
    sender_ = std::thread(SendForEver);
    auto connection = (*listener)->Accept(session_->Now() + 10 * kSecond);
    if (!connection.ok()) return std::string(connection.status().message());
    connection_ = *std::move(connection);
    return "";
  }
  ~Receiver() {
    connection_.reset();  // With unread bytes: a reset, which ends the sender.
    if (session_ != nullptr) (void)session_->Drive();
    if (sender_.joinable()) sender_.join();
  }

  // Receives `bytes` more, and until `done`; returns the longest time between two frags. False in
  // ok() when the stream broke or was wrong.
  double Receive(uint64_t bytes, const std::atomic<bool>* done) {
    std::array<Frag, 64> frags;
    double longest = 0;
    auto last = SteadyClock::now();
    for (uint64_t got = 0; ok_ && (got < bytes || (done != nullptr && !done->load()));) {
      const absl::StatusOr<size_t> count = connection_->Recv(frags, session_->Now() + kSecond);
      const auto now = SteadyClock::now();
      longest = std::max(longest, Microseconds(now - std::exchange(last, now)));
      if (!count.ok()) {
        ok_ = false;
        break;
      }
      for (const Frag& frag : std::span(frags).first(*count)) {
        ok_ = ok_ && checker_.Check(view_->bytes().subspan(frag.offset, frag.length_bytes));
        got += frag.length_bytes;
      }
      ok_ = ok_ && connection_->Release(std::span(frags).first(*count)).ok();
    }
    return longest;
  }

  Region& region() { return *region_; }
  bool ok() const { return ok_; }

 private:
  std::unique_ptr<Region> region_;
  std::unique_ptr<Session> session_;
  std::optional<RegionView> view_;
  std::unique_ptr<Connection> connection_;
  std::thread sender_;
  PatternChecker checker_{kContent};
  bool ok_ = true;
};

struct Figures {
  std::string refusal;
  double pause_us = 0;        // Medians over the moves.
  double still_pause_us = 0;  // The same, of stretches without one.
  double move_ms = 0;         // What a move took.
};

Figures Measure() {
  Figures figures;
  if (::unshare(CLONE_NEWNET) != 0) {
    figures.refusal = "needs root to make a network namespace";
    return figures;
  }
  Receiver receiver;
  figures.refusal = receiver.Open();
  if (!figures.refusal.empty()) return figures;
  std::vector<double> pauses, still, moves;
  for (int n = 0; n < kMoves && receiver.ok(); ++n) {
    still.push_back(receiver.Receive(kSettleBytes, nullptr));
    std::atomic<bool> done{false};
    double move_ms = 0;
    std::thread mover([&] {
      const auto start = SteadyClock::now();
      const bool moved = receiver.region().Move().ok();
      move_ms = moved ? Microseconds(SteadyClock::now() - start) / 1000 : -1;
      done.store(true);
    });
    pauses.push_back(receiver.Receive(kSettleBytes, &done));
    mover.join();
    if (move_ms < 0) figures.refusal = "the region would not move";
    moves.push_back(move_ms);
  }
  if (!receiver.ok()) figures.refusal = "the stream broke, or a byte was wrong";
  if (!figures.refusal.empty()) return figures;
  figures.pause_us = Median(pauses);
  figures.still_pause_us = Median(still);
  figures.move_ms = Median(moves);
  return figures;
}

// One measurement for all rows; each reports the counter of its own name.
void MovePause(benchmark::State& state) {
  static const Figures figures = Measure();
  for (auto _ : state) {
  }
  if (!figures.refusal.empty()) {
    state.SkipWithError(figures.refusal.c_str());
    return;
  }
  state.counters["move_pause_us"] = figures.pause_us;
  state.counters["move_none_pause_us"] = figures.still_pause_us;
  state.counters["move_64mib_ms"] = figures.move_ms;
}
BENCHMARK(MovePause)->Name("move_pause_us")->Iterations(1);
BENCHMARK(MovePause)->Name("move_none_pause_us")->Iterations(1);
BENCHMARK(MovePause)->Name("move_64mib_ms")->Iterations(1);

}  // namespace
}  // namespace devmem::bench
