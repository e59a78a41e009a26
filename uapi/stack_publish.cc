// SPDX-License-Identifier: Apache-2.0
//
// What a session of the stack backend publishes in its statistics page: a record for each worker,
// written by whoever runs the worker. Frags that go out and come back are told at once, with two
// stores a call; the rest before the worker's thread sleeps, and while it is busy once in many
// turns. So the figures are right whenever nothing moves, also when the application stays away.

#include "absl/status/statusor.h"
#include "uapi/limits.h"
#include "uapi/stack_session.h"

namespace devmem {
namespace {

StatsFigures FiguresOf(const Worker& worker) {
  const RxQueueStats& queue = worker.queue_stats();
  const StagingStats& staging = worker.staging_stats();
  const TokenStats& tokens = worker.token_stats();
  const EngineStats& engine = worker.engine().stats();
  StatsFigures figures{
      .kind = StatsKind::kQueue,
      .queue = worker.queue(),
      .tokens_held = worker.tokens_held(),
      .held_bytes = worker.held_bytes(),
      .tokens_issued = tokens.issued,
      .tokens_returned = tokens.returned,
      .tokens_refused = tokens.refused,
      .connections = worker.engine().connection_count(),
      .connections_total = engine.opened_active + engine.opened_passive,
      .payload_bytes = engine.payload_bytes_in,
      .bounced_bytes = queue.payload_bytes_bounced + staging.bytes,
      .drop_pool_empty =
          queue.drop_pool_empty + worker.handed_stats().drop_pool_empty + staging.drop_pool_empty,
      .drop_other = queue.drop_truncated + queue.drop_malformed + queue.drop_checksum +
                    queue.drop_fragment + queue.drop_revoked + staging.drop_revoked};
  const PagePool* const pool = worker.store().device();
  if (pool == nullptr) return figures;
  figures.region_bytes = pool->capacity_bytes();
  figures.net_iov_bytes = pool->net_iov_bytes();
  figures.net_iovs = pool->net_iov_count();
  figures.net_iovs_used = pool->stats().hold - pool->stats().release;
  return figures;
}

}  // namespace

void StackSession::StartPublishing(const SessionOptions& options) {
  published_.resize(stack_->worker_count());
  absl::StatusOr<std::unique_ptr<StatsPage>> page =
      StatsPage::Create(options.statistics_folder, ToString(Backend::kStack), info_.device);
  if (!page.ok()) {
    info_.statistics_note = std::string(page.status().message());
    return;
  }
  stats_page_ = *std::move(page);
  info_.statistics_page = stats_page_->path();
  for (Published& one : published_) one.record = stats_page_->Take();
  PublishAll();
}

void StackSession::Publish(const Worker& worker) {
  StatsRecord* const record = published_[worker.queue()].record;
  if (record != nullptr) record->Write(FiguresOf(worker));
}

void StackSession::PublishHeld(const Worker& worker) {
  StatsRecord* const record = published_[worker.queue()].record;
  if (record != nullptr) record->WriteHeld(worker.tokens_held(), worker.held_bytes());
}

void StackSession::PublishAll() {
  for (uint32_t i = 0; i < stack_->worker_count(); ++i) {
    OnWorker(i, [&] { Publish(stack_->worker(i)); });
  }
}

void StackSession::PublishBetweenTurns(bool busy) {
  if (stats_page_ == nullptr) return;
  const bool moved = busy || busy_looks_ != 0 || turn_ != published_turn_;
  if (!moved || (busy && ++busy_looks_ < kStatsTurnsPerLook)) return;
  PublishAll();
  busy_looks_ = 0;
  published_turn_ = turn_;
}

void StackSession::PublishAfterRun(const Worker& worker, bool busy) {
  Published& mine = published_[worker.queue()];
  if (mine.record == nullptr) return;
  const uint64_t frames = worker.queue_stats().frames;
  busy |= frames != mine.frames;
  mine.frames = frames;
  if (busy && ++mine.turns % kStatsTurnsPerLook != 0) {
    PublishHeld(worker);
  } else {
    Publish(worker);
  }
}

}  // namespace devmem
