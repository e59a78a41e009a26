// SPDX-License-Identifier: Apache-2.0
//
// A worker's turn: frames in, segments to the engine, and what the user takes and gives back.
// Sending, neighbours and handing over are in worker_link.cc, ICMP is in worker_icmp.cc, the
// binding and reading back in worker_memory.cc.

#include "netmem/stack/worker.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/wire/ethernet.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(const Config& config, Netdev* netdev,
                                                       const QueueMemory& host,
                                                       const Addresses* addresses,
                                                       HandoverRings* rings) {
  std::unique_ptr<Worker> worker(new Worker(config, netdev, host, addresses, rings));
  if (!worker->pieces_.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no address space for the pieces of queue ", config.queue));
  }
  absl::StatusOr<std::unique_ptr<TcpEngine>> engine =
      TcpEngine::Create(config.tcp, &worker->store_, worker.get());
  if (!engine.ok()) return engine.status();
  worker->engine_ = *std::move(engine);
  return worker;
}

Worker::Worker(const Config& config, Netdev* netdev, const QueueMemory& host,
               const Addresses* addresses, HandoverRings* rings)
    : config_(config),
      netdev_(netdev),
      queue_(&netdev->queue(config.queue)),
      addresses_(addresses),
      rings_(rings),
      pieces_(host.pool->net_iov_count() * kPiecesPerNetIov),
      store_(host.pool, nullptr, &pieces_),
      reader_(host),
      host_(host),
      mac_(netdev->info().mac),
      batch_(std::make_unique<RxBatch>()),
      echo_in_(std::make_unique<std::array<uint8_t, kEchoBytesMax + kHeaderSlotBytes>>()),
      echo_out_(std::make_unique<std::array<uint8_t, kEchoBytesMax + kHeaderSlotBytes>>()) {}

uint32_t Worker::Run(Nanos now) {
  now_ = now;
  ++turns_;
  LookAfterMemory(now);
  uint32_t done = TakeHandedOver(now);
  const uint32_t frames = staging_ == nullptr ? queue_->Poll(*batch_) : staging_->Poll(*batch_);
  waits_for_memory_.store(queue_->waits_for_memory(), std::memory_order_relaxed);
  Prefetch(frames);
  HandleBatch(frames, now);
  if (frames == 0 && queue_->gone() && !gone()) [[unlikely]] {
    OnDeviceGone(now);
    ++done;
  }
  engine_->Flush(now);
  const Nanos deadline = engine_->NextDeadline();
  if (deadline <= now) {
    if (now - deadline > kDelayedAckMax) ++stats_.late_runs;
    engine_->Expire(now);
    engine_->Flush(now);
    ++done;
  }
  SendAcks();
  return frames + done;
}

// What has arrived stays for its user to take.
void Worker::OnDeviceGone(Nanos now) {
  engine_->CloseAll(CloseReason::kDeviceGone, now);
  gone_.store(true, std::memory_order_release);
}

void Worker::Handle(const RxDescriptor& frame, Nanos now) {
  switch (frame.headers.kind) {
    case FrameKind::kTcp: HandleTcp(frame, 0, now); return;
    case FrameKind::kArp:
      ++stats_.arp_in;
      HandleArp(frame.header, true);
      break;
    case FrameKind::kIcmp:
    case FrameKind::kIcmpV6: HandleIcmp(frame, 0, now); break;
    case FrameKind::kOther:
    case FrameKind::kMalformed: break;
  }
  store_.Put(batch_->PiecesOf(frame));
}

void Worker::FillSegment(const RxDescriptor& frame) {
  const FrameHeaders& headers = frame.headers;
  // The NIC has parsed the frame: a TCP header is there, and all of it.
  const std::optional<TcpHeader> tcp = TcpHeader::Parse(frame.header.subspan(headers.l4_offset));
  Segment& segment = segment_;
  segment.flow = headers.flow;
  segment.seq = tcp->seq();
  segment.ack = tcp->ack();
  segment.flags = tcp->flags();
  segment.ecn = headers.ecn;
  segment.window = tcp->window();
  segment.segment_count = frame.segment_count;
  segment.payload_bytes = frame.placed_bytes;
  segment.cut = frame.placed_bytes < headers.payload_bytes;
  segment.pieces = batch_->PiecesOf(frame);
  // Made where it stays: a copy in wide words right after the narrow writes waits for the store
  // buffer.
  ::new (&segment.options) TcpOptions(ParseTcpOptions(tcp->options()));
}

void Worker::HandleTcp(const RxDescriptor& frame, uint32_t visited, Nanos now) {
  const FrameHeaders& headers = frame.headers;
  if (!addresses_->IsOurs(headers.flow.local)) [[unlikely]] {
    ++stats_.not_ours;
    store_.Put(batch_->PiecesOf(frame));
    return;
  }
  if (frame.rx_class == RxClass::kElsewhere) [[unlikely]] {
    store_.Put(batch_->PiecesOf(frame));
    HandOver(frame, rings_->workers(), frame.target_queue);
    return;
  }
  FillSegment(frame);
  Segment& segment = segment_;
  if (frame.rx_class != RxClass::kSteered && visited + 1 < rings_->workers() && !IsForUs(segment)) {
    HandOver(frame, visited + 1, (config_.queue + 1) % rings_->workers());
    store_.Put(segment.pieces);
    return;
  }
  if (segment.has(kTcpSyn)) [[unlikely]] {
    // Whoever delivered the SYN is where our answer goes.
    neighbours_.Learn(headers.flow.remote, EthernetHeader::Parse(frame.header)->source());
  }
  engine_->Input(segment, now);
}

// Whether an unsteered segment stays. On a bound queue no unsteered connection begins: all of its
// frames would have to be bounced.
bool Worker::IsForUs(const Segment& segment) const {
  const bool opens = segment.has(kTcpSyn) && !segment.has(kTcpAck);
  return engine_->Knows(segment) && !(opens && bound());
}

size_t Worker::TakeFrags(TcpConnection& connection, std::span<Frag> frags, Nanos now) {
  now_ = now;
  LookAfterMemory(now);
  if (!tokens_.has_value()) [[unlikely]]
    return 0;
  size_t taken = 0;
  Piece piece;
  while (taken < frags.size() && !connection.receiver.in_order().empty() && !tokens_->full()) {
    (void)engine_->TakePiece(connection, &piece);
    const PagePool& pool = store_.PoolOf(piece.netmem);
    frags[taken].region_id = pool.provider().region_id;
    frags[taken].offset = pool.RegionOffset(piece);
    frags[taken].length_bytes = piece.length_bytes;
    frags[taken].token = tokens_->Insert(piece);
    store_.OnHandedOut(piece);
    ++taken;
  }
  if (taken == 0) return 0;
  token_stats_.issued.Add(taken);
  stats_.frags.Add(taken);
  engine_->OnConsumed(connection, now);
  return taken;
}

size_t Worker::Release(std::span<const Frag> frags, Nanos now) {
  now_ = now;
  LookAfterMemory(now);
  size_t refused = 0;
  for (const Frag& frag : frags) {
    std::optional<Piece> piece;
    if (tokens_.has_value()) piece = tokens_->Remove(frag.token);
    if (!piece.has_value()) {
      ++refused;
      continue;
    }
    store_.OnReturned(*piece);
    store_.Put(*piece);
  }
  token_stats_.returned.Add(frags.size() - refused);
  token_stats_.refused.Add(refused);
  engine_->OnMemoryReturned(now);
  return refused;
}

}  // namespace devmem
