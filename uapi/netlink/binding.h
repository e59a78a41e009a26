// SPDX-License-Identifier: Apache-2.0
//
// A dma-buf that the kernel has bound to rx queues, or for sending, of one NIC. The binding belongs
// to a netlink socket, and every binding has a socket of its own: destroying the object closes the
// socket, and that is what unbinds (the kernel's Documentation/networking/devmem.rst). Made by
// NicSetup and NicControl, or around any socket; may be moved to and destroyed on any thread.

#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace devmem {

class GenlChannel;

// Frags that the application still holds stay valid, and so does the memory, until they are given
// back. Destroying restarts the queues, which can take tens of milliseconds.
class RxBinding {
 public:
  // `channel` is the socket that bound; nobody else uses it.
  RxBinding(uint32_t id, std::vector<uint32_t> queues, std::unique_ptr<GenlChannel> channel);
  ~RxBinding();
  RxBinding(const RxBinding&) = delete;
  RxBinding& operator=(const RxBinding&) = delete;

  uint32_t id() const { return id_; }  // dmabuf_cmsg::dmabuf_id, and what queue-get shows.
  const std::vector<uint32_t>& queues() const { return queues_; }

 private:
  const uint32_t id_;
  const std::vector<uint32_t> queues_;
  const std::unique_ptr<GenlChannel> channel_;
};

class TxBinding {
 public:
  TxBinding(uint32_t id, std::unique_ptr<GenlChannel> channel);
  ~TxBinding();
  TxBinding(const TxBinding&) = delete;
  TxBinding& operator=(const TxBinding&) = delete;

  uint32_t id() const { return id_; }  // What SCM_DEVMEM_DMABUF takes.

 private:
  const uint32_t id_;
  const std::unique_ptr<GenlChannel> channel_;
};

}  // namespace devmem
