// SPDX-License-Identifier: Apache-2.0
//
// An epoll instance of the plug-in, as fs/eventpoll.c of Linux keeps it: a list of watched sockets
// and, for each, whether something has happened to it since it was last reported. A level-triggered
// entry stays ready while its condition holds; an edge-triggered one only until it is reported.
// plugin.h says who calls it; its lock guards it.

#pragma once

#include <sys/epoll.h>

#include <memory>
#include <vector>

#include "tools/packetdrill/socket.h"

namespace devmem::packetdrill {

struct EpollEntry {
  std::weak_ptr<Socket> socket;
  int fd = -1;
  epoll_event event = {};
  bool ready = false;
};

struct Epoll {
  int fd = -1;
  bool nonblocking = false;
  std::vector<EpollEntry> entries;

  EpollEntry* Find(int socket_fd) {
    for (EpollEntry& entry : entries) {
      if (entry.fd == socket_fd) return &entry;
    }
    return nullptr;
  }
};

}  // namespace devmem::packetdrill
