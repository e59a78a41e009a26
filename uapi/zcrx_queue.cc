// SPDX-License-Identifier: Apache-2.0
//
// From pieces to frags and back.

#include "uapi/zcrx_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/limits.h"
#include "provider/posix_error.h"
#include "uapi/limits.h"
#include "uapi/socket_figures.h"
#include "uapi/tcp_socket.h"

namespace devmem {

absl::StatusOr<std::shared_ptr<ZcrxQueue>> ZcrxQueue::Create(ZcrxQueueSetup setup,
                                                             const ZcrxShared& shared) {
  const uint64_t pieces = uint64_t{setup.chunk_count} * kPiecesPerNetIov;
  auto tokens =
      TokenTable::CreateInOwnLane(static_cast<uint32_t>(std::min<uint64_t>(pieces, kPiecesMax)));
  if (!tokens.ok()) return tokens.status();
  auto receiver =
      std::make_unique<ZcrxReceiver>(ZcrxReceiver::Config{.chunk_count = setup.chunk_count,
                                                          .chunk_bytes = setup.chunk_bytes,
                                                          .dmabuf = setup.dmabuf,
                                                          .held_bytes_max = setup.held_bytes_max},
                                     std::move(setup.port), shared.stats, shared.zcrx_stats);
  if (!receiver->ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there is no address space for the books of ", setup.chunk_count, " chunks"));
  }
  return std::shared_ptr<ZcrxQueue>(
      new ZcrxQueue(std::move(setup), shared, *std::move(tokens), std::move(receiver)));
}

ZcrxQueue::ZcrxQueue(ZcrxQueueSetup setup, const ZcrxShared& shared, TokenTable tokens,
                     std::unique_ptr<ZcrxReceiver> receiver)
    : SocketQueue(setup.index, tokens.lane()),
      setup_(std::move(setup)),
      shared_(shared),
      tokens_(std::move(tokens)),
      room_(shared.host),
      receiver_(std::move(receiver)) {}

// Sees to it that the flow has pieces, or bytes for recv(); else says what there is instead.
std::optional<SocketQueue::Received> ZcrxQueue::Await(int socket, ZcrxReceiver::Flow** flow) {
  if (receiver_ == nullptr) return Received{.outcome = Outcome::kClosed, .why = why_closed_};
  ZcrxReceiver::Flow* const found = receiver_->Find(socket);
  if (found == nullptr) return Received{.outcome = Outcome::kBroken, .error = EBADF};
  *flow = found;
  if (!found->pieces.empty()) return std::nullopt;
  // The second look is for a request that had ended, and was armed again since.
  for (uint32_t look = 0; look < 2; ++look) {
    (void)receiver_->Arm(*found);
    receiver_->Drive();
    if (!found->pieces.empty() || found->host_next) return std::nullopt;
    if (std::optional<Received> end = EndOf(*found)) return end;
    if (found->armed) return Received{};
  }
  return WhyEmpty(*found);
}

std::optional<SocketQueue::Received> ZcrxQueue::EndOf(const ZcrxReceiver::Flow& flow) const {
  if (receiver_->error() == EEXIST) {
    return Received{.outcome = Outcome::kBroken,
                    .why = absl::FailedPreconditionError(
                        "a zcrx session belongs to the thread that bound its queue, and another "
                        "one asks; receive on that thread, or use the backend kernel")};
  }
  switch (flow.state) {
    case ZcrxReceiver::Flow::State::kEnded: return Received{.outcome = Outcome::kEnd};
    case ZcrxReceiver::Flow::State::kBroken:
      return Received{.outcome = Outcome::kBroken, .error = flow.error, .why = flow.why};
    case ZcrxReceiver::Flow::State::kOpen: break;
  }
  return std::nullopt;
}

SocketQueue::Received ZcrxQueue::WhyEmpty(const ZcrxReceiver::Flow& flow) {
  Received none{.outcome = Outcome::kNoRoom};
  if (flow.starved) {
    none.why = absl::ResourceExhaustedError(absl::StrCat(
        "the kernel found none of the queue's ", setup_.chunk_count,
        " chunks free for bytes that it must copy: the NIC's ring, sockets and frags have them"));
  }
  shared_.stats->receive_starved.Add(1);
  return none;
}

SocketQueue::Received ZcrxQueue::Receive(int socket, std::span<Frag> frags) {
  // What recv() leaves to the ring is there at the next look.
  for (;;) {
    ZcrxReceiver::Flow* flow = nullptr;
    if (const std::optional<Received> instead = Await(socket, &flow)) return *instead;
    if (!flow->pieces.empty()) return TakeFrags(*flow, frags);
    if (const std::optional<Received> received = ReceiveHost(*flow, frags)) return *received;
  }
}

SocketQueue::Received ZcrxQueue::TakeFrags(ZcrxReceiver::Flow& flow, std::span<Frag> frags) {
  if (tokens_.full()) return {.outcome = Outcome::kNoTokens};
  Received received{.outcome = Outcome::kBytes};
  while (received.frags < frags.size() && !flow.pieces.empty() && !tokens_.full()) {
    const Piece piece = receiver_->Pop(flow);
    receiver_->OnHeld(receiver_->chunks().SpanOf(piece));
    frags[received.frags++] =
        Frag{.region_id = setup_.region_id,
             .length_bytes = piece.length_bytes,
             .offset = setup_.region_offset + receiver_->chunks().StartOf(piece),
             .token = tokens_.Insert(piece)};
    received.bytes += piece.length_bytes;
  }
  shared_.stats->frags.Add(received.frags);
  shared_.stats->tokens_issued.Add(received.frags);
  Publish();
  return received;
}

// Bytes that lie in host memory while the area is a dma-buf: of a packet that the NIC did not
// split, or that came by another queue. They go to the session's host region. Unset: the next bytes
// are the ring's to bring.
std::optional<SocketQueue::Received> ZcrxQueue::ReceiveHost(ZcrxReceiver::Flow& flow,
                                                            std::span<Frag> frags) {
  const std::span<uint8_t> room = room_.Begin(1);
  if (room.empty()) {
    return Received{.outcome = Outcome::kNoRoom,
                    .why = absl::ResourceExhaustedError("the session's host region is held by "
                                                        "frags")};
  }
  std::optional<Received> received = ReadHost(flow, room);
  if (received.has_value() && received->outcome == Outcome::kBytes) {
    frags[0] = room_.Keep(static_cast<uint32_t>(received->bytes));
    received->frags = 1;
    shared_.stats->frags.Add(1);
    shared_.stats->tokens_issued.Add(1);
  }
  room_.End();
  return received;
}

std::optional<SocketQueue::Received> ZcrxQueue::ReadHost(ZcrxReceiver::Flow& flow,
                                                         std::span<uint8_t> bytes) {
  shared_.zcrx_stats->host_receives.Add(1);
  Received received = shared_.read_socket(flow.socket, bytes);
  if (received.outcome == Outcome::kBytes) {
    flow.host_refusals = 0;
    flow.host_guessed = false;
    shared_.stats->payload_bytes.Add(received.bytes);
    shared_.stats->bounced_bytes.Add(received.bytes);
    shared_.stats->host_bytes.Add(received.bytes);
    shared_.stats->receive_calls.Add(1);
    return received;
  }
  // EFAULT: what comes now was written by a NIC, into the area or another queue's memory.
  const bool written = received.outcome == Outcome::kBroken && received.error == EFAULT;
  if (!written && received.outcome != Outcome::kEmpty) return received;
  if (written && flow.host_guessed) {
    ZcrxReceiver::BreakForeign(flow);
    received.why = flow.why;
    return received;
  }
  if (++flow.host_refusals > kZcrxHostRefusalsMax) {
    received.outcome = Outcome::kBroken;
    received.why = absl::DataLossError(
        "a packet has part of its payload beside its headers, and part in the dma-buf: neither "
        "recv() nor the ring can bring it; bind host memory (the provider memfd), into which the "
        "kernel can copy, or use the backend kernel");
    return received;
  }
  flow.host_next = false;
  return std::nullopt;
}

SocketQueue::Received ZcrxQueue::Read(int socket, std::span<uint8_t> bytes) {
  ZcrxReceiver::Flow* flow = nullptr;
  for (;;) {
    if (const std::optional<Received> instead = Await(socket, &flow)) return *instead;
    if (!flow->pieces.empty()) break;
    if (const std::optional<Received> received = ReadHost(*flow, bytes)) return *received;
  }
  const absl::StatusOr<uint64_t> copied = CopyOut(*flow, bytes);
  if (!copied.ok()) return {.outcome = Outcome::kRefused, .why = copied.status()};
  shared_.stats->bytes_read_back.Add(*copied);
  // Behind the copy, whose announcement has ended: from here on the NIC may write there again.
  receiver_->Refill();
  return {.outcome = Outcome::kBytes, .bytes = *copied};
}

absl::StatusOr<uint64_t> ZcrxQueue::CopyOut(ZcrxReceiver::Flow& flow, std::span<uint8_t> bytes) {
  const absl::StatusOr<ReadBack::Copy> copy = setup_.read_back.Begin();
  if (!copy.ok()) return copy.status();
  uint64_t done = 0;
  while (done < bytes.size() && !flow.pieces.empty()) {
    const Piece& piece = receiver_->Front(flow);
    const uint32_t part =
        static_cast<uint32_t>(std::min<uint64_t>(piece.length_bytes, bytes.size() - done));
    std::memcpy(bytes.data() + done, copy->bytes().data() + receiver_->chunks().StartOf(piece),
                part);
    receiver_->Drop(flow, part);
    done += part;
  }
  return done;
}

uint32_t ZcrxQueue::Drive() { return receiver_ != nullptr ? receiver_->Drive() : 0; }

bool ZcrxQueue::Release(Token token) {
  const std::optional<Piece> piece = tokens_.Remove(token);
  if (!piece.has_value()) return false;
  receiver_->OnReturned(receiver_->chunks().SpanOf(*piece));
  receiver_->chunks().Put(*piece);
  shared_.stats->tokens_returned.Add(1);
  return true;
}

void ZcrxQueue::FlushReleases() {
  if (receiver_ != nullptr) receiver_->Refill();
  Publish();
}

bool ZcrxQueue::Holds(Token token) const { return tokens_.Find(token) != nullptr; }

bool ZcrxQueue::AddSocket(int socket) {
  if (receiver_ == nullptr) return false;
  receiver_->Add(socket);
  return true;
}

// Closing the descriptor sends a FIN; it cannot know of bytes that the ring has already taken from
// the socket, so what nobody read makes a RST here.
void ZcrxQueue::TakeSocket(UniqueFd socket) {
  if (receiver_ == nullptr) return;
  if (receiver_->Remove(socket.get())) ResetSocket(socket.get());
}

bool ZcrxQueue::posting() const { return receiver_ != nullptr && receiver_->arming(); }

void ZcrxQueue::StopPosting() {
  if (receiver_ != nullptr) receiver_->StopArming();
}

void ZcrxQueue::Close(const absl::Status& why) {
  if (receiver_ == nullptr) return;
  why_closed_ = why;
  for (const int socket : receiver_->sockets()) ResetSocket(socket);
  while (tokens_.RemoveAny().has_value()) shared_.stats->tokens_returned.Add(1);
  receiver_.reset();
}

Account ZcrxQueue::account() const {
  if (receiver_ != nullptr) return receiver_->chunks().account();
  Account account;
  account.total = account.free = setup_.chunk_count;
  return account;
}

void ZcrxQueue::PublishIn(StatsRecord* record) {
  record_ = record;
  Publish();
}

void ZcrxQueue::Publish() {
  if (record_ == nullptr) return;
  record_->Write(
      QueueFigures(index(), account(), setup_.chunk_bytes, tokens_.held(), tokens_.held_bytes()));
}

}  // namespace devmem
