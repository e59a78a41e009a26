// SPDX-License-Identifier: Apache-2.0
//
// One rx queue of a backend whose TCP is the kernel's: what a bound connection receives from. The
// three backends over kernel sockets (copy, kernel, zcrx) differ in this and in how their NIC is
// set up (socket_backend.h); everything else they share. Which threads may call is the backend's to
// say: copy allows any, the others the session's own.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "netmem/account.h"
#include "netmem/frag.h"
#include "netmem/token_table.h"
#include "provider/unique_fd.h"
#include "uapi/stats_layout.h"

namespace devmem {

// Whoever gave out tokens of a lane: a queue, or the area of host memory that several queues share.
class TokenOwner {
 public:
  virtual ~TokenOwner() = default;

  // Ends a token of this owner's lane. False when it names nothing.
  virtual bool Release(Token token) = 0;
  // A batch of Release() calls is over: what was collected may go to the kernel.
  virtual void FlushReleases() {}
  // Whether the token names a frag that is held.
  virtual bool Holds(Token token) const = 0;
};

class SocketQueue : public TokenOwner {
 public:
  enum class Outcome {
    kBytes,     // Frags from Receive(), bytes from Read().
    kEnd,       // The peer has sent its last byte.
    kEmpty,     // Nothing has arrived.
    kNoRoom,    // So much is held that no more is taken until something is released; `why` may
                // say what it is.
    kNoTokens,  // Every token is held.
    kBroken,    // The connection failed with `error`, or with `why` where that says more.
    kRevoked,   // The region was taken away; bytes were lost, so the connection must end.
    kClosed,    // The queue was unbound; `why` says by whom.
    kAway,      // The region's memory is away and cannot come back now.
    kRefused,   // This call cannot be answered, for the reason `why`; nothing was taken.
  };
  struct Received {
    Outcome outcome = Outcome::kEmpty;
    size_t frags = 0;
    uint64_t bytes = 0;
    int error = 0;  // An errno, for kBroken.
    // For kClosed and kRefused, for kBroken where an errno says too little, and for kNoRoom.
    absl::Status why = {};
  };

  SocketQueue(const SocketQueue&) = delete;
  SocketQueue& operator=(const SocketQueue&) = delete;

  uint32_t index() const { return index_; }
  // The lane of this queue's tokens. No other owner of the process has it, except that the queues
  // of one binding may share one: then each of them takes any token of it.
  uint16_t lane() const { return lane_; }
  // Readable when one of the sockets has news; -1 where each socket says so itself.
  virtual int fd() const { return -1; }
  int NewsFd(int socket) const { return fd() >= 0 ? fd() : socket; }

  // Takes what has arrived on `socket`, without waiting. `frags` is not empty.
  virtual Received Receive(int socket, std::span<Frag> frags) = 0;
  // The same, copied to host memory. `bytes` is not empty.
  virtual Received Read(int socket, std::span<uint8_t> bytes) = 0;
  // One turn without waiting, for queues with an fd(). Returns how many events were handled.
  virtual uint32_t Drive() { return 0; }

  // A connection begins to receive here; its socket is reset when the queue closes. False, and
  // nothing listed, when it has closed.
  virtual bool AddSocket(int socket) = 0;
  // The connection has gone. Closes its socket, at once or when the last of its tokens is back: the
  // peer gets a FIN, or a RST when it sent what nobody read.
  virtual void TakeSocket(UniqueFd socket) = 0;

  // False once the region is being removed: no more bytes go there, what is out drains.
  virtual bool posting() const = 0;
  virtual void StopPosting() = 0;
  // Resets the sockets, ends every token and lets the region go. `why` is for its connections.
  virtual void Close(const absl::Status& why) = 0;

  virtual Account account() const = 0;

  // Where it tells how it stands, from now on: after each batch of frags that went out or came
  // back. Before its first connection, and with null once it is closed.
  virtual void PublishIn(StatsRecord* record) = 0;

 protected:
  SocketQueue(uint32_t index, uint16_t lane) : index_(index), lane_(lane) {}

 private:
  const uint32_t index_;
  const uint16_t lane_;
};

}  // namespace devmem
