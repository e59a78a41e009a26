// SPDX-License-Identifier: Apache-2.0
//
// Searches in the two sorted lists of listeners.

#include "netmem/tcp/listener_table.h"

#include <algorithm>
#include <utility>

namespace devmem {
namespace {

// Of the family that `address` is of.
IpAddress Unspecified(const IpAddress& address) {
  return address.is_v4() ? IpAddress::FromV4(0) : IpAddress();
}

}  // namespace

std::vector<TcpListener>::const_iterator ListenerTable::From(ListenerId id) const {
  return std::lower_bound(
      listeners_.begin(), listeners_.end(), id,
      [](const TcpListener& listener, ListenerId wanted) { return listener.id < wanted; });
}

const TcpListener* ListenerTable::Find(ListenerId id) const {
  const auto found = From(id);
  return found != listeners_.end() && found->id == id ? &*found : nullptr;
}

TcpListener* ListenerTable::Find(ListenerId id) {
  return const_cast<TcpListener*>(std::as_const(*this).Find(id));
}

const ListenerTable::Place* ListenerTable::From(const IpAddress& local, uint16_t port) const {
  const auto found = std::lower_bound(places_.begin(), places_.end(), Place{local, port});
  return found == places_.end() ? nullptr : &*found;
}

ListenerId ListenerTable::At(const IpAddress& local, uint16_t port) const {
  const Place* const place = From(local, port);
  return place != nullptr && place->port == port && place->local == local ? place->id : 0;
}

const TcpListener* ListenerTable::For(const IpAddress& local, uint16_t port) const {
  const ListenerId exact = At(local, port);
  return Find(exact != 0 ? exact : At(Unspecified(local), port));
}

TcpListener* ListenerTable::For(const IpAddress& local, uint16_t port) {
  return const_cast<TcpListener*>(std::as_const(*this).For(local, port));
}

const TcpListener* ListenerTable::InTheWay(const IpAddress& local, uint16_t port) const {
  if (!local.is_unspecified()) return For(local, port);
  // It would stand before all others of its port and family.
  const Place* const place = From(local, port);
  const bool is_any = place != nullptr && place->port == port;
  return is_any && place->local.is_v4() == local.is_v4() ? Find(place->id) : nullptr;
}

TcpListener& ListenerTable::Add(const IpAddress& local, uint16_t port) {
  // Numbers come round after 2^32 listeners; one that is still in use is passed over.
  while (next_id_ == 0 || Find(next_id_) != nullptr) ++next_id_;
  const Place place{local, port, next_id_++};
  places_.insert(std::lower_bound(places_.begin(), places_.end(), place), place);
  TcpListener& listener = *listeners_.insert(From(place.id), TcpListener());
  listener.id = place.id;
  listener.local = local;
  listener.port = port;
  return listener;
}

void ListenerTable::Remove(ListenerId id) {
  const auto gone = From(id);
  places_.erase(std::lower_bound(places_.begin(), places_.end(), Place{gone->local, gone->port}));
  listeners_.erase(gone);
}

}  // namespace devmem
