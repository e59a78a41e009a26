// SPDX-License-Identifier: Apache-2.0
//
// What goes out at the end of a batch: data within both windows, and acknowledgments by policy (RFC
// 9293 section 3.8). What segments say of what was received is in acknowledgment.cc.

#include <algorithm>
#include <array>

#include "netmem/tcp/engine.h"

namespace devmem {
namespace {

// The most payload of one super-frame.
uint32_t SuperFrameBytesMax(const TcpEngineConfig& config, const Sender& sender) {
  const uint32_t most = std::max<uint32_t>(config.gso_bytes_max, sender.mss_bytes());
  const uint64_t round_trip_usecs = static_cast<uint64_t>(sender.rto().srtt() / kMicrosecond);
  if (!config.gso_by_rate || !sender.rto().has_sample()) return most;
  // The window goes out twice in a round trip of slow start; 1024 slices make a second. A short
  // round trip bears larger bursts, half as large for each 512 us.
  const NewReno congestion = sender.congestion();
  const bool slow_start = congestion.cwnd_bytes() < congestion.ssthresh_bytes() / 2;
  const uint64_t percent = slow_start ? 200 : 120;
  const uint64_t a_second = congestion.cwnd_bytes() * percent * 10'000;
  uint64_t bytes = a_second / std::max<uint64_t>(round_trip_usecs, 1) / 1024;
  if (round_trip_usecs < uint64_t{32} * 512) bytes += most >> (round_trip_usecs / 512);
  const uint32_t least = std::min(2 * sender.mss_bytes(), most);
  return static_cast<uint32_t>(std::clamp<uint64_t>(bytes, least, most));
}

}  // namespace

// End of a batch: every connection that something happened to says what it has to say, once.
void TcpEngine::Flush(Nanos now) {
  now_ = now;
  if (memory_came_back_ || credit_goes_on_) {
    memory_came_back_ = false;
    OnMemoryReturned(now);
  }
  if (flush_count_ == 0) return;
  for (uint32_t i = 0; i < flush_count_; ++i) {
    Slot& slot = slots_[flush_list_[i]];
    slot.list_flags = static_cast<uint8_t>(slot.list_flags & ~kInFlush);
    if (slot.constructed != 0) Output(slot.connection());
  }
  flush_count_ = 0;
  if (!device_ledger_.has_value()) return;
  const PagePool& pool = *store_->device();
  device_ledger_->MeasureWaste(pool.capacity_bytes() - pool.available_bytes(),
                               store_->device_payload_bytes());
}

void TcpEngine::Output(TcpConnection& connection) {
  if (connection.state < TcpState::kSynReceived) [[unlikely]]
    return;
  if (connection.sender.has_queued() && connection.state != TcpState::kSynReceived) [[unlikely]]
    SendData(connection);
  if (connection.ack_now) {
    SendAck(connection);
    return;
  }
  if (config_.ack.wait_for_answers) {
    const uint64_t unread = connection.receiver.in_order().bytes();
    connection.ack_policy.SetHalfFull(2 * unread > WindowBytesMax(*connection.options));
  }
  switch (connection.ack_policy.Decide()) {
    case AckDecision::kNone: return;
    case AckDecision::kNow: SendAck(connection); return;
    case AckDecision::kDelayed:
      if (connection.deadline(kTimerDelayedAck) == kNever) {
        SetTimer(connection, kTimerDelayedAck, now_ + config_.ack.delay_max);
      }
      return;
  }
}

void TcpEngine::SendData(TcpConnection& connection) {
  Sender& sender = connection.sender;
  sender.RestartAfterIdle(now_);
  const uint32_t segment_max = SuperFrameBytesMax(config_, sender);
  while (true) {
    // CWR belongs on one segment, and a NIC that cuts a super-frame would copy it.
    const uint32_t bytes_max = connection.ecn.cwr_pending ? sender.mss_bytes() : segment_max;
    const std::optional<SendPlan> plan = sender.NextToSend(bytes_max);
    if (!plan.has_value()) break;
    SendPlanned(connection, *plan);
  }
  if (sender.NeedsPersist() && connection.deadline(kTimerPersist) == kNever) {
    SetTimer(connection, kTimerPersist, now_ + sender.rto().rto());
  }
}

void TcpEngine::SendPlanned(TcpConnection& connection, const SendPlan& plan) {
  OutSegment out;
  out.seq = plan.seq;
  out.payload = plan.payload;
  out.gso_segment_bytes = plan.gso_segment_bytes;
  out.flags = kTcpAck;
  if (plan.fin) out.flags |= kTcpFin;
  // RFC 9293 section 3.9.1.2: the last one of what is queued. A super-frame is pushed, too, as
  // Linux does: its receiver merges segments, and need not wait for more.
  if (plan.pushed || plan.gso_segment_bytes != 0) out.flags |= kTcpPsh;
  const bool idle = connection.sender.all_acked();
  if (plan.seq < connection.sender.snd_max()) {
    ++stats_.retransmits;
  } else if (connection.ecn.enabled && !plan.payload.empty()) {
    // RFC 3168 sections 6.1.2 and 6.1.5: new data only.
    out.ecn = kEcnEct0;
    if (connection.ecn.cwr_pending) out.flags |= kTcpCwr;
    connection.ecn.cwr_pending = false;
  }
  const uint32_t new_bytes = connection.sender.OnSent(plan, now_);
  connection.payload_bytes_sent += new_bytes;
  if (new_bytes != 0) {
    connection.ack_policy.OnDataSent(connection.last_heard_at, now_, config_.ack.delay_max);
  }
  stats_.payload_bytes_out.Add(new_bytes);
  EmitSegment(connection, out);
  // RFC 6298 (5.1): the timer runs while anything is unacknowledged.
  if (idle || connection.deadline(kTimerRetransmit) == kNever) {
    RestartRetransmit(connection);
  } else if (new_bytes != 0 && connection.sender.probe_next()) {
    SetTimer(connection, kTimerRetransmit, connection.sender.PutProbeOff(now_));
  }
  if (idle) connection.retries = 0;  // They were keepalive's.
}

void TcpEngine::RestartRetransmit(TcpConnection& connection) {
  if (connection.sender.all_acked()) {
    StopTimer(connection, kTimerRetransmit);
  } else {
    SetTimer(connection, kTimerRetransmit, connection.sender.ArmTimer(now_, config_.loss_probe));
  }
}

}  // namespace devmem
