// SPDX-License-Identifier: Apache-2.0
//
// Where the lossy relay meets a network: a TAP that it makes itself, or the kernel's side of a TAP
// that another program made. Frames that come from a port are finished: the kernel hands over
// partial checksums (linux/virtio_net.h, NEEDS_CSUM), the port completes them, and what it sends
// says nothing about its checksum, so that the receiver has to look. Single thread.

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "provider/unique_fd.h"

namespace devmem::lossy {

// The bytes of one frame, from the Ethernet header on.
using Frame = std::vector<uint8_t>;

// The largest frame that a port takes: an MTU of 1500 with its Ethernet header, and room to notice
// what is larger.
inline constexpr size_t kPortFrameBytesMax = 2048;

// Puts the checksum of NEEDS_CSUM where `start` and `offset` say, over the partial sum that is
// there. False: they point outside of the frame.
bool CompleteChecksum(std::span<uint8_t> frame, uint16_t start, uint16_t offset);

class PacketPort {
 public:
  // Makes a TAP in the network namespace of this thread. Its kernel leaves checksums to the port
  // and cuts segments itself.
  static absl::StatusOr<PacketPort> MakeTap(const std::string& name);

  // Joins device `name` from the kernel's side: what is sent goes out of the device, to the program
  // that holds the TAP, and what that program sends comes in.
  static absl::StatusOr<PacketPort> JoinDevice(const std::string& name);

  // Readable when a frame waits; never blocks.
  int fd() const { return fd_.get(); }

  // Takes the next frame. False: none waits. Frames that were refused (longer than an MTU, or a
  // checksum outside of the frame) are skipped and counted.
  bool Receive(Frame& frame);

  // Sends at once. A frame that the device has no room for is dropped and counted as unsent. One
  // that finds no device any more is counted by itself: a receiver may end while its peer still
  // asks for an answer.
  void Send(const Frame& frame);

  uint64_t refused() const { return refused_; }
  uint64_t unsent() const { return unsent_; }
  uint64_t away() const { return away_; }

 private:
  explicit PacketPort(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  uint64_t refused_ = 0;
  uint64_t unsent_ = 0;
  uint64_t away_ = 0;
};

}  // namespace devmem::lossy
