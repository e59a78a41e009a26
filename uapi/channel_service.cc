// SPDX-License-Identifier: Apache-2.0
//
// What a threaded session does between two turns of a worker: frags into the channels, releases out
// of them, and news. Everything here runs on the worker's thread.

#include <algorithm>
#include <array>
#include <utility>

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
  const SeqNum snd_una = connection.sender.snd_una();
  const SeqNum rcv_nxt = connection.receiver.rcv_nxt();
  const bool news = channel.seen_state != connection.state || channel.seen_snd_una != snd_una ||
                    channel.seen_rcv_nxt != rcv_nxt;
  channel.seen_state = connection.state;
  channel.seen_snd_una = snd_una;
  channel.seen_rcv_nxt = rcv_nxt;
  return news;
}

// Whether that changed.
bool NoteTokens(Channel& channel, const TcpConnection& connection, const Worker& worker) {
  const bool lacks = worker.tokens_full() && !connection.receiver.in_order().empty();
  return lacks != channel.lacks_tokens.exchange(lacks);
}

struct Served {
  bool busy = false;    // Frags went one way or the other.
  bool pushed = false;  // Frags wait that did not before.
};

Served Serve(Channel& channel, Worker& worker, Nanos now) {
  const bool returned = TakeReturned(channel, worker, now);
  TcpConnection* connection = worker.engine().Find(channel.handle().id);
  if (connection == nullptr) return {.busy = returned};
  const bool pushed = PushReceived(channel, *connection, worker, now);
  bool ended = false;
  if (!channel.ended.load(std::memory_order_relaxed) && connection->receiver.in_order().empty() &&
      (HasReceivedFin(connection->state) || connection->state == TcpState::kClosed)) {
    channel.ended.store(true, std::memory_order_release);
    ended = true;
  }
  bool news = HasNews(channel, *connection) || pushed || ended;
  news |= NoteTokens(channel, *connection, worker);
  if (news) channel.Announce();
  return {.busy = returned || pushed, .pushed = pushed};
}

}  // namespace

bool StackSession::AfterRun(Worker& worker, Nanos now) {
  bool any = false;
  // Frags may be pushed long after their bytes were news: when the first Recv() asks for them.
  bool news = false;
  for (const std::shared_ptr<Channel>& channel : channels_[worker.queue()]) {
    const Served served = Serve(*channel, worker, now);
    any |= served.busy;
    news |= served.pushed;
  }
  any |= worker_fences_[worker.queue()]->Poll(
             [&](std::span<const Frag> frags) { ReleaseHere(frags, worker, now); }) != 0;
  // Releases and reads may have opened windows.
  worker.Flush(now);
  PublishAfterRun(worker, any);
  const bool drained = draining_.load(std::memory_order_relaxed) && worker.drained();
  if (news || !worker.engine().changed().empty() || worker.gone() || drained) {
    worker.engine().ClearChanged();
    news_.Raise();
  }
  return any;
}

// On the thread of `worker`: it must not wait for another worker, which may be waiting for it.
void StackSession::ReleaseHere(std::span<const Frag> frags, Worker& worker, Nanos now) {
  for (const Frag& frag : frags) {
    uint32_t owner = worker.queue();
    for (uint32_t other = 0; other < stack_->worker_count(); ++other) {
      if (stack_->worker(other).Owns(frag.token)) owner = other;
    }
    if (owner == worker.queue()) {
      (void)worker.Release(std::span(&frag, 1), now);
    } else {
      threads_[owner]->Post(
          [this, owner, frag] { (void)stack_->worker(owner).Release(std::span(&frag, 1), Now()); });
    }
  }
}

// A fence wakes nobody: it is asked again in a millisecond.
Nanos StackSession::NextCall(const Worker& worker, Nanos now) {
  return worker_fences_[worker.queue()]->empty() ? kNever : now + kMillisecond;
}

void StackSession::ReleaseLater(std::span<const Frag> frags, Fence fence, uint32_t worker) {
  if (!threaded()) {
    fences_.Add(frags, std::move(fence));
    return;
  }
  worker_fences_[worker]->Add(frags, std::move(fence));
  Wake(worker);
}

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

bool StackSession::LacksTokens(const std::shared_ptr<Channel>& channel) {
  const uint32_t queue = channel->handle().worker;
  bool lacks = false;
  OnWorker(queue, [&] {
    Worker& worker = stack_->worker(queue);
    (void)TakeReturned(*channel, worker, Now());
    const TcpConnection* connection = worker.engine().Find(channel->handle().id);
    lacks = connection != nullptr && worker.tokens_full() && channel->received.empty() &&
            !connection->receiver.in_order().empty();
  });
  return lacks;
}

}  // namespace devmem
