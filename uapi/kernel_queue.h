// SPDX-License-Identifier: Apache-2.0
//
// One rx queue of a kernel binding, as connections see it. The queues of a binding share all there
// is: each call goes to the binding. Called by SocketCore and SocketConnection; any thread.

#pragma once

#include <memory>
#include <span>
#include <utility>

#include "uapi/kernel_binding.h"
#include "uapi/socket_queue.h"

namespace devmem {

class KernelQueue final : public SocketQueue {
 public:
  // `counts`: whether account() is the binding's; one queue of each binding says so, because a sum
  // is made over all of them.
  KernelQueue(uint32_t index, bool counts, std::shared_ptr<KernelBinding> binding)
      : SocketQueue(index, binding->lane()), counts_(counts), binding_(std::move(binding)) {}

  Received Receive(int socket, std::span<Frag> frags) override {
    return binding_->Receive(socket, frags);
  }
  Received Read(int socket, std::span<uint8_t> bytes) override {
    return binding_->Read(socket, bytes);
  }
  bool Release(Token token) override { return binding_->Release(token); }
  void FlushReleases() override { binding_->FlushReleases(); }
  bool Holds(Token token) const override { return binding_->Holds(token); }
  bool AddSocket(int socket) override { return binding_->AddSocket(socket); }
  void TakeSocket(UniqueFd socket) override { binding_->TakeSocket(std::move(socket)); }
  bool posting() const override { return binding_->posting(); }
  void StopPosting() override { binding_->StopPosting(); }
  void Close(const absl::Status& why) override { binding_->Close(why); }
  Account account() const override { return counts_ ? binding_->account() : Account{}; }
  void PublishIn(StatsRecord* record) override {
    if (counts_) {
      binding_->PublishIn(record, index());
    } else if (record != nullptr) {
      // The binding's figures are told by the queue that counts.
      record->Write(
          {.kind = StatsKind::kQueue, .queue = index(), .kernel_binding = binding_->dmabuf_id()});
    }
  }

 private:
  const bool counts_;
  const std::shared_ptr<KernelBinding> binding_;
};

}  // namespace devmem
