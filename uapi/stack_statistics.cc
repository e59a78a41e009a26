// SPDX-License-Identifier: Apache-2.0
//
// The statistics of a stack session: sums over its workers, under the names that the user's page
// lists.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "uapi/stack_session.h"

namespace devmem {
namespace {

// Adds to the statistic of that name, which is made when it is new; names keep their first order.
class Sums {
 public:
  void Add(absl::string_view name, uint64_t value) {
    for (Statistic& statistic : statistics_) {
      if (statistic.name == name) {
        statistic.value += value;
        return;
      }
    }
    statistics_.push_back(Statistic{std::string(name), value});
  }
  std::vector<Statistic> Take() { return std::move(statistics_); }

 private:
  std::vector<Statistic> statistics_;
};

void AddQueue(const RxQueueStats& stats, Sums* sums) {
  sums->Add("rx_frames", stats.frames);
  sums->Add("rx_polls", stats.polls);
  sums->Add("payload_bytes", stats.payload_bytes);
  sums->Add("steered_bytes", stats.steered_bytes);
  sums->Add("host_bytes", stats.host_bytes);
  sums->Add("payload_bytes_bounced", stats.payload_bytes_bounced);
  sums->Add("presteer_bytes", stats.presteer_bytes);
  sums->Add("missteered_bytes", stats.missteered_bytes);
  sums->Add("elsewhere_bytes", stats.elsewhere_bytes);
  sums->Add("checksum_computed", stats.checksum_computed);
  sums->Add("drop.truncated", stats.drop_truncated);
  sums->Add("drop.malformed", stats.drop_malformed);
  sums->Add("drop.checksum", stats.drop_checksum);
  sums->Add("drop.fragment", stats.drop_fragment);
  sums->Add("drop.pool_empty", stats.drop_pool_empty);
  sums->Add("drop.pool_empty_bytes", stats.drop_pool_empty_bytes);
  sums->Add("drop.revoked", stats.drop_revoked);
  sums->Add("tx_frames", stats.tx_frames);
  sums->Add("tx_dropped", stats.tx_dropped);
}

// What is staged is written to host memory first, so it is bounced as well.
void AddStaging(const StagingStats& stats, Sums* sums) {
  sums->Add("payload_bytes_bounced", stats.bytes);
  sums->Add("payload_bytes_staged", stats.bytes);
  sums->Add("staging.frames", stats.frames);
  sums->Add("staging.batches", stats.batches);
  sums->Add("staging.copies", stats.copies);
  sums->Add("staging.waits", stats.waits);
  sums->Add("drop.pool_empty", stats.drop_pool_empty);
  sums->Add("drop.revoked", stats.drop_revoked);
}

void AddWorker(const WorkerStats& stats, Sums* sums) {
  sums->Add("arp_replies", stats.arp_replies);
  sums->Add("neighbour_in", stats.neighbour_in);
  sums->Add("neighbour_refused", stats.neighbour_refused);
  sums->Add("neighbour_replies", stats.neighbour_replies);
  sums->Add("address_conflicts", stats.address_conflicts);
  sums->Add("echo_replies", stats.echo_replies);
  sums->Add("icmp_unreachable", stats.icmp_unreachable);
  sums->Add("icmp_too_big", stats.icmp_too_big);
  sums->Add("icmp_time_exceeded", stats.icmp_time_exceeded);
  sums->Add("icmp_parameter_problem", stats.icmp_parameter_problem);
  sums->Add("icmp_limited", stats.icmp_limited);
  sums->Add("not_ours", stats.not_ours);
  sums->Add("unresolved", stats.unresolved);
  sums->Add("no_route", stats.no_route);
  sums->Add("handed_over", stats.handed_over);
  sums->Add("handed_over_bytes", stats.handed_over_bytes);
  sums->Add("handover_overflow", stats.handover_overflow);
  sums->Add("late_runs", stats.late_runs);
  sums->Add("frags", stats.frags);
  sums->Add("bytes_read_back", stats.bytes_read_back);
}

void AddEngine(const EngineStats& stats, Sums* sums) {
  sums->Add("tcp.segments_in", stats.segments_in);
  sums->Add("tcp.segments_short_path", stats.segments_short_path);
  sums->Add("tcp.segments_out", stats.segments_out);
  sums->Add("tcp.acks_out", stats.acks_out);
  sums->Add("tcp.payload_bytes_in", stats.payload_bytes_in);
  sums->Add("tcp.payload_bytes_out", stats.payload_bytes_out);
  sums->Add("tcp.duplicate_bytes", stats.duplicate_bytes);
  sums->Add("tcp.out_of_order_segments", stats.out_of_order_segments);
  sums->Add("tcp.retransmits", stats.retransmits);
  sums->Add("tcp.loss_probes", stats.loss_probes);
  sums->Add("tcp.sack_blocks_ignored", stats.sack_blocks_ignored);
  sums->Add("tcp.duplicates_reported", stats.duplicates_reported);
  sums->Add("tcp.timeouts", stats.timeouts);
  sums->Add("tcp.zero_windows_sent", stats.zero_windows_sent);
  sums->Add("tcp.segments_marked", stats.segments_marked);
  sums->Add("tcp.ecn_reductions", stats.ecn_reductions);
  sums->Add("tcp.resets_in", stats.resets_in);
  sums->Add("tcp.resets_out", stats.resets_out);
  sums->Add("tcp.opened_active", stats.opened_active);
  sums->Add("tcp.opened_passive", stats.opened_passive);
  sums->Add("tcp.closed", stats.closed);
  sums->Add("tcp.cookies_sent", stats.cookies_sent);
  sums->Add("tcp.cookies_valid", stats.cookies_valid);
  sums->Add("tcp.challenge_acks_limited", stats.challenge_acks_limited);
  sums->Add("tcp.invalid_answers_limited", stats.invalid_answers_limited);
  sums->Add("tcp.icmp_closed", stats.icmp_closed);
  sums->Add("tcp.icmp_mtu_lowered", stats.icmp_mtu_lowered);
  sums->Add("tcp.icmp_no_connection", stats.icmp_no_connection);
  sums->Add("tcp.icmp_bad_sequence", stats.icmp_bad_sequence);
  sums->Add("tcp.icmp_mtu_ignored", stats.icmp_mtu_ignored);
  sums->Add("tcp.icmp_soft", stats.icmp_soft);
  sums->Add("tcp.icmp_hard_late", stats.icmp_hard_late);
  for (uint32_t reason = 0; reason < static_cast<uint32_t>(TcpDrop::kCount); ++reason) {
    const TcpDrop drop = static_cast<TcpDrop>(reason);
    sums->Add(absl::StrCat("tcp.drop.", ToString(drop)), stats.drop(drop));
  }
}

void AddPool(const PagePoolStats& stats, absl::string_view prefix, Sums* sums) {
  sums->Add(absl::StrCat(prefix, "alloc_fast"), stats.alloc_fast);
  sums->Add(absl::StrCat(prefix, "alloc_refill"), stats.alloc_refill);
  sums->Add(absl::StrCat(prefix, "alloc_slow"), stats.alloc_slow);
  sums->Add(absl::StrCat(prefix, "alloc_failed"), stats.alloc_failed);
  sums->Add(absl::StrCat(prefix, "hold"), stats.hold);
  sums->Add(absl::StrCat(prefix, "release"), stats.release);
}

}  // namespace

std::vector<Statistic> StackSession::statistics() const {
  Sums sums;
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    const Worker& worker = stack_->worker(i);
    AddQueue(worker.queue_stats(), &sums);
    AddStaging(worker.staging_stats(), &sums);
    AddWorker(worker.stats(), &sums);
    sums.Add("drop.pool_empty", worker.handed_stats().drop_pool_empty);
    sums.Add("drop.pool_empty_bytes", worker.handed_stats().drop_pool_empty_bytes);
    sums.Add("tokens_issued", worker.token_stats().issued);
    sums.Add("tokens_returned", worker.token_stats().returned);
    sums.Add("tokens_refused", worker.token_stats().refused);
    AddEngine(worker.engine().stats(), &sums);
    const PagePool* device = worker.store().device();
    if (device != nullptr) AddPool(device->stats(), "pool.", &sums);
    AddPool(worker.store().host().stats(), "host_pool.", &sums);
  }
  return sums.Take();
}

}  // namespace devmem
