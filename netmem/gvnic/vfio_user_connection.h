// SPDX-License-Identifier: Apache-2.0
//
// Messages out of and into a vfio-user socket: exact framing, with the file descriptors that come
// along. The server reads from it when the event loop says that the socket is readable; one thread.
// QEMU, docs/interop/vfio-user.rst, "Message format".

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/vfio_user_messages.h"
#include "provider/unique_fd.h"

struct msghdr;

namespace devmem {

struct VfioUserMessage {
  VfioUserHeader header = {};
  std::vector<uint8_t> body = {};
  std::vector<UniqueFd> fds = {};  // At most kVfioUserFdsMax.
};

// Invariant: no read asks for more than what is left of the message that it is in. A longer read
// could join a message without descriptors to the next one that has some, and nobody could tell
// whose they are.
class VfioUserConnection {
 public:
  // `socket` is a connected stream socket that does not block.
  explicit VfioUserConnection(UniqueFd socket) : socket_(std::move(socket)) {}
  VfioUserConnection(const VfioUserConnection&) = delete;
  VfioUserConnection& operator=(const VfioUserConnection&) = delete;

  int fd() const { return socket_.get(); }

  // The next whole message, or nullptr when the rest of it has not arrived. It lives until the next
  // call, and its descriptors may be taken out of it. After an error the connection is of no use.
  //
  // Errors: kCancelled        the client has closed the connection between two messages.
  //         kDataLoss         it has closed it within one.
  //         kInvalidArgument  a size that no message has, too many descriptors.
  //         others            as recvmsg(2) has them.
  absl::StatusOr<VfioUserMessage*> Receive();

  // Answers `command` with `body`, or with an errno if `error` is not 0. What the socket does not
  // take at once waits for Flush().
  //
  // Errors: kResourceExhausted  kVfioUserBacklogBytesMax bytes of answers wait already.
  //         others              as send(2) has them.
  absl::Status Reply(const VfioUserHeader& command, uint32_t error, std::span<const uint8_t> body);

  absl::Status Flush();
  bool has_backlog() const { return sent_bytes_ < backlog_.size(); }

 private:
  enum class Progress { kDone, kWaiting, kClosed };

  absl::StatusOr<Progress> ReadInto(std::span<uint8_t> part, size_t* filled_bytes);
  absl::Status TakeFds(const msghdr& received);
  absl::Status BeginBody();

  UniqueFd socket_;
  VfioUserMessage message_;
  size_t header_filled_bytes_ = 0;
  size_t body_filled_bytes_ = 0;
  std::vector<uint8_t> backlog_;  // Answers; the first sent_bytes_ of it are gone already.
  size_t sent_bytes_ = 0;
};

}  // namespace devmem
