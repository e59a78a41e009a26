// SPDX-License-Identifier: Apache-2.0
//
// The host's clock, memory and received bytes; ip_layer.cc has its packets.

#include "tools/packetdrill/host_stack.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tools/packetdrill/limits.h"

namespace devmem::packetdrill {
namespace {

// Who tests a stack wants the same numbers each time: nothing here is secret.
constexpr SipKey kSecret = {0x70616b6574647269, 0x6c6c2d706c756769};

// What packetdrill itself takes when nothing names an address.
constexpr IpAddress kDefaultV4 = IpAddress::FromV4(0xc0a80001);  // 192.168.0.1.

TcpEngine::Config EngineConfig(const Knobs& knobs) {
  TcpEngine::Config config;
  config.connections_max = kPlugInConnectionsMax;
  config.mtu_bytes = knobs.mtu_bytes;
  config.gso_bytes_max = kGsoBytesMax;
  config.gso_by_rate = true;
  config.whole_segments = true;
  // Linux counts as much again for its bookkeeping, and the first window is whole segments.
  config.window_bytes_max = std::max(knobs.rmem_bytes[2] / 2, 1u);
  const uint64_t start = std::min<uint64_t>(knobs.rmem_bytes[1] / 2, 65535);
  config.window_bytes_start = std::max<uint64_t>(start - start % (knobs.mtu_bytes - 40), 1);
  config.send_buffer_bytes = kPlugInSendBufferBytes;
  config.secret = kSecret;
  config.timestamps = knobs.timestamps;
  config.sack = knobs.sack;
  config.ack = AckOptions::Frugal();
  config.ack.delay_max = knobs.delayed_ack;
  config.ecn = static_cast<EcnMode>(knobs.ecn == 2 ? 1 : knobs.ecn == 1 ? 2 : 0);
  config.loss_probe = knobs.loss_probe;
  config.invalid_answer_interval = knobs.invalid_answer_interval;
  config.syn_cookies = static_cast<SynCookies>(knobs.syncookies);
  return config;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HostStack>> HostStack::Create(const Knobs& knobs) {
  absl::StatusOr<std::unique_ptr<PagePool>> pool =
      PagePool::Create(MemoryProvider{.bytes = kHostPoolBytes}, kFramePayloadBytesMax);
  if (!pool.ok()) return pool.status();
  std::unique_ptr<HostStack> stack(new HostStack(knobs, *std::move(pool)));
  absl::StatusOr<std::unique_ptr<TcpEngine>> engine =
      TcpEngine::Create(EngineConfig(knobs), &stack->store_, stack.get());
  if (!engine.ok()) return engine.status();
  stack->engine_ = *std::move(engine);
  return stack;
}

HostStack::HostStack(const Knobs& knobs, std::unique_ptr<PagePool> pool)
    : knobs_(knobs),
      now_(kStartOfTime),
      memory_(kHostPoolBytes),
      pool_(std::move(pool)),
      array_(kHostPieces),
      store_(pool_.get(), nullptr, &array_),
      pieces_(kPostedRunsMax) {}

HostStack::~HostStack() = default;

void HostStack::MoveTo(Nanos time) {
  now_ = std::max(now_, time);
  engine_->Expire(now_);
  engine_->Flush(now_);
}

// Does what a NIC does: writes the payload into posted memory and takes the pieces of it. What
// finds no memory is cut off.
void HostStack::TakePayload(std::span<const uint8_t> payload, Segment* segment) {
  (void)pool_->Posted();
  const uint32_t fitting = std::min(static_cast<uint32_t>(payload.size()), pool_->posted_bytes());
  const uint32_t count = pool_->Take(fitting, pieces_);
  for (const Piece& piece : std::span(pieces_).first(count)) {
    std::memcpy(&memory_[pool_->RangeOffset(piece)], payload.data(), piece.length_bytes);
    payload = payload.subspan(piece.length_bytes);
  }
  segment->payload_bytes = count == 0 ? 0 : fitting;
  segment->cut = !payload.empty();
  segment->pieces = std::span(pieces_).first(count);
}

size_t HostStack::CopyReceived(const TcpConnection& connection, size_t offset,
                               std::span<const iovec> iov) const {
  const PieceQueue& queue = connection.receiver.in_order();
  size_t copied = 0;
  size_t filled = 0;  // Of iov.front().
  uint32_t next_plus_one = queue.empty() ? 0 : queue.front_index() + 1;
  while (next_plus_one != 0) {
    const PieceEntry& entry = array_[next_plus_one - 1];
    next_plus_one = entry.next_plus_one;
    size_t done = std::min<size_t>(offset, entry.piece.length_bytes);
    offset -= done;
    while (done < entry.piece.length_bytes) {
      while (!iov.empty() && filled == iov.front().iov_len) {
        iov = iov.subspan(1);
        filled = 0;
      }
      if (iov.empty()) return copied;
      const size_t bytes = std::min(entry.piece.length_bytes - done, iov.front().iov_len - filled);
      std::memcpy(static_cast<uint8_t*>(iov.front().iov_base) + filled,
                  &memory_[pool_->RangeOffset(entry.piece) + done], bytes);
      filled += bytes;
      done += bytes;
      copied += bytes;
    }
  }
  return copied;
}

void HostStack::Consume(TcpConnection& connection, size_t bytes) {
  if (bytes == 0) return;
  store_.DropFront(connection.receiver.in_order(), bytes);
  engine_->OnConsumed(connection, now_);
  engine_->OnMemoryReturned(now_);
}

IpAddress HostStack::LocalAddressFor(const IpAddress& remote) const {
  if (remote.is_v4()) return learnt_v4_.value_or(knobs_.address_v4.value_or(kDefaultV4));
  const std::optional<IpAddress> known = learnt_v6_.has_value() ? learnt_v6_ : knobs_.address_v6;
  return known.has_value() ? *known : *ParseIpAddress("fd3d:fa7b:d17d::1");
}

void HostStack::LearnAddress(const IpAddress& address) {
  if (address.is_unspecified()) return;
  (address.is_v4() ? learnt_v4_ : learnt_v6_) = address;
}

}  // namespace devmem::packetdrill
