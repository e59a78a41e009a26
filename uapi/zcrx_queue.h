// SPDX-License-Identifier: Apache-2.0
//
// One rx queue of the zcrx backend: what its receiver brings becomes frags with tokens, or bytes
// for Read(). Closing it closes the ring, and the kernel takes the queue and every chunk back.
// Belongs to the session's thread, as the ring does.
//
// Invariants:
//   1. Each token held names a piece whose chunks it holds in the receiver's books.
//   2. After Close() no token is held and no socket is listed.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/account.h"
#include "netmem/frag.h"
#include "netmem/token_table.h"
#include "uapi/host_area.h"
#include "uapi/read_back.h"
#include "uapi/ring/zcrx_port.h"
#include "uapi/socket_queue.h"
#include "uapi/socket_stats.h"
#include "uapi/tcp_socket.h"
#include "uapi/zcrx_receiver.h"

namespace devmem {

// What a queue is made of.
struct ZcrxQueueSetup {
  uint32_t index = 0;
  uint32_t region_id = 0;
  uint64_t region_offset = 0;  // Where the area begins in the region, in bytes.
  uint32_t chunk_count = 0;
  uint32_t chunk_bytes = 0;
  bool dmabuf = false;
  uint64_t held_bytes_max = 0;  // 0: what the area leaves to the NIC's ring and the sockets.
  ReadBack read_back = {};      // Of the area, for Read().
  std::unique_ptr<ZcrxPort> port = {};
};

// What the queues of a session share; outlives them.
struct ZcrxShared {
  HostArea* host = nullptr;
  SocketStats* stats = nullptr;
  ZcrxStats* zcrx_stats = nullptr;
  // recv(2) of what the ring cannot bring; a seam for tests.
  std::function<SocketQueue::Received(int socket, std::span<uint8_t> to)> read_socket = ReadSocket;
};

class ZcrxQueue final : public SocketQueue {
 public:
  // Errors: kResourceExhausted when there is no address space for the books; TokenTable's.
  static absl::StatusOr<std::shared_ptr<ZcrxQueue>> Create(ZcrxQueueSetup setup,
                                                           const ZcrxShared& shared);

  int fd() const override { return receiver_ != nullptr ? receiver_->fd() : -1; }
  Received Receive(int socket, std::span<Frag> frags) override;
  Received Read(int socket, std::span<uint8_t> bytes) override;
  uint32_t Drive() override;

  bool Release(Token token) override;
  void FlushReleases() override;
  bool Holds(Token token) const override;

  bool AddSocket(int socket) override;
  void TakeSocket(UniqueFd socket) override;
  bool posting() const override;
  void StopPosting() override;
  void Close(const absl::Status& why) override;
  Account account() const override;
  void PublishIn(StatsRecord* record) override;

 private:
  ZcrxQueue(ZcrxQueueSetup setup, const ZcrxShared& shared, TokenTable tokens,
            std::unique_ptr<ZcrxReceiver> receiver);

  std::optional<Received> Await(int socket, ZcrxReceiver::Flow** flow);
  std::optional<Received> EndOf(const ZcrxReceiver::Flow& flow) const;
  Received WhyEmpty(const ZcrxReceiver::Flow& flow);
  Received TakeFrags(ZcrxReceiver::Flow& flow, std::span<Frag> frags);
  std::optional<Received> ReceiveHost(ZcrxReceiver::Flow& flow, std::span<Frag> frags);
  std::optional<Received> ReadHost(ZcrxReceiver::Flow& flow, std::span<uint8_t> bytes);
  absl::StatusOr<uint64_t> CopyOut(ZcrxReceiver::Flow& flow, std::span<uint8_t> bytes);
  void Publish();

  const ZcrxQueueSetup setup_;
  const ZcrxShared shared_;
  TokenTable tokens_;
  HostRoom room_;
  std::unique_ptr<ZcrxReceiver> receiver_;  // Null once closed.
  absl::Status why_closed_;
  StatsRecord* record_ = nullptr;
};

}  // namespace devmem
