// SPDX-License-Identifier: Apache-2.0
//
// A worker and its binding's memory: how it comes and goes, what happens when its exporter takes it
// away, and reading received bytes back.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/stack/worker.h"

namespace devmem {

absl::Status Worker::Bind(const QueueMemory& device, const Attachment* attachment) {
  absl::Status bound = BindPool(device.pool, [&] { return queue_->Bind(device); });
  if (!bound.ok()) return bound;
  reader_.SetDevice(device);
  attachment_ = attachment;
  return absl::OkStatus();
}

absl::Status Worker::BindStaged(const StagedMemory& memory, const Attachment* attachment) {
  absl::Status bound = BindPool(memory.device, [&] {
    absl::StatusOr<std::unique_ptr<StagingQueue>> staging =
        StagingQueue::Create(queue_, memory, &staging_stats_);
    if (staging.ok()) staging_ = *std::move(staging);
    return staging.status();
  });
  if (!bound.ok()) return bound;
  reader_.SetStaged(memory.device, memory.engine);
  attachment_ = attachment;
  return absl::OkStatus();
}

// What every binding of the queue needs, around the step that gives the memory to the NIC.
absl::Status Worker::BindPool(PagePool* device, const std::function<absl::Status()>& bind_queue) {
  const uint64_t entries =
      uint64_t{pieces_.capacity()} + uint64_t{device->net_iov_count()} * kPiecesPerNetIov;
  const uint32_t capacity = static_cast<uint32_t>(std::min<uint64_t>(entries, kPiecesMax));
  absl::StatusOr<TokenTable> tokens = TokenTable::CreateInOwnLane(capacity);
  if (!tokens.ok()) return tokens.status();
  if (!pieces_.Grow(capacity)) {
    return absl::ResourceExhaustedError(absl::StrCat("no address space for ", capacity,
                                                     " pieces of queue ", config_.queue,
                                                     "; bind less or choose larger net_iovs"));
  }
  absl::Status bound = bind_queue();
  if (!bound.ok()) return bound;
  store_.SetDevice(device);
  absl::Status attached = engine_->AttachDevice(kFramePayloadBytesMax);
  if (!attached.ok()) {
    UnbindQueue();
    return attached;
  }
  tokens_.emplace(*std::move(tokens));
  lane_.store(tokens_->lane(), std::memory_order_relaxed);
  return absl::OkStatus();
}

void Worker::UnbindQueue() {
  if (staging_ != nullptr) {
    staging_.reset();
  } else {
    queue_->Unbind();
  }
  store_.SetDevice(nullptr);
  reader_.SetDevice(QueueMemory{});
}

void Worker::Unbind(Nanos now, CloseReason reason) {
  if (!tokens_.has_value()) return;
  now_ = now;
  attachment_ = nullptr;
  engine_->DetachDevice(now, reason);
  while (const std::optional<Piece> piece = tokens_->RemoveAny()) {
    store_.OnReturned(*piece);
    store_.Put(*piece);
    ++token_stats_.returned;
  }
  lane_.store(0, std::memory_order_relaxed);
  tokens_.reset();
  UnbindQueue();
}

// Its exporter wants the memory back. Revoked: whatever lies there is lost, so its connections end,
// and no token of it will ever name anything again. Being removed: no more is posted, and what is
// out drains.
void Worker::OnMemoryGoes(Nanos now) {
  if (attachment_->revoked() || attachment_->phase() == RegionPhase::kRevoked) {
    Unbind(now, CloseReason::kMemoryGone);
    engine_->Flush(now);
    SendAcks();
  } else if (store_.device()->posting()) {
    store_.device()->StopPosting();
    engine_->StopDevice(now);
    engine_->Flush(now);
    SendAcks();
  }
}

bool Worker::drained() const {
  if (store_.device() == nullptr) return true;
  const bool copying = staging_ != nullptr && staging_->pending();
  return !copying && store_.device()->account().idle();
}

bool Worker::ReadHeld(Token token, uint32_t skip_bytes, std::span<uint8_t> to) {
  const Piece* piece = tokens_.has_value() ? tokens_->Find(token) : nullptr;
  if (piece == nullptr || uint64_t{skip_bytes} + to.size() > piece->length_bytes) return false;
  if (!reader_.CopyOut(*piece, skip_bytes, to)) return false;
  if (piece->netmem.is_device()) stats_.bytes_read_back.Add(to.size());
  return true;
}

size_t Worker::ReadBytes(TcpConnection& connection, std::span<uint8_t> to, Nanos now) {
  now_ = now;
  LookAfterMemory(now);
  size_t copied = 0;
  while (copied < to.size() && !connection.receiver.in_order().empty()) {
    const Piece front = store_.Front(connection.receiver.in_order());
    const uint32_t part =
        static_cast<uint32_t>(std::min<size_t>(front.length_bytes, to.size() - copied));
    if (!reader_.CopyOut(front, 0, to.subspan(copied, part))) break;
    if (front.netmem.is_device()) stats_.bytes_read_back.Add(part);
    store_.DropFront(connection.receiver.in_order(), part);
    copied += part;
  }
  if (copied == 0) return 0;
  engine_->OnConsumed(connection, now);
  engine_->OnMemoryReturned(now);
  return copied;
}

}  // namespace devmem
