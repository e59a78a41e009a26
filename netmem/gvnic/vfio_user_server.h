// SPDX-License-Identifier: Apache-2.0
//
// Offers one PCI device on a Unix socket to one vfio-user client at a time. It listens for as long
// as it exists: when a client goes away, in order or in mid-transfer, the device is reset, all of
// the guest's memory is unmapped, and the next client may come. Runs in the event loop.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/event_loop.h"
#include "netmem/gvnic/vfio_user_connection.h"
#include "netmem/gvnic/vfio_user_session.h"
#include "provider/unique_fd.h"

namespace devmem {

struct VfioUserServerStats {
  uint64_t clients = 0;
  uint64_t clients_turned_away = 0;  // They came while another one drove the device.
  uint64_t messages = 0;
  uint64_t refused_messages = 0;  // Answered with an error, or not at all.
};

class VfioUserServer {
 public:
  // Listens at `path`, in place of a socket that a process left there which no longer listens. The
  // socket's file is removed by the destructor. `loop` and `device` outlive this object.
  //
  // Errors: kInvalidArgument  the path does not fit into a socket's address.
  //         kAlreadyExists    somebody listens there, or it is no socket.
  //         others            as socket(2), bind(2) and listen(2) have them.
  static absl::StatusOr<std::unique_ptr<VfioUserServer>> Create(EventLoop& loop,
                                                                const std::string& path,
                                                                VfioUserDevice& device);
  ~VfioUserServer();
  VfioUserServer(const VfioUserServer&) = delete;
  VfioUserServer& operator=(const VfioUserServer&) = delete;

  // Takes a connected socket as a client's, as if it had come to the path.
  absl::Status Adopt(UniqueFd socket);

  bool has_client() const { return connection_ != nullptr; }
  const VfioUserServerStats& stats() const { return stats_; }
  // Why the last client went, and the last refusal; empty: there was none.
  const std::string& last_end() const { return last_end_; }
  const std::string& last_refusal() const { return last_refusal_; }

 private:
  VfioUserServer(EventLoop& loop, std::string path, VfioUserDevice& device)
      : loop_(loop), path_(std::move(path)), device_(device) {}

  absl::Status Listen();
  void OnListening();
  void OnClient(uint32_t epoll_events);
  absl::Status HandleMessages();
  absl::Status HandleOne(VfioUserMessage& message);
  void Disconnect(const absl::Status& reason);

  EventLoop& loop_;
  const std::string path_;
  VfioUserDevice& device_;
  UniqueFd listening_;
  std::unique_ptr<VfioUserConnection> connection_;  // nullptr: no client.
  std::optional<VfioUserSession> session_;          // There with connection_.
  bool waits_to_write_ = false;
  VfioUserServerStats stats_;
  std::string last_end_;
  std::string last_refusal_;
};

}  // namespace devmem
