// SPDX-License-Identifier: Apache-2.0
//
// See ncdevmem_stream.h.

#include "tools/ncdevmem_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

constexpr size_t kHostBufferBytes = 256u << 10;

// How long the peer may take to accept a reply of at most 1 MiB, and to acknowledge our end.
constexpr Nanos kReplyPatience = 10 * kSecond;
constexpr Nanos kClosePatience = 2 * kSecond;

// A device that is behind with its hash is asked again after this long.
constexpr Nanos kDeviceSlice = kMillisecond;

}  // namespace

Stream::Stream(uint64_t index, bool counted, std::unique_ptr<Connection> connection,
               StreamLook look, Session* session, const StreamPolicy* policy)
    : session_(session),
      policy_(policy),
      connection_(std::move(connection)),
      look_(std::move(look)) {
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
  if (look_.device_hash != nullptr && look_.device_hash->full()) return WaitForDevice(deadline);
  const absl::StatusOr<size_t> count = connection_->Recv(frags_, deadline);
  if (!count.ok()) {
    return absl::IsDeadlineExceeded(count.status()) ? Idle() : End(count.status());
  }
  if (*count == 0) return PeerEnded();
  const std::span<const Frag> frags = std::span(frags_).first(*count);
  result_.frags += *count;
  for (const Frag& frag : frags) result_.bytes += frag.length_bytes;
  const absl::Status seen = Look(frags);
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
  if (look_.sink != nullptr) {
    const absl::Status seen = look_.sink->Take(std::span(host_).first(*count));
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

// The device has more to hash than it should be given: the peer is pushed back meanwhile.
Stream::Step Stream::WaitForDevice(Nanos deadline) {
  const Nanos now = session_->Now();
  if (deadline > now) session_->Wait(std::min(deadline, now + kDeviceSlice));
  session_->Drive();
  return Step::kIdle;
}

absl::Status Stream::Look(std::span<const Frag> frags) {
  if (look_.device_hash != nullptr) return LookOnDevice(frags);
  return look_.sink != nullptr ? LookOnHost(frags) : absl::OkStatus();
}

// The CPU looks at device memory here, and nowhere else in this program.
absl::Status Stream::LookOnHost(std::span<const Frag> frags) {
  for (const Frag& frag : frags) {
    const absl::StatusOr<std::span<const uint8_t>> bytes = HostBytes(frag);
    if (!bytes.ok()) return bytes.status();
    const absl::Status taken = look_.sink->Take(*bytes);
    if (!taken.ok()) return taken;
  }
  return absl::OkStatus();
}

// Only places and lengths are looked at, but for frags that missed the region.
absl::Status Stream::LookOnDevice(std::span<const Frag> frags) {
  pieces_.clear();
  for (const Frag& frag : frags) {
    if (frag.region_id == look_.device_region_id) {
      pieces_.push_back({frag.offset, frag.length_bytes});
      continue;
    }
    const absl::StatusOr<std::span<const uint8_t>> bytes = HostBytes(frag);
    absl::Status named = bytes.ok() ? NamePieces() : bytes.status();
    if (named.ok()) named = look_.device_hash->UpdateFromHost(*bytes);
    if (!named.ok()) return named;
  }
  return NamePieces();
}

absl::Status Stream::NamePieces() {
  if (pieces_.empty()) return absl::OkStatus();
  absl::StatusOr<std::function<bool()>> done = look_.device_hash->Update(pieces_);
  if (!done.ok()) return done.status();
  device_is_done_ = *std::move(done);
  pieces_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::span<const uint8_t>> Stream::HostBytes(const Frag& frag) const {
  const auto region =
      std::find_if(policy_->regions.begin(), policy_->regions.end(),
                   [&frag](const RegionBytes& one) { return one.region_id == frag.region_id; });
  if (region == policy_->regions.end() || frag.offset + frag.length_bytes > region->bytes.size()) {
    return absl::InternalError(absl::StrCat("a frag lies in region ", frag.region_id, " at ",
                                            frag.offset, ", which is none of this program's"));
  }
  return region->bytes.subspan(frag.offset, frag.length_bytes);
}

// The device runs in order, so the fence of what it was named last is good for all before.
absl::Status Stream::Release(std::span<const Frag> frags) {
  if (!device_is_done_) return connection_->Release(frags);
  return connection_->Release(frags, Fence::FromCallback(device_is_done_));
}

void Stream::Hold(std::span<const Frag> frags) {
  if (policy_->hold_bytes == 0) {
    const absl::Status released = Release(frags);
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
    const absl::Status released = Release(std::span(batch).first(count));
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

// Waits for the device, which then reads no frag any more.
void Stream::FinishHash() {
  if (look_.sink != nullptr) result_.sha256 = look_.sink->FinishHash();
  if (!result_.sha256.empty()) result_.hash_on = "host";
  if (look_.device_hash == nullptr) return;
  const auto digest = look_.device_hash->Finish();
  device_is_done_ = nullptr;
  if (!digest.ok()) {
    if (result_.status.ok()) result_.status = digest.status();
    return;
  }
  result_.sha256 =
      absl::BytesToHexString({reinterpret_cast<const char*>(digest->data()), digest->size()});
  result_.hash_on = "device";
}

StreamResult Stream::Finish() {
  FinishHash();
  ReleaseUntilHeld(0);
  // An orderly end: our FIN is acknowledged before the device may go. What the peer thinks of it
  // changes nothing about what was received.
  if (at_end_ && connection_->Shutdown().ok()) {
    (void)connection_->Flush(session_->Now() + kClosePatience);
  }
  connection_.reset();
  return result_;
}

}  // namespace devmem
