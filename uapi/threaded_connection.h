// SPDX-License-Identifier: Apache-2.0
//
// A connection of a session whose workers have threads: Recv and Release go through rings,
// everything else is a step on the worker's thread. One thread at a time uses a connection.

#pragma once

#include <memory>
#include <vector>

#include "uapi/channel.h"
#include "uapi/devmem.h"
#include "uapi/flow_rule_book.h"
#include "uapi/stack_connection.h"

namespace devmem {

class StackSession;

class ThreadedConnection final : public Connection {
 public:
  ThreadedConnection(StackSession* session, const ConnectionHandle& handle,
                     FlowRuleBook::Hold rule);
  ~ThreadedConnection() override;

  absl::StatusOr<size_t> Recv(std::span<Frag> frags, Nanos deadline) override;
  // Tokens that name nothing are found on the worker's thread: counted there, and not reported
  // here.
  absl::Status Release(std::span<const Frag> frags) override;
  absl::Status Release(std::span<const Frag> frags, Fence fence) override;
  absl::StatusOr<size_t> Read(std::span<uint8_t> bytes, Nanos deadline) override;
  absl::StatusOr<size_t> Send(std::span<const uint8_t> bytes, Nanos deadline) override;
  absl::Status Flush(Nanos deadline) override;
  absl::Status Shutdown() override;
  void Abort() override;
  ConnectionInfo info() const override;

 private:
  // How the stream ended.
  struct Ending {
    absl::Status status;       // EndOf() the connection.
    bool memory_gone = false;  // Its binding has ended, and every token with it.
  };

  // Takes back what waits to be received, and returns it.
  std::vector<Frag> DropReady();
  absl::StatusOr<size_t> RecvLast(std::span<Frag> frags);
  size_t TakeReady(std::span<Frag> frags);
  size_t ReadReady(std::span<uint8_t> bytes);
  absl::StatusOr<size_t> ReadOnWorker(std::span<uint8_t> bytes);
  // Waits for news after `seen`; false when the deadline has passed.
  bool WaitForNews(uint64_t seen, Nanos deadline);
  // Asks the worker's thread.
  Ending End() const;
  void OnWorker(const std::function<void(TcpConnection&)>& step) const;

  StackSession* const session_;
  const FlowRuleBook::Hold rule_;
  const std::shared_ptr<Channel> channel_;
  // A frag that Read() took the first bytes of: what is left of it comes before anything else.
  Frag partial_;
  uint32_t partial_skip_ = 0;  // Bytes of the frag's piece that are gone from partial_.
  absl::Status lost_;          // Why bytes are missing from a stream that had ended in order.
};

}  // namespace devmem
