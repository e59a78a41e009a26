// SPDX-License-Identifier: Apache-2.0
//
// One binding of the kernel backend: a dma-buf that the kernel's TCP receives into, the sockets of
// its connections, and what the user holds of it. All rx queues of the binding share it, because
// the kernel gives them one allocator. Receiving is recvmsg(2) with MSG_SOCK_DEVMEM; releasing is
// SO_DEVMEM_DONTNEED. Linux Documentation/networking/devmem.rst.
//
// Any thread may call anything; one lock. The system calls under it do not wait.
//
// Invariants:
//   1. Every kernel id of a socket here is behind exactly one serial of tokens_, or in the socket's
//      returns, or was given back.
//   2. A socket is open as long as one of its ids is out: closing it would give them back, and the
//      kernel would receive over bytes that the user still reads.
//   3. No recvmsg() is made while the net_iovs that the user holds reach the budget. The socket's
//      own buffer then fills and closes the peer's window; the kernel does not do this itself,
//      because it stops to count bytes once they were handed out.
//   4. After Close() nothing is held and no socket of a closed connection is open.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/account.h"
#include "netmem/frag.h"
#include "provider/unique_fd.h"
#include "uapi/host_area.h"
#include "uapi/kernel_calls.h"
#include "uapi/kernel_control.h"
#include "uapi/kernel_returns.h"
#include "uapi/kernel_stats.h"
#include "uapi/kernel_tokens.h"
#include "uapi/limits.h"
#include "uapi/read_back.h"
#include "uapi/socket_queue.h"

namespace devmem {

// What a binding is made of.
struct KernelBindingSetup {
  uint32_t dmabuf_id = 0;  // The kernel's name of the binding.
  uint32_t region_id = 0;
  uint64_t region_offset = 0;  // Where the dma-buf begins in the region.
  uint64_t bytes = 0;          // Of the dma-buf.
  uint64_t held_bytes_max = 0;
  ReadBack read_back = {};  // Of the dma-buf, for Read().
};

// What the bindings of a session share; outlives them.
struct KernelShared {
  HostArea* host = nullptr;
  KernelCalls* calls = nullptr;
  SocketStats* stats = nullptr;
  KernelStats* kernel_stats = nullptr;
};

class KernelBinding {
 public:
  using Received = SocketQueue::Received;

  // Errors: KernelTokens::Create().
  static absl::StatusOr<std::shared_ptr<KernelBinding>> Create(KernelBindingSetup setup,
                                                               const KernelShared& shared);
  KernelBinding(const KernelBinding&) = delete;
  KernelBinding& operator=(const KernelBinding&) = delete;

  uint32_t dmabuf_id() const { return setup_.dmabuf_id; }
  uint16_t lane() const { return lane_; }

  // As SocketQueue's.
  Received Receive(int socket, std::span<Frag> frags);
  Received Read(int socket, std::span<uint8_t> bytes);
  bool Release(Token token);
  void FlushReleases();
  bool Holds(Token token) const;
  bool AddSocket(int socket);
  void TakeSocket(UniqueFd socket);
  bool posting() const;
  void StopPosting();
  void Close(const absl::Status& why);
  Account account() const;
  // `queue` is the index under which the binding is told.
  void PublishIn(StatsRecord* record, uint32_t queue);

 private:
  struct Socket {
    Socket(int number, KernelCalls* calls, KernelStats* stats)
        : fd(number), returns(number, calls, stats) {}
    const int fd;
    UniqueFd kept;            // Owns fd once its connection has gone.
    uint32_t held_frags = 0;  // Serials that lead to ids of this socket.
    bool returning = false;   // In returning_.
    KernelReturns returns;
  };
  // What one recvmsg() brought: bytes, or an outcome that is none.
  struct Message {
    std::optional<Received> instead;
    size_t bytes = 0;
    std::span<const KernelPiece> pieces = {};
    bool plain = false;                    // By a queue that is not bound.
    std::span<const uint8_t> linear = {};  // Where the linear bytes are, in stream order.
  };

  KernelBinding(KernelBindingSetup setup, const KernelShared& shared, KernelTokens tokens);

  // Receiving: kernel_receive.cc.
  std::optional<Received> CannotReceive() const;
  Message ReceiveMessage(uint32_t index, uint64_t bytes_max, size_t pieces_max);
  ssize_t CallReceive(int socket, std::span<uint8_t> room, size_t pieces_max, msghdr* message);
  std::optional<absl::Status> WhatIsWrong(const ControlReading& reading,
                                          std::span<const KernelPiece> pieces) const;
  static Received ExplainError(int err);
  size_t NameFrags(uint32_t socket_index, std::span<const KernelPiece> pieces,
                   std::span<Frag> frags);
  Frag NameRun(uint32_t socket_index, const KernelTokens::Run& run);
  absl::Status CopyOut(const Message& message, std::span<uint8_t> bytes) const;
  void CountBytes(const Message& message, bool read_back);
  void Publish();

  void GiveBack(const KernelTokens::Returned& returned);
  void GiveBackPieces(uint32_t index, std::span<const KernelPiece> pieces);
  void ListReturning(uint32_t index);
  void FlushLocked();
  void CloseIfDone(uint32_t index);

  const KernelBindingSetup setup_;
  const KernelShared shared_;
  const uint16_t lane_;

  mutable std::mutex mutex_;  // Guards everything below.
  bool closed_ = false;
  bool posting_ = true;
  absl::Status why_closed_;
  KernelTokens tokens_;
  HostRoom room_;
  std::map<int, uint32_t> by_fd_;                 // Of sockets whose connection lives.
  std::vector<std::unique_ptr<Socket>> sockets_;  // Null: free.
  std::vector<uint32_t> returning_;               // Sockets with ids that wait to be sent back.
  std::vector<uint64_t> control_;                 // The control buffer; aligned as it must be.
  std::array<KernelPiece, kControlMessagesMax> pieces_{};
  StatsRecord* record_ = nullptr;
  uint32_t record_queue_ = 0;
};

}  // namespace devmem
