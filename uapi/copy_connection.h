// SPDX-License-Identifier: Apache-2.0
//
// Listeners and connections of the copy backend: kernel sockets behind the public interface. Each
// is used by one thread at a time; the session they come from outlives them.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "provider/unique_fd.h"
#include "uapi/copy_core.h"
#include "uapi/copy_queue.h"
#include "uapi/devmem.h"

namespace devmem {

class CopyConnection final : public Connection {
 public:
  // Takes over a connected, non-blocking socket. Without a queue the connection lives in host
  // memory. Errors: kUnavailable when the queue was unbound meanwhile.
  static absl::StatusOr<std::unique_ptr<Connection>> Create(CopyCore* core, UniqueFd socket,
                                                            std::shared_ptr<CopyQueue> queue);
  ~CopyConnection() override;

  absl::StatusOr<size_t> Recv(std::span<Frag> frags, Nanos deadline) override;
  absl::Status Release(std::span<const Frag> frags) override { return core_->Release(frags); }
  absl::Status Release(std::span<const Frag> frags, Fence fence) override {
    return core_->ReleaseWhen(std::move(fence), frags);
  }
  absl::StatusOr<size_t> Read(std::span<uint8_t> bytes, Nanos deadline) override;
  absl::StatusOr<size_t> Send(std::span<const uint8_t> bytes, Nanos deadline) override;
  absl::Status Flush(Nanos deadline) override;
  absl::Status Shutdown() override;
  void Abort() override;
  ConnectionInfo info() const override;

 private:
  CopyConnection(CopyCore* core, UniqueFd socket, std::shared_ptr<CopyQueue> queue);

  absl::StatusOr<size_t> Deliver(const CopyQueue::Received& received);
  absl::StatusOr<size_t> ReachEnd();
  absl::Status Break(absl::Status reason);
  absl::Status BreakByErrno(int err);

  CopyCore* const core_;
  const UniqueFd socket_;
  const std::shared_ptr<CopyQueue> queue_;  // Null without a binding.
  const std::string local_;
  const std::string remote_;
  UniqueFd
      writable_;  // An epoll that is readable while socket_ is writable; made when first needed.
  bool watched_ = true;
  bool ended_ = false;
  bool shut_down_ = false;
  std::optional<absl::Status> broken_;
  uint64_t received_bytes_ = 0;
  uint64_t sent_bytes_ = 0;
};

class CopyListener final : public Listener {
 public:
  CopyListener(CopyCore* core, UniqueFd socket, std::shared_ptr<CopyQueue> queue);
  ~CopyListener() override;

  absl::StatusOr<std::unique_ptr<Connection>> Accept(Nanos deadline) override;
  uint16_t port() const override { return port_; }

 private:
  CopyCore* const core_;
  const UniqueFd socket_;
  const std::shared_ptr<CopyQueue> queue_;
  const uint16_t port_;
};

}  // namespace devmem
