// SPDX-License-Identifier: Apache-2.0
// The states of a TCP connection and the moves between them (RFC 9293 section 3.3.2). The engine
// asks these functions on the worker's thread and stores the answer; nothing here has side effects.
// Every switch names every state, so a forgotten one does not compile.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"

namespace devmem {

enum class TcpState : uint8_t {
  kClosed,
  kListen,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
inline constexpr uint32_t kTcpStateCount = 11;
static_assert(TcpState::kClosed < TcpState::kSynReceived &&
                  TcpState::kListen < TcpState::kSynReceived &&
                  TcpState::kSynSent < TcpState::kSynReceived &&
                  TcpState::kSynReceived < TcpState::kEstablished,
              "states without the peer's SYN come first");

// The name of the RFC: "FIN-WAIT-1".
absl::string_view ToString(TcpState state);

// A valid SYN arrived: section 3.10.7.2 third step for LISTEN, section 3.10.7.3 fourth step for
// SYN-SENT. `acks_our_syn` is false for the SYN of a simultaneous open. Later states never get
// here: they answer a SYN with a challenge ACK (RFC 5961 section 4).
constexpr TcpState AfterSyn(TcpState state, bool acks_our_syn) {
  switch (state) {
    case TcpState::kListen: return TcpState::kSynReceived;
    case TcpState::kSynSent: return acks_our_syn ? TcpState::kEstablished : TcpState::kSynReceived;
    case TcpState::kClosed:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: break;
  }
  std::abort();
}

// An acceptable ACK of our SYN arrived in a segment without SYN: section 3.10.7.4, fifth step. A
// connection that was closed by its user before this point went to FIN-WAIT-1 and stays there.
constexpr TcpState AfterOurSynAcked(TcpState state) {
  switch (state) {
    case TcpState::kSynReceived: return TcpState::kEstablished;
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return state;
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent: break;  // SYN-SENT takes a SYN with the ACK: AfterSyn().
  }
  std::abort();
}

// The peer's FIN was reached in order: section 3.10.7.4, eighth step. The ACK step has already run,
// so kFinWait1 means that our own FIN is still unacknowledged.
constexpr TcpState AfterFin(TcpState state) {
  switch (state) {
    case TcpState::kSynReceived:
    case TcpState::kEstablished: return TcpState::kCloseWait;
    case TcpState::kFinWait1: return TcpState::kClosing;
    case TcpState::kFinWait2: return TcpState::kTimeWait;
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return state;  // The peer retransmitted its FIN.
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent: break;  // The segment was dropped before this step.
  }
  std::abort();
}

// Our FIN was acknowledged: section 3.10.7.4, fifth step. Only states that sent one get here.
constexpr TcpState AfterOurFinAcked(TcpState state) {
  switch (state) {
    case TcpState::kFinWait1: return TcpState::kFinWait2;
    case TcpState::kClosing: return TcpState::kTimeWait;
    case TcpState::kLastAck: return TcpState::kClosed;
    case TcpState::kFinWait2:
    case TcpState::kTimeWait: return state;  // An old acknowledgment came again.
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kCloseWait: break;
  }
  std::abort();
}

// The user closed its sending side: section 3.10.4. In kFinWait1 and kLastAck our FIN follows what
// is still queued to send. States that are closing already stay as they are.
constexpr TcpState AfterClose(TcpState state) {
  switch (state) {
    case TcpState::kListen:
    case TcpState::kSynSent: return TcpState::kClosed;
    case TcpState::kSynReceived:
    case TcpState::kEstablished: return TcpState::kFinWait1;
    case TcpState::kCloseWait: return TcpState::kLastAck;
    case TcpState::kClosed:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return state;
  }
  std::abort();
}

// An acceptable RST arrived: section 3.10.7.4, second step. Two departures: a connection in
// SYN-RECEIVED never goes back to LISTEN, because the listener is an object of its own, and
// TIME-WAIT ignores the RST (RFC 1337 section 3, fix F1), so that an old one cannot cut it short.
constexpr TcpState AfterReset(TcpState state) {
  switch (state) {
    case TcpState::kListen:
    case TcpState::kTimeWait: return state;
    case TcpState::kClosed:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck: return TcpState::kClosed;
  }
  std::abort();
}

// Payload that arrives now is queued for the user: section 3.10.7.4, seventh step. SYN-RECEIVED is
// not in the list: its ACK step has run before, and made it ESTABLISHED.
constexpr bool CanReceiveData(TcpState state) {
  switch (state) {
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2: return true;
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return false;
  }
  std::abort();
}

// The user may queue bytes to send and they may leave: section 3.10.2. What was queued before the
// close still leaves in kFinWait1, kClosing and kLastAck; see HasSentFin().
constexpr bool CanSendData(TcpState state) {
  switch (state) {
    case TcpState::kEstablished:
    case TcpState::kCloseWait: return true;
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return false;
  }
  std::abort();
}

// Both sides know each other's initial sequence number: the "synchronized states" of section 3.5.2.
constexpr bool IsSynchronized(TcpState state) {
  switch (state) {
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return true;
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived: return false;
  }
  std::abort();
}

// Our side is closed: the FIN was sent, or follows the bytes that are still queued.
constexpr bool HasSentFin(TcpState state) {
  switch (state) {
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return true;
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kCloseWait: return false;
  }
  std::abort();
}

// The peer's FIN was reached: the stream to the user has an end.
constexpr bool HasReceivedFin(TcpState state) {
  switch (state) {
    case TcpState::kCloseWait:
    case TcpState::kClosing:
    case TcpState::kLastAck:
    case TcpState::kTimeWait: return true;
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2: return false;
  }
  std::abort();
}

static_assert(AfterFin(TcpState::kFinWait2) == TcpState::kTimeWait);
static_assert(AfterOurFinAcked(TcpState::kLastAck) == TcpState::kClosed);
static_assert(AfterReset(TcpState::kTimeWait) == TcpState::kTimeWait);

}  // namespace devmem
