// SPDX-License-Identifier: Apache-2.0
//
// A whole TCP/IP host in memory, for packetdrill to talk to: the engine, host memory for what it
// receives, an IP layer below it and a clock that stands still until it is moved. Raw IP packets go
// in and come out; the sockets on top are those of plugin.h, which alone calls this, with its lock
// held.

#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "netmem/page_pool.h"
#include "netmem/piece_store.h"
#include "netmem/tcp/engine.h"
#include "netmem/wire/frame.h"
#include "tools/packetdrill/defer_accept.h"
#include "tools/packetdrill/knobs.h"

namespace devmem::packetdrill {

// A packet that left, IP header first.
struct OutPacket {
  Nanos sent_at = 0;
  std::vector<uint8_t> bytes;
};

class HostStack final : public SegmentSink {
 public:
  // Errors: those of TcpEngine::Create() and PagePool::Create().
  static absl::StatusOr<std::unique_ptr<HostStack>> Create(const Knobs& knobs);
  ~HostStack() override;

  // A packet arrives. One that is damaged, cut or not for this host is dropped without a word, as a
  // host does.
  void Inject(std::span<const uint8_t> packet);
  // What has left and nobody has taken yet, oldest first.
  std::deque<OutPacket>& out() { return out_; }

  Nanos now() const { return now_; }
  Nanos NextTimer() const { return engine_->NextDeadline(); }
  // Moves the clock to `time` and serves the timers that are due. `time` is not beyond NextTimer().
  void MoveTo(Nanos time);
  // Lets the engine say what it has to say.
  void Flush() { engine_->Flush(now_); }

  TcpEngine& engine() { return *engine_; }
  DeferAccept& defer_accept() { return defer_accept_; }
  // Copies the first received bytes of a connection to `iov`, as many as there are and fit, and
  // returns how many; `offset` of them are skipped.
  size_t CopyReceived(const TcpConnection& connection, size_t offset,
                      std::span<const iovec> iov) const;
  // The user has taken the first `bytes`.
  void Consume(TcpConnection& connection, size_t bytes);

  // The address that a socket gets which names none, and the peer's family decides on.
  IpAddress LocalAddressFor(const IpAddress& remote) const;
  // A socket was bound to this address, or a packet came for it.
  void LearnAddress(const IpAddress& address);

  // SegmentSink.
  void Emit(const OutSegment& segment) override;

 private:
  HostStack(const Knobs& knobs, std::unique_ptr<PagePool> pool);

  bool IsOurs(const IpAddress& address) const;
  void InjectTcp(std::span<const uint8_t> frame, const FrameHeaders& headers);
  void InjectIcmp(std::span<const uint8_t> frame, const FrameHeaders& headers);
  void EmitPacket(const OutSegment& segment, std::span<const uint8_t> payload, uint32_t offset,
                  uint8_t flags);
  void TakePayload(std::span<const uint8_t> payload, Segment* segment);

  const Knobs knobs_;
  Nanos now_;
  std::vector<uint8_t> memory_;  // The bytes of pool_.
  std::unique_ptr<PagePool> pool_;
  PieceArray array_;
  PieceStore store_;
  std::unique_ptr<TcpEngine> engine_;
  DeferAccept defer_accept_;
  std::deque<OutPacket> out_;
  std::optional<IpAddress> learnt_v4_;
  std::optional<IpAddress> learnt_v6_;
  std::vector<Piece> pieces_;  // Of the segment being delivered.
};

}  // namespace devmem::packetdrill
