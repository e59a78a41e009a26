// SPDX-License-Identifier: Apache-2.0
//
// What a threaded session does between two turns of a worker: frags into the channels, releases out of
// them, and news. Everything here runs on the worker's thread.

#include <algorithm>
#include <array>

#include "uapi/channel.h"
#include "uapi/stack_session.h"

namespace devmem {
namespace {

bool TakeReturned(Channel& channel, Worker& worker, Nanos now) {
  std::array<Frag, 256> batch;
  bool any = false;
  while (true) {
    size_t count = 0;
    while (count < batch.size()) {
      const Frag* frag = channel.returned.Front();
      if (frag == nullptr) break;
      batch[count++] = *frag;
      channel.returned.Pop();
    }
    if (count == 0) return any;
    (void)worker.Release(std::span(batch).first(count), now);
    any = true;
  }
}

bool PushReceived(Channel& channel, TcpConnection& connection, Worker& worker, Nanos now) {
  if (!channel.pull.load(std::memory_order_relaxed) || !connection.bound) return false;
  bool any = false;
  while (!connection.receiver.in_order().empty() && !worker.tokens_full()) {
    Frag* slot = channel.received.Reserve();
    if (slot == nullptr) {
      channel.stalled.store(true, std::memory_order_seq_cst);
      // Room that was made before the flag was up would wake nobody.
      slot = channel.received.Reserve();
      if (slot == nullptr) return any;
      channel.stalled.store(false, std::memory_order_relaxed);
    }
    if (worker.TakeFrags(connection, std::span(slot, 1), now) == 0) return any;
    channel.received.Push();
    any = true;
  }
  return any;
}

bool HasNews(Channel& channel, const TcpConnection& connection) {
  const uint64_t unread = connection.receiver.in_order().bytes();
  const uint64_t unsent = connection.sender.buffer().size();
  const bool news = channel.seen_state != connection.state ||
                    channel.seen_unread_bytes != unread || channel.seen_send_bytes != unsent;
  channel.seen_state = connection.state;
  channel.seen_unread_bytes = unread;
  channel.seen_send_bytes = unsent;
  return news;
}

bool Serve(Channel& channel, Worker& worker, Nanos now) {
  const bool returned = TakeReturned(channel, worker, now);
  TcpConnection* connection = worker.engine().Find(channel.handle().id);
  if (connection == nullptr) return returned;
  const bool pushed = PushReceived(channel, *connection, worker, now);
  bool ended = false;
  if (!channel.ended.load(std::memory_order_relaxed) &&
      connection->receiver.in_order().empty() &&
      (HasReceivedFin(connection->state) || connection->state == TcpState::kClosed)) {
    channel.ended.store(true, std::memory_order_release);
    ended = true;
  }
  if (HasNews(channel, *connection) || pushed || ended) channel.Announce();
  return returned || pushed;
}

}  // namespace

bool StackSession::AfterRun(Worker& worker, Nanos now) {
  bool any = false;
  for (const std::shared_ptr<Channel>& channel : channels_[worker.queue()]) {
    any |= Serve(*channel, worker, now);
  }
  // Releases and reads may have opened windows.
  worker.engine().Flush(now);
  if (!worker.engine().changed().empty()) {
    worker.engine().ClearChanged();
    news_.Raise();
  }
  return any;
}

Nanos StackSession::NextCall(const Worker&, Nanos) { return kNever; }

void StackSession::AddChannel(const std::shared_ptr<Channel>& channel) {
  const uint32_t worker = channel->handle().worker;
  OnWorker(worker, [&] { channels_[worker].push_back(channel); });
}

void StackSession::RemoveChannel(const std::shared_ptr<Channel>& channel) {
  const uint32_t worker = channel->handle().worker;
  OnWorker(worker, [&] {
    (void)TakeReturned(*channel, stack_->worker(worker), Now());
    std::erase(channels_[worker], channel);
  });
}

void StackSession::PollFences() {
  if (fences_.empty()) return;
  (void)fences_.Poll([&](std::span<const Frag> frags) { (void)ReleaseAny(frags, 0); });
}

}  // namespace devmem
