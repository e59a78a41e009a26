// SPDX-License-Identifier: Apache-2.0
//
// The copy backend's data path.

#include "uapi/copy_queue.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "provider/check.h"
#include "uapi/socket_figures.h"
#include "uapi/tcp_socket.h"

namespace devmem {
absl::StatusOr<std::unique_ptr<CopyQueue>> CopyQueue::Create(uint32_t index,
                                                             const MemoryProvider& memory,
                                                             RegionWriter writer,
                                                             SocketStats* stats) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool = PagePool::Create(memory, kCopyBounceBytes);
  if (!pool.ok()) return pool.status();
  const uint64_t tokens_wanted = uint64_t{(*pool)->net_iov_count()} * kPiecesPerNetIov;
  const uint32_t capacity = static_cast<uint32_t>(std::min<uint64_t>(tokens_wanted, kPiecesMax));
  absl::StatusOr<TokenTable> tokens = TokenTable::CreateInOwnLane(capacity);
  if (!tokens.ok()) return tokens.status();
  return std::unique_ptr<CopyQueue>(
      new CopyQueue(index, memory, std::move(writer), stats, *std::move(pool), *std::move(tokens)));
}

CopyQueue::CopyQueue(uint32_t index, const MemoryProvider& memory, RegionWriter writer,
                     SocketStats* stats, std::unique_ptr<PagePool> pool, TokenTable tokens)
    : SocketQueue(index, tokens.lane()),
      region_id_(memory.region_id),
      stats_(stats),
      writer_(std::move(writer)),
      pool_(std::move(pool)),
      tokens_(std::move(tokens)),
      bounce_(kCopyBounceBytes) {}

// The bytes that fit the first `frags_max` runs of the posted window: each run becomes one frag.
uint32_t CopyQueue::RoomFor(size_t frags_max) {
  uint32_t room = 0;
  for (const PagePool::Run& run :
       pool_->Posted().first(std::min<size_t>(frags_max, pool_->Posted().size()))) {
    room += run.bytes;
  }
  return std::min(room, kCopyBounceBytes);
}

SocketQueue::Received CopyQueue::Receive(int socket, std::span<Frag> frags) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return {.outcome = Outcome::kClosed, .why = why_closed_};
  if (tokens_.full()) return {.outcome = Outcome::kNoTokens};
  const size_t tokens_left = tokens_.capacity() - tokens_.held();
  const uint32_t room = RoomFor(std::min(frags.size(), tokens_left));
  if (room == 0) {
    stats_->receive_starved.Add(1);
    return {.outcome = Outcome::kNoRoom};
  }
  // Before bytes leave the socket: afterwards there is no way back.
  for (const PagePool::Run& run : pool_->Posted()) {
    const uint64_t offset = pool_->provider().region_offset + run.offset;
    if (!writer_->Ready(offset, run.bytes)) return {.outcome = Outcome::kAway};
  }
  const Received received = ReadSocket(socket, std::span(bounce_).first(room));
  if (received.outcome != Outcome::kBytes) return received;
  return CopyIn(static_cast<uint32_t>(received.bytes), frags);
}

SocketQueue::Received CopyQueue::CopyIn(uint32_t bytes, std::span<Frag> frags) {
  const uint32_t pieces = pool_->Take(bytes, pieces_);
  DEVMEM_CHECK(pieces > 0 && pieces <= frags.size(),
               "recv() brought more than the pool has room for");
  uint32_t done = 0;
  bool landed = true;
  for (uint32_t i = 0; i < pieces; ++i) {
    const Piece& piece = pieces_[i];
    const uint64_t offset = pool_->RegionOffset(piece);
    landed &= writer_->Write(offset, std::span(bounce_).subspan(done, piece.length_bytes));
    done += piece.length_bytes;
    frags[i] = Frag{.region_id = region_id_, .length_bytes = piece.length_bytes, .offset = offset};
  }
  if (!landed) {
    for (uint32_t i = 0; i < pieces; ++i) pool_->Put(pieces_[i]);
    return {.outcome = Outcome::kRevoked};
  }
  for (uint32_t i = 0; i < pieces; ++i) frags[i].token = tokens_.Insert(pieces_[i]);
  stats_->payload_bytes.Add(bytes);
  stats_->bounced_bytes.Add(bytes);
  stats_->region_bytes.Add(bytes);
  stats_->receive_calls.Add(1);
  stats_->frags.Add(pieces);
  stats_->tokens_issued.Add(pieces);
  Publish();
  return {.outcome = Outcome::kBytes, .frags = pieces, .bytes = bytes};
}

SocketQueue::Received CopyQueue::Read(int socket, std::span<uint8_t> bytes) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return {.outcome = Outcome::kClosed, .why = why_closed_};
  }
  const Received received = ReadSocket(socket, bytes);
  if (received.outcome != Outcome::kBytes) return received;
  stats_->payload_bytes.Add(received.bytes);
  stats_->bounced_bytes.Add(received.bytes);
  stats_->receive_calls.Add(1);
  return received;
}

bool CopyQueue::Release(Token token) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::optional<Piece> piece = tokens_.Remove(token);
  if (!piece.has_value()) return false;
  pool_->Put(*piece);
  stats_->tokens_returned.Add(1);
  return true;
}

void CopyQueue::FlushReleases() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Publish();
}

bool CopyQueue::AddSocket(int socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!closed_) sockets_.insert(socket);
  return !closed_;
}

// close(2) sends a FIN, or a RST when received bytes were not read: what the interface promises.
void CopyQueue::TakeSocket(UniqueFd socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sockets_.erase(socket.get());
}

bool CopyQueue::posting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return pool_->posting();
}

void CopyQueue::StopPosting() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pool_->posting()) pool_->StopPosting();
}

bool CopyQueue::Holds(Token token) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return tokens_.Find(token) != nullptr;
}

void CopyQueue::Close(const absl::Status& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!closed_) why_closed_ = why;
  closed_ = true;
  for (const int socket : sockets_) ResetSocket(socket);
  sockets_.clear();
  while (const std::optional<Piece> piece = tokens_.RemoveAny()) {
    pool_->Put(*piece);
    stats_->tokens_returned.Add(1);
  }
  pool_->CloseWindow();
  writer_.reset();
}

Account CopyQueue::account() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return pool_->account();
}

void CopyQueue::PublishIn(StatsRecord* record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record_ = record;
  Publish();
}

void CopyQueue::Publish() {
  if (record_ == nullptr) return;
  record_->Write(QueueFigures(index(), pool_->account(), pool_->net_iov_bytes(), tokens_.held(),
                              tokens_.held_bytes()));
}

}  // namespace devmem
