// SPDX-License-Identifier: Apache-2.0
//
// The other end of a conformance test: an ordinary kernel TCP socket, without blocking, so that one
// thread runs the peer and the session under test. Its bytes are those of the test pattern.

#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "provider/unique_fd.h"

namespace devmem::testing {

class Peer {
 public:
  Peer() = default;
  explicit Peer(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }

  // How many bytes the socket took; 0 when it is full. Fails the test when the connection broke.
  size_t Send(std::span<const uint8_t> bytes);
  // Each Send() leaves as a segment of its own, as far as the window lets it.
  void SetNoDelay();
  // While corked, only full segments leave; what is left goes out with a FIN, or uncorked.
  void Cork(bool corked);
  void SetReceiveBuffer(int bytes);

  // How many bytes came; 0 at the end; -EAGAIN when there are none yet; else minus the errno.
  ssize_t Receive(std::span<uint8_t> room);

  // Of what was sent: bytes that the other side has not acknowledged.
  uint32_t UnacknowledgedBytes() const;

  // A FIN; receiving goes on.
  void ShutDownSending();
  void Close() { fd_.Reset(); }
  // Closes with a reset.
  void Reset();
  // A listening peer: the connection that came; none yet is a Peer without descriptor.
  Peer Accept();

 private:
  UniqueFd fd_;
};

// A stream of the test pattern.
struct Stream {
  uint64_t seed = 1;
  uint64_t bytes = 0;
  // Sizes of the writes, over and over again; empty: as much as the socket takes.
  std::vector<uint32_t> write_bytes = {};
};

// Sends a stream piece by piece as the socket takes it.
class StreamSender {
 public:
  // `peer` outlives the sender.
  StreamSender(Peer& peer, Stream stream) : peer_(peer), stream_(std::move(stream)) {}

  // Sends what the socket takes now, `bytes_max` at most. Returns how many bytes that was.
  uint64_t Push(uint64_t bytes_max = 256 << 10);
  bool done() const { return sent_bytes_ == stream_.bytes; }
  uint64_t sent_bytes() const { return sent_bytes_; }

 private:
  Peer& peer_;
  const Stream stream_;
  uint64_t sent_bytes_ = 0;
  size_t write_ = 0;  // Index of the write that is under way.
  std::vector<uint8_t> chunk_;
};

}  // namespace devmem::testing
