// SPDX-License-Identifier: Apache-2.0
//
// What the user of one connection, or of one listener for all its connections, wants to be other
// than usual: the knobs of Linux's setsockopt(). Nearly no connection has any, so they lie in a
// record of their own that costs a connection one pointer; a listener shares its record with the
// connections that it makes, because those are made while a segment is handled and that must not
// allocate. Owned by one worker.

#pragma once

#include <cstdint>
#include <utility>

#include "netmem/tcp/limits.h"
#include "netmem/tcp/time.h"

namespace devmem {

struct SocketOptions {
  uint64_t window_bytes_max = 0;               // Unread and promised together; 0: the engine's.
  uint8_t window_scale = kWindowScaleMax + 1;  // Above the maximum: the engine's.
  uint16_t mss_bytes_max = 0;                  // Bounds the MSS both ways; 0: the device's alone.
  bool no_delay = false;                       // Nagle's algorithm is off.
  bool cork = false;                           // Only full segments leave.
  bool patient = false;                        // Time out 200 ms after a round trip, as Linux.
  uint8_t syn_retries_max = kSynRetriesMax;
  uint8_t data_retries_max = kDataRetriesMax;
  Nanos keepalive_idle = kNever;  // Silence before the first probe; kNever: there is none.
  uint8_t keepalive_probes_max = kKeepaliveProbesMax;
  Nanos keepalive_interval = kKeepaliveInterval;
  Nanos fin_wait_2_max = kFinWait2Max;  // Once nobody waits for the peer's data.
  Nanos user_timeout = 0;  // The longest that data stays unacknowledged (RFC 5482); 0: no bound.
};

// A counted reference to a record; null stands for the defaults.
class SocketOptionsRef {
 public:
  SocketOptionsRef() = default;
  // Allocates: never while a segment is handled.
  explicit SocketOptionsRef(const SocketOptions& options) : record_(new Record{options, 1}) {}
  SocketOptionsRef(const SocketOptionsRef& other) : record_(other.record_) {
    if (record_ != nullptr) ++record_->references;
  }
  SocketOptionsRef(SocketOptionsRef&& other) noexcept
      : record_(std::exchange(other.record_, nullptr)) {}
  SocketOptionsRef& operator=(SocketOptionsRef other) noexcept {
    std::swap(record_, other.record_);
    return *this;
  }
  ~SocketOptionsRef() {
    if (record_ != nullptr && --record_->references == 0) delete record_;
  }

  const SocketOptions& operator*() const {
    return record_ == nullptr ? kDefaults : record_->options;
  }
  const SocketOptions* operator->() const { return &**this; }

 private:
  struct Record {
    SocketOptions options;
    uint32_t references;
  };
  static constexpr SocketOptions kDefaults = {};

  Record* record_ = nullptr;
};

}  // namespace devmem
