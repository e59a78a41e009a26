// SPDX-License-Identifier: Apache-2.0
//
// Listeners and connections of the backends over kernel sockets, behind the public interface. Each
// is used by one thread at a time; the session they come from outlives them.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/unique_fd.h"
#include "uapi/device_sender.h"
#include "uapi/devmem.h"
#include "uapi/socket_backend.h"
#include "uapi/socket_core.h"
#include "uapi/socket_queue.h"

namespace devmem {

class SocketConnection final : public Connection {
 public:
  // Takes over a connected, non-blocking socket. Without a queue the connection lives in host
  // memory. `rule` steers it to the queue. Errors: kUnavailable when the queue was unbound
  // meanwhile.
  static absl::StatusOr<std::unique_ptr<Connection>> Create(SocketCore* core, UniqueFd socket,
                                                            std::shared_ptr<SocketQueue> queue,
                                                            RuleHold rule);
  ~SocketConnection() override;

  absl::StatusOr<size_t> Recv(std::span<Frag> frags, Nanos deadline) override;
  absl::Status Release(std::span<const Frag> frags) override { return core_->Release(frags); }
  absl::Status Release(std::span<const Frag> frags, Fence fence) override {
    return core_->ReleaseWhen(std::move(fence), frags);
  }
  absl::StatusOr<size_t> Read(std::span<uint8_t> bytes, Nanos deadline) override;
  absl::StatusOr<size_t> Send(std::span<const uint8_t> bytes, Nanos deadline) override;
  absl::StatusOr<size_t> SendFrom(const Region& region, uint64_t offset, uint64_t bytes,
                                  Nanos deadline) override;
  absl::Status Flush(Nanos deadline) override;
  absl::Status Shutdown() override;
  void Abort() override;
  ConnectionInfo info() const override;

 private:
  SocketConnection(SocketCore* core, UniqueFd socket, std::shared_ptr<SocketQueue> queue,
                   RuleHold rule);

  absl::StatusOr<size_t> ReceiveFrom(std::span<Frag> frags, Nanos deadline);
  SocketQueue::Received ReadUnbound(std::span<uint8_t> bytes);
  absl::Status WaitForRoom(const SocketQueue::Received& received, Nanos deadline);
  absl::StatusOr<size_t> Deliver(const SocketQueue::Received& received);
  absl::StatusOr<size_t> ReachEnd();
  absl::Status WaitWritable(Nanos deadline);
  absl::StatusOr<uint32_t> PrepareSendFrom(const Region& region);
  absl::Status AfterFailedSend(int err, Nanos deadline);
  void TakeNotices();
  absl::Status Break(absl::Status reason);
  absl::Status BreakByErrno(int err);

  SocketCore* const core_;
  UniqueFd socket_;                           // Goes to the queue in the end.
  const std::shared_ptr<SocketQueue> queue_;  // Null without a binding.
  const RuleHold rule_;
  const std::string local_;
  const std::string remote_;
  UniqueFd
      writable_;  // An epoll that is readable while socket_ is writable; made when first needed.
  bool watched_;  // Whether the session's descriptor speaks for the socket.
  bool ended_ = false;
  bool shut_down_ = false;
  std::optional<absl::Status> broken_;
  uint64_t received_bytes_ = 0;
  uint64_t sent_bytes_ = 0;
  std::unique_ptr<DeviceSender> device_sender_;  // Made by the first SendFrom() that needs it.
};

class SocketListener final : public Listener {
 public:
  SocketListener(SocketCore* core, UniqueFd socket, std::shared_ptr<SocketQueue> queue,
                 RuleHold rule);
  ~SocketListener() override;

  absl::StatusOr<std::unique_ptr<Connection>> Accept(Nanos deadline) override;
  uint16_t port() const override { return port_; }

 private:
  SocketCore* const core_;
  const UniqueFd socket_;
  const std::shared_ptr<SocketQueue> queue_;
  const RuleHold rule_;
  const uint16_t port_;
};

}  // namespace devmem
