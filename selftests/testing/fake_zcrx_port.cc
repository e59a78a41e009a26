// SPDX-License-Identifier: Apache-2.0
//
// The kernel's side, step by step.

#include "selftests/testing/fake_zcrx_port.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace devmem {
namespace {

constexpr uint64_t kAreaToken = uint64_t{3} << IORING_ZCRX_AREA_SHIFT;
constexpr size_t kSlotBytes = 32;

}  // namespace

FakeZcrxPort::FakeZcrxPort(const Options& options, Record* record)
    : options_(options),
      record_(record),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      kick_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      references_(options.area.size() / options.chunk_bytes),
      cq_(options.completions * kSlotBytes),
      rq_(options.refill_entries) {
  for (uint32_t i = static_cast<uint32_t>(references_.size()); i > 0; --i) free_.push_back(i - 1);
  epoll_event event{.events = EPOLLIN, .data = {}};
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, kick_.get(), &event);
  completions_ = CompletionRing({.head = &cq_head_,
                                 .tail = &cq_tail_,
                                 .entries = cq_.data(),
                                 .slots = options.completions,
                                 .mixed = false});
  refill_ = RefillRing({.head = &rq_head_,
                        .tail = &rq_tail_,
                        .entries = rq_.data(),
                        .entry_count = options.refill_entries,
                        .area_token = kAreaToken});
}

// The ring goes, and with it every reference that user space still had.
FakeZcrxPort::~FakeZcrxPort() {
  record_->user_references = 0;
  record_->closed = true;
}

bool FakeZcrxPort::Arm(int socket, uint64_t user_data, uint32_t budget_bytes) {
  ++record_->requests;
  requests_[user_data] = {.socket = socket, .user_data = user_data, .budget_bytes = budget_bytes};
  epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {}};
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event);
  return true;
}

bool FakeZcrxPort::Cancel(uint64_t target, uint64_t user_data) {
  const auto found = requests_.find(target);
  const int32_t result = found == requests_.end() ? -ENOENT : 0;
  if (found != requests_.end()) {
    const Request request = found->second;
    requests_.erase(found);
    End(request, -ECANCELED);
  }
  ended_.push_back({user_data, result});
  return true;
}

void FakeZcrxPort::End(const Request& request, int32_t result) {
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, request.socket, nullptr);
  ended_.push_back({request.user_data, result});
  const uint64_t one = 1;
  (void)!::write(kick_.get(), &one, sizeof(one));
}

int FakeZcrxPort::Enter() {
  ++record_->enters;
  if (refuse_enter_ != 0) return -std::exchange(refuse_enter_, 0);
  uint64_t kicks = 0;
  (void)!::read(kick_.get(), &kicks, sizeof(kicks));
  for (auto next = requests_.begin(); next != requests_.end();) {
    next = Serve(next->second) ? std::next(next) : requests_.erase(next);
  }
  while (!ended_.empty() && room()) {
    Post(ended_.front().user_data, ended_.front().result, 0, 0);
    ended_.pop_front();
  }
  return 0;
}

// Whether the request goes on.
bool FakeZcrxPort::Serve(Request& request) {
  int32_t result = 0;
  while (Receive(request, &result)) {
  }
  if (result == -EAGAIN) return true;
  End(request, result);
  return false;
}

// One packet. False when there was none; `result` then says why.
bool FakeZcrxPort::Receive(Request& request, int32_t* result) {
  char probe = 0;
  const ssize_t waiting = ::recv(request.socket, &probe, 1, MSG_PEEK | MSG_DONTWAIT);
  const bool spent = request.budget_bytes != 0 && request.received_bytes == request.budget_bytes;
  if (waiting == 0 || spent) return *result = 0, false;
  if (waiting < 0) return *result = -errno, false;
  if (fail_next_ != 0) return *result = -std::exchange(fail_next_, 0), false;
  if (const int error = RefusalFor(request.socket); error != 0) return *result = -error, false;
  if (!room()) return *result = -ENOSPC, false;
  // A NIC without a chunk drops the packet, and the peer sends it again.
  if (!HasChunk()) return *result = -EAGAIN, false;
  uint32_t bytes = std::min(options_.packet_bytes, options_.chunk_bytes - open_used_bytes_);
  if (request.budget_bytes != 0) {
    bytes = std::min(bytes, request.budget_bytes - request.received_bytes);
  }
  // A packet lies in one place as a whole.
  const auto copied = elsewhere_.find(request.socket);
  if (copied != elsewhere_.end()) bytes = std::min(bytes, copied->second.bytes);
  const uint64_t offset = uint64_t{open_chunk_} * options_.chunk_bytes + open_used_bytes_;
  const ssize_t got = ::recv(request.socket, options_.area.data() + offset, bytes, MSG_DONTWAIT);
  if (got <= 0) return *result = got == 0 ? 0 : -errno, false;
  Passed(request.socket, static_cast<size_t>(got));
  ++references_[open_chunk_];
  ++record_->user_references;
  open_used_bytes_ += static_cast<uint32_t>(got);
  request.received_bytes += static_cast<uint32_t>(got);
  Post(request.user_data, static_cast<int32_t>(got), IORING_CQE_F_MORE, offset);
  if (!options_.packed) open_used_bytes_ = options_.chunk_bytes;
  return true;
}

// Why a request cannot bring the next bytes; 0: it can.
int FakeZcrxPort::RefusalFor(int socket) const {
  const auto found = elsewhere_.find(socket);
  if (found == elsewhere_.end()) return 0;
  if (found->second.place == Place::kForeign) return EFAULT;
  return options_.dmabuf ? options_.copy_refusal : 0;
}

void FakeZcrxPort::Passed(int socket, size_t bytes) {
  const auto found = elsewhere_.find(socket);
  if (found == elsewhere_.end()) return;
  found->second.bytes -= static_cast<uint32_t>(bytes);
  if (found->second.bytes == 0) elsewhere_.erase(found);
}

SocketQueue::Received FakeZcrxPort::Recv(int socket, std::span<uint8_t> to) {
  using Outcome = SocketQueue::Outcome;
  char probe = 0;
  const ssize_t waiting = ::recv(socket, &probe, 1, MSG_PEEK | MSG_DONTWAIT);
  if (waiting == 0) return {.outcome = Outcome::kEnd};
  if (waiting < 0) return {.outcome = Outcome::kEmpty};
  const auto found = elsewhere_.find(socket);
  if (found == elsewhere_.end() || found->second.place != Place::kHost) {
    return {.outcome = Outcome::kBroken, .error = EFAULT};
  }
  const size_t room = std::min<size_t>(to.size(), found->second.bytes);
  const ssize_t got = ::recv(socket, to.data(), room, MSG_DONTWAIT);
  if (got <= 0) return {.outcome = Outcome::kBroken, .error = EIO};
  Passed(socket, static_cast<size_t>(got));
  return {.outcome = Outcome::kBytes, .bytes = static_cast<uint64_t>(got)};
}

bool FakeZcrxPort::HasChunk() {
  if (open_chunk_ != UINT32_MAX && open_used_bytes_ < options_.chunk_bytes) return true;
  if (free_.empty()) TakeRefill();
  if (free_.empty()) return false;
  open_chunk_ = free_.back();
  free_.pop_back();
  open_used_bytes_ = 0;
  return true;
}

void FakeZcrxPort::TakeRefill() {
  for (; rq_head_ != rq_tail_; ++rq_head_) {
    const abi::io_uring_zcrx_rqe& entry = rq_[rq_head_ % options_.refill_entries];
    const uint64_t chunk = (entry.off & ~IORING_ZCRX_AREA_MASK) / options_.chunk_bytes;
    if ((entry.off & IORING_ZCRX_AREA_MASK) != kAreaToken || entry.__pad != 0 ||
        chunk >= references_.size() || references_[chunk] == 0) {
      ++record_->over_returned;
      continue;
    }
    --record_->user_references;
    const bool open = chunk == open_chunk_ && open_used_bytes_ < options_.chunk_bytes;
    if (--references_[chunk] == 0 && !open) free_.push_back(static_cast<uint32_t>(chunk));
  }
}

int FakeZcrxPort::FlushRefill() {
  if (!options_.can_flush) return -EOPNOTSUPP;
  ++record_->flushes;
  TakeRefill();
  return 0;
}

void FakeZcrxPort::Post(uint64_t user_data, int32_t result, uint32_t flags, uint64_t offset) {
  uint8_t* const slot = cq_.data() + cq_tail_ % options_.completions * kSlotBytes;
  std::memcpy(slot, &user_data, 8);
  std::memcpy(slot + 8, &result, 4);
  std::memcpy(slot + 12, &flags, 4);
  std::memcpy(slot + 16, &offset, 8);
  ++cq_tail_;
}

}  // namespace devmem
