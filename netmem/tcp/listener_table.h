// SPDX-License-Identifier: Apache-2.0
//
// The listeners of an engine (RFC 9293 section 3.10.1), by number and by the address and port that
// they are on. Both are sorted, so that a SYN costs a few comparisons however many there are. The
// engine keeps one and calls it on its worker's thread.

#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "netmem/tcp/accept_queue.h"
#include "netmem/tcp/socket_options.h"
#include "netmem/tcp/time.h"
#include "netmem/wire/ip_address.h"

namespace devmem {

using ListenerId = uint32_t;  // From 1.

struct TcpListener {
  ListenerId id = 0;
  IpAddress local;
  uint16_t port = 0;
  uint32_t backlog = 0;
  bool bound = false;
  uint32_t half_open = 0;
  Nanos cookie_at = kNever;  // When the last SYN cookie went; kNever: none did.
  SocketOptionsRef options;  // Of the connections to come.
  AcceptQueue queue;         // Established, and not accepted.
};

// Pointers are valid until the next Add() or Remove(); nullptr: there is none.
class ListenerTable {
 public:
  const TcpListener* Find(ListenerId id) const;
  TcpListener* Find(ListenerId id);

  // The listener for what is sent to an address and port: on just this address, or else on the
  // unspecified one of its family.
  const TcpListener* For(const IpAddress& local, uint16_t port) const;
  TcpListener* For(const IpAddress& local, uint16_t port);

  // A listener that would share segments with one on this address and port: on the same address, or
  // one of the two is the unspecified address of their family.
  const TcpListener* InTheWay(const IpAddress& local, uint16_t port) const;

  // A new listener, with a number of its own. The address and port are not listened on.
  TcpListener& Add(const IpAddress& local, uint16_t port);
  // `id` is in the table.
  void Remove(ListenerId id);

  // By number, ascending.
  const std::vector<TcpListener>& all() const { return listeners_; }

 private:
  struct Place {
    IpAddress local;
    uint16_t port = 0;
    ListenerId id = 0;

    // The unspecified address comes first among those of a port and family.
    auto Key() const { return std::make_tuple(port, local.is_v4(), local); }
    friend bool operator<(const Place& a, const Place& b) { return a.Key() < b.Key(); }
  };

  std::vector<TcpListener>::const_iterator From(ListenerId id) const;
  // The first place that is not before this one; nullptr: every place is.
  const Place* From(const IpAddress& local, uint16_t port) const;
  // The listener on just this address; 0: there is none.
  ListenerId At(const IpAddress& local, uint16_t port) const;

  std::vector<TcpListener> listeners_;  // Sorted by id.
  std::vector<Place> places_;           // Sorted; one for each listener.
  ListenerId next_id_ = 1;
};

}  // namespace devmem
