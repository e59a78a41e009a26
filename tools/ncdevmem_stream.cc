// SPDX-License-Identifier: Apache-2.0
//
// See ncdevmem_stream.h.

#include "tools/ncdevmem_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

constexpr size_t kHostBufferBytes = 256u << 10;

// How long the peer may take to accept a reply of at most 1 MiB, and to acknowledge our end.
constexpr Nanos kReplyPatience = 10 * kSecond;
constexpr Nanos kClosePatience = 2 * kSecond;

}  // namespace

Stream::Stream(uint64_t index, bool counted, std::unique_ptr<Connection> connection,
               std::unique_ptr<StreamSink> sink, Session* session, const StreamPolicy* policy)
    : session_(session),
      policy_(policy),
      connection_(std::move(connection)),
      sink_(std::move(sink)) {
  const ConnectionInfo info = connection_->info();
  result_.index = index;
  result_.counted = counted;
  result_.local = info.local;
  result_.remote = info.remote;
  result_.queue = info.queue;
  result_.bound = info.bound;
  if (!info.bound) host_.resize(kHostBufferBytes);
}

Stream::Step Stream::Receive(Nanos deadline) {
  if (ended_) return Step::kDone;
  return bound() ? ReceiveFrags(deadline) : ReceiveHost(deadline);
}

Stream::Step Stream::ReceiveFrags(Nanos deadline) {
  const absl::StatusOr<size_t> count = connection_->Recv(frags_, deadline);
  if (!count.ok()) {
    return absl::IsDeadlineExceeded(count.status()) ? Idle() : End(count.status());
  }
  if (*count == 0) return PeerEnded();
  const std::span<const Frag> frags = std::span(frags_).first(*count);
  result_.frags += *count;
  for (const Frag& frag : frags) result_.bytes += frag.length_bytes;
  const absl::Status seen = sink_ != nullptr ? Look(frags) : absl::OkStatus();
  Hold(frags);
  return seen.ok() ? AfterBytes() : End(seen);
}

Stream::Step Stream::ReceiveHost(Nanos deadline) {
  const absl::StatusOr<size_t> count = connection_->Read(host_, deadline);
  if (!count.ok()) {
    return absl::IsDeadlineExceeded(count.status()) ? Step::kIdle : End(count.status());
  }
  if (*count == 0) return PeerEnded();
  result_.bytes += *count;
  if (sink_ != nullptr) {
    const absl::Status seen = sink_->Take(std::span(host_).first(*count));
    if (!seen.ok()) return End(seen);
  }
  return AfterBytes();
}

Stream::Step Stream::AfterBytes() {
  if (!replied_ && !policy_->reply.empty() && result_.bytes >= policy_->reply_after_bytes) {
    const absl::Status sent = Reply();
    if (!sent.ok()) return End(sent);
  }
  result_.cut = policy_->bytes_max != 0 && result_.bytes >= policy_->bytes_max;
  return result_.cut ? End(absl::OkStatus()) : Step::kProgress;
}

// What is held may be just what the sender waits for, so half of it goes back.
Stream::Step Stream::Idle() {
  ReleaseUntilHeld(held_bytes_ / 2);
  return Step::kIdle;
}

Stream::Step Stream::PeerEnded() {
  at_end_ = true;
  return End(absl::OkStatus());
}

Stream::Step Stream::End(absl::Status status) {
  ended_ = true;
  result_.status = std::move(status);
  return Step::kDone;
}

void Stream::Cancel(absl::Status why) {
  connection_->Abort();
  End(std::move(why));
}

// The CPU looks at device memory here, and nowhere else in this program.
absl::Status Stream::Look(std::span<const Frag> frags) {
  for (const Frag& frag : frags) {
    const auto region =
        std::find_if(policy_->regions.begin(), policy_->regions.end(),
                     [&frag](const RegionBytes& one) { return one.region_id == frag.region_id; });
    if (region == policy_->regions.end() ||
        frag.offset + frag.length_bytes > region->bytes.size()) {
      return absl::InternalError(absl::StrCat("a frag lies in region ", frag.region_id, " at ",
                                              frag.offset, ", which is none of this program's"));
    }
    const absl::Status taken = sink_->Take(region->bytes.subspan(frag.offset, frag.length_bytes));
    if (!taken.ok()) return taken;
  }
  return absl::OkStatus();
}

void Stream::Hold(std::span<const Frag> frags) {
  if (policy_->hold_bytes == 0) {
    const absl::Status released = connection_->Release(frags);
    if (!released.ok()) End(released);
    return;
  }
  for (const Frag& frag : frags) {
    held_.push_back(frag);
    held_bytes_ += frag.length_bytes;
  }
  ReleaseUntilHeld(policy_->hold_bytes);
}

// Gives the oldest frags back, in batches, until at most `bytes` are held.
void Stream::ReleaseUntilHeld(uint64_t bytes) {
  std::array<Frag, 64> batch;
  while (held_bytes_ > bytes) {
    size_t count = 0;
    for (; count < batch.size() && held_bytes_ > bytes; ++count) {
      batch[count] = held_.front();
      held_bytes_ -= held_.front().length_bytes;
      held_.pop_front();
    }
    const absl::Status released = connection_->Release(std::span(batch).first(count));
    if (!released.ok()) End(released);
  }
}

absl::Status Stream::Reply() {
  replied_ = true;
  std::span<const uint8_t> left = policy_->reply;
  const Nanos deadline = session_->Now() + kReplyPatience;
  while (!left.empty()) {
    const absl::StatusOr<size_t> sent = connection_->Send(left, deadline);
    if (!sent.ok()) return sent.status();
    left = left.subspan(*sent);
  }
  return connection_->Shutdown();
}

StreamResult Stream::Finish() {
  ReleaseUntilHeld(0);
  // An orderly end: our FIN is acknowledged before the device may go. What the peer thinks of it
  // changes nothing about what was received.
  if (at_end_ && connection_->Shutdown().ok()) {
    (void)connection_->Flush(session_->Now() + kClosePatience);
  }
  connection_.reset();
  if (sink_ != nullptr) result_.sha256 = sink_->FinishHash();
  return result_;
}

}  // namespace devmem
