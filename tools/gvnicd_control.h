// SPDX-License-Identifier: Apache-2.0
//
// The control socket of gvnicd: a listening Unix socket whose clients write commands, a line each,
// and read an answer for each, a line too. Any number of clients; `socat - UNIX-CONNECT:PATH` is
// one. Runs in the event loop.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/gvnic/event_loop.h"
#include "provider/unique_fd.h"
#include "tools/gvnicd_commands.h"

namespace devmem {

class GvnicdControl {
 public:
  // Listens at `path`, whose file the destructor removes. The loop and what `target` names outlive
  // this object.
  static absl::StatusOr<std::unique_ptr<GvnicdControl>> Create(EventLoop& loop,
                                                               const std::string& path,
                                                               ControlTarget target);
  ~GvnicdControl();
  GvnicdControl(const GvnicdControl&) = delete;
  GvnicdControl& operator=(const GvnicdControl&) = delete;

 private:
  struct Client {
    UniqueFd socket;
    std::string unread;     // The beginning of a line whose end has not arrived.
    std::string unwritten;  // Answers that the client has not taken.
  };

  GvnicdControl(EventLoop& loop, std::string path, ControlTarget target)
      : loop_(loop), path_(std::move(path)), target_(std::move(target)) {}

  void OnListening();
  void OnClient(int fd);
  // False: the client has gone, or does not keep to the rules.
  bool Read(Client& client);
  bool Write(Client& client);

  EventLoop& loop_;
  const std::string path_;
  const ControlTarget target_;
  UniqueFd listening_;
  std::map<int, Client> clients_;  // By descriptor.
};

}  // namespace devmem
