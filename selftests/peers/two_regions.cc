// SPDX-License-Identifier: Apache-2.0
//
// Receives three streams at once on one device: two into regions of their own, each bound to an rx
// queue of its own, and one into host memory without a flow rule. Started by peers_test.py in a
// network namespace; the peers connect to ports 5201, 5202 and 5203. Prints `ready`, and at the end
// one JSON object with what each stream brought. Single thread, inline session.
//
// usage: two_regions ADDRESS KERNEL_ADDRESS/BITS

#include <memory>
#include <optional>
#include <vector>

#include "provider/region_view.h"
#include "selftests/peers/peer_program.h"

namespace devmem::peers {
namespace {

constexpr uint64_t kRegionBytes = 16u << 20;
constexpr uint16_t kFirstPort = 5201;

// One listener and the one connection that it gets.
class Stream {
 public:
  Stream(Session& session, const char* address, uint16_t port, std::optional<uint32_t> queue)
      : session_(session) {
    if (queue.has_value()) {
      region_ = OrDie(session.Allocate({.bytes = kRegionBytes}));
      view_.emplace(OrDie(RegionView::Map(*region_)));
      binding_ = OrDie(session.Bind(*region_, {.queues = {*queue}}));
    }
    listener_ = OrDie(session.Listen({.address = address, .port = port}, binding_));
  }

  bool ended() const { return ended_; }

  // Does what can be done without waiting; whether that was anything.
  bool Step() {
    if (ended_) return false;
    if (connection_ == nullptr) return Accept();
    const absl::StatusOr<size_t> n = binding_.has_value() ? TakeFrags() : TakeBytes();
    if (!n.ok() && NothingYet(n.status())) return false;
    if (!n.ok()) Die(n.status());
    if (*n == 0) {
      queue_ = connection_->info().queue;
      ended_ = true;
      connection_.reset();
    }
    return true;
  }

  void Print(const char* separator) {
    std::printf(
        "{\"bytes\": %llu, \"sha256\": \"%s\", \"queue\": %u, \"foreign_frags\": %u, "
        "\"idle\": %s}%s",
        static_cast<unsigned long long>(bytes_), sha256_.Hex().c_str(), queue_, foreign_frags_,
        idle() ? "true" : "false", separator);
  }

 private:
  bool Accept() {
    absl::StatusOr<std::unique_ptr<Connection>> accepted = listener_->Accept(0);
    if (!accepted.ok() && NothingYet(accepted.status())) return false;
    connection_ = OrDie(std::move(accepted));
    return true;
  }

  absl::StatusOr<size_t> TakeFrags() {
    std::array<Frag, 64> room;
    absl::StatusOr<size_t> n = connection_->Recv(room, 0);
    if (!n.ok() || *n == 0) return n;
    const std::span<const Frag> frags(room.data(), *n);
    for (const Frag& frag : frags) {
      bytes_ += frag.length_bytes;
      if (frag.region_id == region_->id()) {
        sha256_.Add(view_->bytes().subspan(frag.offset, frag.length_bytes));
      } else {
        ++foreign_frags_;
      }
    }
    const absl::Status released = connection_->Release(frags);
    if (!released.ok()) return released;
    return n;
  }

  absl::StatusOr<size_t> TakeBytes() {
    absl::StatusOr<size_t> n = connection_->Read(host_bytes_, 0);
    if (!n.ok()) return n;
    bytes_ += *n;
    sha256_.Add(std::span(host_bytes_).first(*n));
    return n;
  }

  bool idle() const { return !binding_.has_value() || OrDie(session_.account(*binding_)).idle(); }

  Session& session_;
  std::unique_ptr<Region> region_;
  std::optional<RegionView> view_;
  std::optional<BindingId> binding_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> connection_;
  std::vector<uint8_t> host_bytes_ = std::vector<uint8_t>(256u << 10);
  Sha256 sha256_;
  uint64_t bytes_ = 0;
  uint32_t queue_ = 0;
  uint32_t foreign_frags_ = 0;  // Of another region than the stream's own.
  bool ended_ = false;
};

int Main(const char* address, const char* kernel_address) {
  SessionOptions options;
  options.addresses = {address};
  options.kernel_address = kernel_address;
  options.queue_count = 3;
  options.backend = Backend::kStack;
  const std::unique_ptr<Session> session = OrDie(Session::Open(options));
  Stream first(*session, address, kFirstPort, 1);
  Stream second(*session, address, kFirstPort + 1, 2);
  Stream unsteered(*session, address, kFirstPort + 2, std::nullopt);
  SayReady();

  const Nanos give_up = session->Now() + kTestTimeMax;
  while (!first.ended() || !second.ended() || !unsteered.ended()) {
    session->Drive();
    bool did = first.Step();
    did |= second.Step();
    did |= unsteered.Step();
    if (!did) session->Wait(give_up);
    if (session->Now() >= give_up) Die(absl::DeadlineExceededError("the streams did not end"));
  }
  std::printf("{\"streams\": [");
  first.Print(", ");
  second.Print(", ");
  unsteered.Print("], ");
  std::printf("\"host_idle\": %s, \"missteered_bytes\": %llu}\n",
              session->host_account().idle() ? "true" : "false",
              static_cast<unsigned long long>(StatisticOf(*session, "missteered_bytes")));
  return 0;
}

}  // namespace
}  // namespace devmem::peers

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: two_regions ADDRESS KERNEL_ADDRESS/BITS\n");
    return 2;
  }
  return devmem::peers::Main(argv[1], argv[2]);
}
