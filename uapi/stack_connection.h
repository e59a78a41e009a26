// SPDX-License-Identifier: Apache-2.0
//
// Listeners and connections of the stack backend. StackConnection runs its worker inside its own
// calls (inline sessions); the one for threaded sessions is in threaded_connection.h.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netmem/tcp/connection.h"
#include "uapi/devmem.h"
#include "uapi/flow_rule_book.h"

namespace devmem {

class StackSession;
class Worker;

// What both kinds share: which connection of which worker, and how its end is told.
struct ConnectionHandle {
  uint32_t worker = 0;
  ConnectionId id;
  bool bound = false;
};

// "192.0.2.2:5201".
std::string EndpointText(const IpAddress& address, uint16_t port);
ConnectionInfo DescribeConnection(const TcpConnection& connection, uint32_t worker);
// Why a connection that is closed gives no more bytes: OK for an end in order.
absl::Status EndOf(const TcpConnection& connection);
absl::Status RecvNeedsBinding();
// Bytes wait, and there is no token for them.
absl::Status TokensExhausted(uint32_t queue);
// OK when `refused` is 0.
absl::Status RefusedTokens(size_t refused, size_t frag_count);
// Why nothing can be sent any more; OK while it can.
absl::Status SendRefusal(const TcpConnection& connection);
// We sent a FIN, or will, and the peer has not acknowledged it.
bool OurFinIsOpen(const TcpConnection& connection);

// The connection for a fresh handle, of the kind that the session wants; `rule` steers it.
std::unique_ptr<Connection> MakeConnection(StackSession* session, const ConnectionHandle& handle,
                                           FlowRuleBook::Hold rule);

class StackConnection final : public Connection {
 public:
  StackConnection(StackSession* session, const ConnectionHandle& handle, FlowRuleBook::Hold rule);
  ~StackConnection() override;

  absl::StatusOr<size_t> Recv(std::span<Frag> frags, Nanos deadline) override;
  absl::Status Release(std::span<const Frag> frags) override;
  absl::Status Release(std::span<const Frag> frags, Fence fence) override;
  absl::StatusOr<size_t> Read(std::span<uint8_t> bytes, Nanos deadline) override;
  absl::StatusOr<size_t> Send(std::span<const uint8_t> bytes, Nanos deadline) override;
  absl::Status Flush(Nanos deadline) override;
  absl::Status Shutdown() override;
  void Abort() override;
  ConnectionInfo info() const override;

 private:
  TcpConnection& tcp() const;
  Worker& worker() const;

  StackSession* const session_;
  const ConnectionHandle handle_;
  const FlowRuleBook::Hold rule_;
};

class StackListener final : public Listener {
 public:
  struct Part {
    uint32_t worker = 0;
    ListenerId id = 0;
  };
  // `binding` is what the connections are bound to; `rule` steers them.
  StackListener(StackSession* session, std::vector<Part> parts, uint16_t port,
                std::optional<BindingId> binding, FlowRuleBook::Hold rule);
  ~StackListener() override;

  absl::StatusOr<std::unique_ptr<Connection>> Accept(Nanos deadline) override;
  uint16_t port() const override { return port_; }

 private:
  std::optional<ConnectionHandle> TryAccept();

  StackSession* const session_;
  const std::vector<Part> parts_;  // One per worker that listens.
  const uint16_t port_;
  const std::optional<BindingId> binding_;
  const FlowRuleBook::Hold rule_;
};

}  // namespace devmem
