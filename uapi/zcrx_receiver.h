// SPDX-License-Identifier: Apache-2.0
//
// Receives for the connections of one zcrx instance: arms a multishot request for each, turns
// completions into queued pieces, and decides what the end of a request means. A request asks for
// so many bytes (its credit) and no more, so a connection whose owner holds too much is simply not
// armed again, and its socket's buffer closes the window. Used by one thread, the port's. Linux's
// Documentation/networking/iou-zcrx.rst.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "netmem/piece_queue.h"
#include "uapi/ring/zcrx_port.h"
#include "uapi/socket_stats.h"
#include "uapi/zcrx_chunks.h"

namespace devmem {

// What zcrx counts besides SocketStats, over all queues of a session. Monotonic.
struct ZcrxStats {
  SharedCounter completions;    // That brought bytes.
  SharedCounter credits;        // Requests that ended because what they asked for had come.
  SharedCounter overflows;      // Requests that ended with ENOSPC: the completion ring was full.
  SharedCounter starved;        // Requests that ended with ENOMEM: no chunk to copy into.
  SharedCounter host_receives;  // Calls of recv() for bytes that no chunk could take.
  SharedCounter refill_full;    // Times that the refill ring took no more.
  SharedCounter copies;         // What the kernel copied, where it counts that.
  SharedCounter copied_bytes;
  SharedCounter alloc_fail_events;  // The NIC found no chunk.
};

class ZcrxReceiver {
 public:
  struct Config {
    uint32_t chunk_count = 0;
    uint32_t chunk_bytes = 0;
    // Whether the area is a dma-buf, into which the kernel cannot copy.
    bool dmabuf = false;
    // What the frags of all connections may hold before nothing more is asked for; 0: all but half
    // of the area, and but kZcrxReserveChunks of a large one.
    uint64_t held_bytes_max = 0;
  };

  // One connection.
  struct Flow {
    enum class State { kOpen, kEnded, kBroken };

    int socket = -1;  // -1: its owner has gone, and its request is being cancelled.
    uint32_t slot = 0;
    uint32_t generation = 0;
    bool armed = false;
    bool starved = false;        // Its last request ended with ENOMEM...
    uint64_t starved_epoch = 0;  // ... when so much had been given back.
    // Its next bytes are in host memory, and the kernel cannot copy them into a dma-buf: they are
    // for recv(). No request is armed meanwhile.
    bool host_next = false;
    // That is a guess: Linux before 6.18 said EFAULT of them, as of another queue's memory.
    bool host_guessed = false;
    uint32_t host_refusals = 0;   // Times in a row that recv() did not get them either.
    uint32_t credit_bytes = 0;    // Of the request that is armed, or was last.
    uint64_t credited_bytes = 0;  // Of these: have come.
    PieceQueue pieces;
    State state = State::kOpen;
    int error = 0;          // For kBroken: an errno,
    absl::Status why = {};  // or more than that.
  };

  // The stats outlive this. Check ok() afterwards.
  ZcrxReceiver(const Config& config, std::unique_ptr<ZcrxPort> port, SocketStats* stats,
               ZcrxStats* zcrx_stats);
  bool ok() const { return chunks_.ok() && pieces_.ok(); }

  int fd() const { return port_->fd(); }
  ZcrxChunks& chunks() { return chunks_; }
  const ZcrxChunks& chunks() const { return chunks_; }

  // From now on the socket's bytes arrive as pieces. It stays the caller's.
  void Add(int socket);
  // Its request is cancelled; what was received and not taken goes back. Whether there was any.
  bool Remove(int socket);
  // nullptr when it was not added.
  Flow* Find(int socket);
  // All sockets, for the end of the queue.
  std::vector<int> sockets() const;

  // Lets the kernel complete what it can, and arms again what may go on. Returns how many
  // completions there were.
  uint32_t Drive();
  // Asks for more of a flow's stream, unless that has been done. False when its owner, or all
  // owners together, hold so much that nothing more is asked for.
  bool Arm(Flow& flow);
  // The frags of all connections hold so many chunks more, or fewer.
  void OnHeld(uint32_t chunks) { held_chunks_ += chunks; }
  void OnReturned(uint32_t chunks) { held_chunks_ -= chunks; }
  // Gives back to the kernel what nobody holds.
  void Refill();
  // No more is asked for.
  void StopArming();
  // The errno with which the kernel refused the last Drive(); 0: it did not.
  int error() const { return enter_error_; }
  bool arming() const { return arming_; }
  bool returning() const { return chunks_.any_returning(); }

  // The pieces of a flow, in stream order. It is not empty.
  Piece& Front(Flow& flow) { return pieces_[flow.pieces.front_index()].piece; }
  // Takes the first piece out; its chunks stay held.
  Piece Pop(Flow& flow);
  // Ends a flow whose next bytes lie in memory that is bound to another queue.
  static void BreakForeign(Flow& flow);
  // Drops the first `bytes` of the first piece, at most its length.
  void Drop(Flow& flow, uint32_t bytes);

 private:
  void Handle(const Completion& completion);
  void Receive(Flow& flow, const Completion& completion);
  void End(Flow& flow, int32_t result);
  void CountCopies();
  uint32_t Reap();
  Flow* FlowOf(uint64_t user_data);
  uint64_t UserDataOf(const Flow& flow) const;
  uint32_t Credit() const;

  const Config config_;
  const uint32_t credit_bytes_max_;
  const uint32_t held_chunks_max_;
  const std::unique_ptr<ZcrxPort> port_;
  SocketStats* const stats_;
  ZcrxStats* const zcrx_stats_;
  ZcrxChunks chunks_;
  PieceArray pieces_;
  std::vector<std::unique_ptr<Flow>> flows_;  // By slot; a slot is used again when its flow ended.
  std::map<int, uint32_t> by_socket_;         // To its slot.
  std::vector<uint32_t> free_slots_;
  uint32_t armed_count_ = 0;
  uint32_t held_chunks_ = 0;
  uint64_t returned_epoch_ = 1;  // Moves with each chunk that goes back.
  bool arming_ = true;
  bool requests_wait_ = false;  // For the next Enter().
  int enter_error_ = 0;         // The errno of the last Enter(); 0: it worked.
  ZcrxCopies copies_seen_;
};

}  // namespace devmem
