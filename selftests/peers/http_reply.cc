// SPDX-License-Identifier: Apache-2.0
//
// The smallest web server on devmem: answers every request with the same few bytes and closes.
// Started by peers_test.py in a network namespace, for a load tool that opens and closes many
// connections.
//
// usage: http_reply REQUESTS ADDRESS KERNEL_ADDRESS/BITS
//                                prints `ready`, ends when so many requests were answered and no
//                                connection is open, and prints one JSON object. Single thread,
//                                inline session.

#include <list>
#include <memory>

#include "selftests/peers/peer_program.h"

namespace devmem::peers {
namespace {

constexpr uint64_t kRegionBytes = 4u << 20;
constexpr char kReply[] =
    "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\nConnection: close\r\n\r\n"
    "landed\n";

class Exchange {
 public:
  explicit Exchange(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  bool ended() const { return ended_; }
  bool answered() const { return answered_; }

  // Does what can be done without waiting; whether that was anything.
  bool Step() {
    std::array<uint8_t, 4096> bytes;
    const absl::StatusOr<size_t> n = connection_->Read(bytes, 0);
    if (!n.ok() && NothingYet(n.status())) return false;
    if (!n.ok() || *n == 0) {
      // The peer may reset what it has read in full; what counts is that it was answered.
      ended_ = true;
      return true;
    }
    request_.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(*n));
    if (!answered_ && request_.find("\r\n\r\n") != std::string::npos) Answer();
    return true;
  }

 private:
  void Answer() {
    const std::span<const char> reply(kReply, sizeof(kReply) - 1);
    const absl::StatusOr<size_t> sent =
        connection_->Send({reinterpret_cast<const uint8_t*>(reply.data()), reply.size()}, 0);
    if (!sent.ok() || *sent != reply.size()) Die(absl::InternalError("the reply did not fit"));
    const absl::Status shut = connection_->Shutdown();
    if (!shut.ok()) Die(shut);
    answered_ = true;
  }

  std::unique_ptr<Connection> connection_;
  std::string request_;
  bool answered_ = false;
  bool ended_ = false;
};

struct Served {
  uint32_t ended = 0;
  uint32_t answered = 0;
};

bool StepAll(Listener& listener, std::list<Exchange>* exchanges, Served* served) {
  bool did = false;
  absl::StatusOr<std::unique_ptr<Connection>> accepted = listener.Accept(0);
  if (accepted.ok()) {
    exchanges->emplace_back(*std::move(accepted));
    did = true;
  } else if (!NothingYet(accepted.status())) {
    Die(accepted.status());
  }
  for (auto exchange = exchanges->begin(); exchange != exchanges->end();) {
    did |= exchange->Step();
    if (!exchange->ended()) {
      ++exchange;
      continue;
    }
    ++served->ended;
    if (exchange->answered()) ++served->answered;
    exchange = exchanges->erase(exchange);
  }
  return did;
}

int Main(uint32_t requests, const char* address, const char* kernel_address) {
  SessionOptions options;
  options.addresses = {address};
  options.kernel_address = kernel_address;
  options.backend = Backend::kStack;
  const std::unique_ptr<Session> session = OrDie(Session::Open(options));
  const std::unique_ptr<Region> region = OrDie(session->Allocate({.bytes = kRegionBytes}));
  const BindingId binding = OrDie(session->Bind(*region, {.queues = {1}}));
  const std::unique_ptr<Listener> listener =
      OrDie(session->Listen({.address = address, .port = 8080}, binding));
  SayReady();

  std::list<Exchange> exchanges;
  Served served;
  const Nanos give_up = session->Now() + kTestTimeMax;
  while (served.answered < requests || !exchanges.empty()) {
    session->Drive();
    if (!StepAll(*listener, &exchanges, &served)) session->Wait(give_up);
    if (session->Now() >= give_up) Die(absl::DeadlineExceededError("the load did not end"));
  }
  const Account account = OrDie(session->account(binding));
  std::printf("{\"ended\": %u, \"answered\": %u, \"idle\": %s, \"used\": %llu}\n", served.ended,
              served.answered, account.idle() ? "true" : "false",
              static_cast<unsigned long long>(account.used));
  return 0;
}

}  // namespace
}  // namespace devmem::peers

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: http_reply REQUESTS ADDRESS KERNEL_ADDRESS/BITS\n");
    return 2;
  }
  const auto requests = static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10));
  return devmem::peers::Main(requests, argv[2], argv[3]);
}
