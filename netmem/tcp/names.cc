// SPDX-License-Identifier: Apache-2.0
//
// The words for the engine's enumerations, as statistics and messages print them.

#include <cstdlib>

#include "netmem/tcp/connection.h"
#include "netmem/tcp/engine_stats.h"

namespace devmem {

absl::string_view ToString(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNone: return "none";
    case CloseReason::kReset: return "reset by the peer";
    case CloseReason::kRefused: return "refused by the peer";
    case CloseReason::kTimedOut: return "timed out";
    case CloseReason::kAborted: return "aborted here";
    case CloseReason::kUnreachable: return "unreachable";
    case CloseReason::kDeviceGone: return "the network device is gone";
    case CloseReason::kMemoryGone: return "its exporter took the device memory away";
  }
  std::abort();
}

absl::string_view ToString(TcpDrop drop) {
  switch (drop) {
    case TcpDrop::kNoConnection: return "no_connection";
    case TcpDrop::kOutsideWindow: return "outside_window";
    case TcpDrop::kBeyondWindow: return "beyond_window";
    case TcpDrop::kPaws: return "paws";
    case TcpDrop::kBadAck: return "bad_ack";
    case TcpDrop::kBadSack: return "bad_sack";
    case TcpDrop::kBadEcho: return "bad_echo";
    case TcpDrop::kBadOptions: return "bad_options";
    case TcpDrop::kNoAckFlag: return "no_ack_flag";
    case TcpDrop::kUnexpectedSyn: return "unexpected_syn";
    case TcpDrop::kBadReset: return "bad_reset";
    case TcpDrop::kBacklogFull: return "backlog_full";
    case TcpDrop::kAcceptQueueFull: return "accept_queue_full";
    case TcpDrop::kBadCookie: return "bad_cookie";
    case TcpDrop::kNoSlot: return "no_connection_slot";
    case TcpDrop::kSynPayload: return "syn_payload";
    case TcpDrop::kMemoryReserve: return "memory_reserve";
    case TcpDrop::kNoMemory: return "no_memory";
    case TcpDrop::kPieceArray: return "piece_array";
    case TcpDrop::kSackedGivenUp: return "sacked_given_up";
    case TcpDrop::kAfterClose: return "after_close";
    case TcpDrop::kUrgent: return "urgent_ignored";
    case TcpDrop::kCount: break;
  }
  std::abort();
}

}  // namespace devmem
