// SPDX-License-Identifier: Apache-2.0
//
// Serials, runs of kernel ids, and use counts.

#include "uapi/kernel_tokens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/limits.h"

namespace devmem {

absl::StatusOr<KernelTokens> KernelTokens::Create(uint64_t bytes) {
  const uint64_t wanted = bytes / kKernelNetIovBytes * kPiecesPerNetIov;
  const auto capacity = static_cast<uint32_t>(std::min<uint64_t>(wanted, kPiecesMax));
  absl::StatusOr<TokenTable> tokens = TokenTable::CreateInOwnLane(capacity);
  if (!tokens.ok()) return tokens.status();
  KernelTokens made(*std::move(tokens), bytes, capacity);
  if (!made.entries_.ok() || !made.runs_.ok() || !made.users_.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no address space for the tokens of ", bytes, " bytes; bind less"));
  }
  return made;
}

KernelTokens::KernelTokens(TokenTable tokens, uint64_t bytes, uint32_t capacity)
    : tokens_(std::move(tokens)),
      net_iovs_(static_cast<uint32_t>(bytes / kKernelNetIovBytes)),
      capacity_(capacity),
      entries_(tokens_.capacity()),
      runs_(capacity),
      users_(net_iovs_) {}

Account KernelTokens::account() const {
  // What the user does not hold is the kernel's: posted, cached, or queued in a socket.
  return {.total = net_iovs_, .open = net_iovs_ - used_, .used = used_};
}

KernelTokens::Run KernelTokens::Start(uint64_t offset, uint32_t bytes, uint32_t kernel_id) {
  Run run;
  run.offset_ = offset;
  run.bytes_ = bytes;
  run.first_ = run.last_ = TakeRun(kernel_id);
  return run;
}

void KernelTokens::Extend(Run* run, uint32_t bytes, uint32_t kernel_id) {
  run->bytes_ += bytes;
  IdRun& last = runs_[run->last_ - 1];
  // Ids of one recvmsg() follow one another as a rule.
  if (last.start + last.count == kernel_id) {
    ++last.count;
    return;
  }
  const uint32_t next = TakeRun(kernel_id);
  last.next = next;
  run->last_ = next;
}

Token KernelTokens::Name(const Run& run, uint32_t socket) {
  const Piece piece{
      .netmem = NetmemRef::Device(static_cast<uint32_t>(run.offset_ / kKernelNetIovBytes)),
      .offset_bytes = static_cast<uint32_t>(run.offset_ % kKernelNetIovBytes),
      .length_bytes = run.bytes_};
  const Token token = tokens_.Insert(piece);
  entries_[token & (tokens_.capacity() - 1)] = {socket, run.first_};
  CountUse(piece, 1);
  return token;
}

std::optional<KernelTokens::Returned> KernelTokens::Remove(Token token) {
  return Found(token, tokens_.Remove(token));
}

std::optional<KernelTokens::Returned> KernelTokens::RemoveAny() {
  const std::optional<Token> any = tokens_.Any();
  return any.has_value() ? Remove(*any) : std::nullopt;
}

std::optional<KernelTokens::Returned> KernelTokens::Found(Token token,
                                                          const std::optional<Piece>& piece) {
  if (!piece.has_value()) return std::nullopt;
  CountUse(*piece, -1);
  const Held& held = entries_[token & (tokens_.capacity() - 1)];
  return Returned{held.socket, held.first, piece->length_bytes};
}

uint32_t KernelTokens::TakeRun(uint32_t kernel_id) {
  uint32_t run = free_;
  if (run != 0) {
    free_ = runs_[run - 1].next;
  } else {
    run = ++fresh_;
  }
  runs_[run - 1] = {kernel_id, 1, 0};
  ++ids_runs_;
  return run;
}

void KernelTokens::FreeRun(uint32_t run) {
  runs_[run - 1].next = free_;
  free_ = run;
  --ids_runs_;
}

void KernelTokens::CountUse(const Piece& piece, int change) {
  const uint32_t first = piece.netmem.index();
  const uint32_t last = first + (piece.offset_bytes + piece.length_bytes - 1) / kKernelNetIovBytes;
  for (uint32_t i = first; i <= last; ++i) {
    if (change > 0) {
      used_ += users_[i]++ == 0 ? 1u : 0u;
    } else {
      used_ -= --users_[i] == 0 ? 1u : 0u;
    }
  }
}

}  // namespace devmem
