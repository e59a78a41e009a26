// SPDX-License-Identifier: Apache-2.0
//
// The books of a kernel binding: sockets, serials, what goes back to the kernel and when.

#include "uapi/kernel_binding.h"

#include <algorithm>
#include <utility>

#include "uapi/socket_figures.h"

namespace devmem {

absl::StatusOr<std::shared_ptr<KernelBinding>> KernelBinding::Create(KernelBindingSetup setup,
                                                                     const KernelShared& shared) {
  absl::StatusOr<KernelTokens> tokens = KernelTokens::Create(setup.bytes);
  if (!tokens.ok()) return tokens.status();
  return std::shared_ptr<KernelBinding>(
      new KernelBinding(std::move(setup), shared, *std::move(tokens)));
}

KernelBinding::KernelBinding(KernelBindingSetup setup, const KernelShared& shared,
                             KernelTokens tokens)
    : setup_(std::move(setup)),
      shared_(shared),
      lane_(tokens.lane()),
      tokens_(std::move(tokens)),
      room_(shared.host),
      control_(kControlMessagesMax * CMSG_SPACE(sizeof(abi::dmabuf_cmsg)) / sizeof(uint64_t)) {}

bool KernelBinding::Release(Token token) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::optional<KernelTokens::Returned> returned = tokens_.Remove(token);
  if (!returned.has_value()) return false;
  GiveBack(*returned);
  shared_.stats->tokens_returned.Add(1);
  return true;
}

void KernelBinding::GiveBack(const KernelTokens::Returned& returned) {
  Socket& socket = *sockets_[returned.socket];
  tokens_.GiveBack(returned,
                   [&socket](uint32_t start, uint32_t count) { socket.returns.Add(start, count); });
  --socket.held_frags;
  ListReturning(returned.socket);
}

void KernelBinding::ListReturning(uint32_t index) {
  if (!std::exchange(sockets_[index]->returning, true)) returning_.push_back(index);
}

// Ids of bytes that nobody gets: they go back at once, or when the kernel takes them.
void KernelBinding::GiveBackPieces(uint32_t index, std::span<const KernelPiece> pieces) {
  Socket& socket = *sockets_[index];
  for (const KernelPiece& piece : pieces) {
    if (!piece.linear) socket.returns.Add(piece.token, 1);
  }
  socket.returns.Flush();
  if (!socket.returns.empty()) ListReturning(index);
}

void KernelBinding::FlushReleases() {
  const std::lock_guard<std::mutex> lock(mutex_);
  FlushLocked();
  Publish();
}

void KernelBinding::FlushLocked() {
  std::erase_if(returning_, [this](uint32_t index) {
    Socket& socket = *sockets_[index];
    socket.returns.Flush();
    // What the kernel refused this time stays listed, and goes with the next call.
    if (!socket.returns.empty()) return false;
    socket.returning = false;
    CloseIfDone(index);
    return true;
  });
}

void KernelBinding::CloseIfDone(uint32_t index) {
  const Socket& socket = *sockets_[index];
  if (socket.kept.valid() && socket.held_frags == 0) sockets_[index].reset();
}

bool KernelBinding::Holds(Token token) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return tokens_.Holds(token);
}

bool KernelBinding::AddSocket(int socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return false;
  auto made = std::make_unique<Socket>(socket, shared_.calls, shared_.kernel_stats);
  auto place = std::find(sockets_.begin(), sockets_.end(), nullptr);
  if (place == sockets_.end()) place = sockets_.insert(sockets_.end(), nullptr);
  by_fd_[socket] = static_cast<uint32_t>(place - sockets_.begin());
  *place = std::move(made);
  returning_.reserve(sockets_.size());
  return true;
}

void KernelBinding::TakeSocket(UniqueFd socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  FlushLocked();
  const auto listed = by_fd_.find(socket.get());
  if (listed == by_fd_.end()) return;  // And is closed: the binding has ended before.
  const uint32_t index = listed->second;
  Socket* const found = sockets_[index].get();
  by_fd_.erase(listed);
  if (found->held_frags == 0 && found->returns.empty()) {
    sockets_[index].reset();
    return;
  }
  // close(2) would send a RST for bytes that nobody read, else a FIN; the peer gets the same now.
  shared_.calls->EndStream(found->fd, shared_.calls->UnreadBytes(found->fd) > 0);
  shared_.kernel_stats->sockets_kept.Add(1);
  found->kept = std::move(socket);
}

bool KernelBinding::posting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return posting_;
}

void KernelBinding::StopPosting() {
  const std::lock_guard<std::mutex> lock(mutex_);
  posting_ = false;
}

void KernelBinding::Close(const absl::Status& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (std::exchange(closed_, true)) return;
  why_closed_ = why;
  for (const auto& [fd, index] : by_fd_) shared_.calls->EndStream(fd, true);
  while (const std::optional<KernelTokens::Returned> returned = tokens_.RemoveAny()) {
    GiveBack(*returned);
    shared_.stats->tokens_returned.Add(1);
  }
  FlushLocked();
  // Their connections own them, or nobody does any more; either way the kernel takes back what is
  // left when they are closed.
  by_fd_.clear();
  sockets_.clear();
  returning_.clear();
}

Account KernelBinding::account() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return tokens_.account();
}

void KernelBinding::PublishIn(StatsRecord* record, uint32_t queue) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record_ = record;
  record_queue_ = queue;
  Publish();
}

void KernelBinding::Publish() {
  if (record_ == nullptr) return;
  StatsFigures figures = QueueFigures(record_queue_, tokens_.account(), kKernelNetIovBytes,
                                      tokens_.held(), tokens_.held_bytes());
  figures.kernel_binding = setup_.dmabuf_id;
  record_->Write(figures);
}

}  // namespace devmem
