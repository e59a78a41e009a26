// SPDX-License-Identifier: Apache-2.0
//
// The rig: set-up and handshakes through the engine's own paths, and the peers' segments.

#include "bench/rx_rig.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/tcp_header.h"
#include "provider/memfd_provider.h"

namespace {

uint64_t allocation_count = 0;

void* Counted(size_t bytes) {
  ++allocation_count;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

// The forms that are not replaced here (nothrow) call these in libstdc++. Not inlined: the compiler
// would see free() under a new that it takes for its own, and warn.
[[gnu::noinline]] void* operator new(size_t bytes) { return Counted(bytes); }
[[gnu::noinline]] void* operator new[](size_t bytes) { return Counted(bytes); }
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t alignment) {
  ++allocation_count;
  const size_t align = static_cast<size_t>(alignment);
  void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace devmem::bench {
namespace {

constexpr uint16_t kOurPort = 5201;
constexpr uint16_t kPeerPortFirst = 20'000;
constexpr uint32_t kPeerPorts = 40'000;                            // Of one peer's address.
constexpr IpAddress kOurAddress = IpAddress::FromV4(0xc6120002);   // 198.18.0.2
constexpr IpAddress kPeerAddress = IpAddress::FromV4(0xc6120001);  // 198.18.0.1
constexpr MacAddress kPeerMac({2, 0, 0, 0, 0, 9});

// Where the fields that change lie in a header of Ethernet, IPv4 and TCP with a timestamp.
constexpr size_t kSeqOffset = 14 + 20 + 4;
constexpr size_t kPortOffset = 14 + 20 + 2;
constexpr size_t kFlagsOffset = 14 + 20 + 13;
constexpr size_t kTimestampOffset = 14 + 20 + 20 + 4;
constexpr uint32_t kSegmentHeaderBytes = 14 + 20 + 20 + 12;

// Just below the wrap, so that every run crosses it.
constexpr uint32_t kFirstSeq = 0xffff'ff00;

template <typename T>
T OrDie(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "benchmark rig: %s\n", result.status().ToString().c_str());
  std::exit(1);
}

// Until acknowledgments are no longer sent at once and the window is open by more than a burst,
// which it is once so much was consumed several times: a multiple of the period in which segments
// come late.
uint32_t WarmUpSegments(uint32_t flow_count) {
  return 100 * std::max(1u, 16 * kBurstSegments / 100 / flow_count);
}
static_assert(100 >= 2 * kQuickAckSegments);

constexpr uint32_t kHoleSegmentsMax = 17;

uint32_t MillisecondsOf(Nanos now) { return static_cast<uint32_t>(now / kMillisecond); }

}  // namespace

BenchMemory::BenchMemory(uint64_t bytes, bool device) {
  region = OrDie(MemfdProvider().Allocate({.bytes = bytes}));
  attachment = OrDie(Attachment::Create(*region, {.name = "bench"}));
  pool = OrDie(PagePool::Create({.region_id = region->id(), .bytes = bytes, .device = device},
                                kFramePayloadBytesMax));
}

RxRig::RxRig(const RxRigOptions& options)
    : device_(options.region_bytes, true),
      host_(1 << 20, false),
      addresses_(OrDie(Addresses::Create({"198.18.0.2/15"}, {}))),
      options_(options) {}

RxRig::~RxRig() {
  if (worker_ != nullptr) worker_->Unbind(now_);
}

absl::StatusOr<std::unique_ptr<RxRig>> RxRig::Create(const RxRigOptions& options) {
  std::unique_ptr<RxRig> rig(new RxRig(options));
  absl::Status started = rig->Start();
  if (started.ok()) started = rig->OpenAll();
  if (!started.ok()) return started;
  return rig;
}

absl::Status RxRig::Start() {
  absl::StatusOr<std::unique_ptr<WireLink>> link =
      WireLink::Create({.trace = false,
                        .a = {.ring_frames = 1024, .slot_frames = 2048, .write_payload = false},
                        .b = {.mac = kPeerMac}});
  if (!link.ok()) return link.status();
  link_ = *std::move(link);
  const QueueMemory host = host_.queue_memory();
  nic_ = std::make_unique<ReplySinkNic>(link_->a());
  absl::Status status = nic_->Start({&host, 1});
  if (!status.ok()) return status;

  Worker::Config config;
  config.tcp.connections_max = std::max(4096u, options_.flow_count + options_.idle_count + 1024);
  absl::StatusOr<std::unique_ptr<Worker>> worker =
      Worker::Create(config, nic_.get(), host, &addresses_, &rings_);
  if (!worker.ok()) return worker.status();
  worker_ = *std::move(worker);
  status = worker_->Bind(device_.queue_memory());
  if (!status.ok()) return status;
  status = nic_->AddRule({.local_port = kOurPort}, 0).status();
  if (!status.ok()) return status;
  return worker_->engine().Listen(kOurAddress, kOurPort, kBacklogMax, /*bound=*/true).status();
}

// Those that send are spread among the idle ones: one at random of each so many. At equal distances
// their slots would meet in a few sets of the second-level cache, as no real connections do.
absl::Status RxRig::OpenAll() {
  const uint32_t every = 1 + options_.idle_count / std::max(1u, options_.flow_count);
  peers_.reserve(options_.flow_count);
  for (uint32_t number = 0; number < options_.flow_count + options_.idle_count; ++number) {
    TcpFrameSpec segment;
    absl::Status opened = Open(number, &segment);
    const uint32_t sender =
        static_cast<uint32_t>(number / every * 0x9e3779b97f4a7c15 >> 32) % every;
    if (opened.ok() && number % every == sender && peers_.size() < options_.flow_count) {
      opened = MakePeer(peers_.emplace_back(), segment);
    }
    if (!opened.ok()) return opened;
  }
  return absl::OkStatus();
}

TcpFrameSpec RxRig::SpecFor(uint32_t number) const {
  return {.source_mac = kPeerMac,
          .destination_mac = link_->a().info().mac,
          .flow = {.local = IpAddress::FromV4(kPeerAddress.v4() + 0x100 * (number / kPeerPorts)),
                   .remote = kOurAddress,
                   .local_port = static_cast<uint16_t>(kPeerPortFirst + number % kPeerPorts),
                   .remote_port = kOurPort},
          .seq = SeqNum(kFirstSeq),
          .flags = kTcpSyn,
          .window = 65535,
          .options = {.mss = 1460,
                      .window_scale = 7,
                      .sack_permitted = true,
                      .timestamps = TcpTimestamps{MillisecondsOf(now_), 0}}};
}

void RxRig::Inject(const TcpFrameSpec& spec) {
  std::array<uint8_t, kTcpFrameHeaderBytesMax> header;
  link_->a().InjectHeader(0, std::span(header).first(BuildTcpFrame(spec, header)), 0);
}

// The initial sequence number with which a SYN was answered. Window updates of others may lie
// behind the answer.
std::optional<SeqNum> RxRig::AnswerTo(const TcpFrameSpec& syn) const {
  for (uint64_t back = 0; back < ReplySinkQueue::kSlots; ++back) {
    const std::span<const uint8_t> reply = nic_->sink().last(back);
    if (reply.empty()) break;
    if (reply[kFlagsOffset] == (kTcpSyn | kTcpAck) &&
        LoadBe16(&reply[kPortOffset]) == syn.flow.local_port) {
      return SeqNum(LoadBe32(&reply[kSeqOffset]));
    }
  }
  return std::nullopt;
}

// Opens one connection; `segment` is then what its data segments are made from.
absl::Status RxRig::Open(uint32_t number, TcpFrameSpec* segment) {
  *segment = SpecFor(number);
  Inject(*segment);
  worker_->Run(now_);
  const std::optional<SeqNum> our_isn = AnswerTo(*segment);
  if (!our_isn.has_value()) return absl::InternalError("the rig's SYN was not answered");
  segment->ack = *our_isn + 1;
  ++segment->seq;
  segment->flags = kTcpAck;
  segment->options = {.timestamps = TcpTimestamps{MillisecondsOf(now_), MillisecondsOf(now_)}};
  Inject(*segment);
  worker_->Run(now_);
  if (!worker_->engine().Accept(1).has_value()) {
    return absl::InternalError(absl::StrCat("flow ", number, " of the rig was not established"));
  }
  worker_->engine().ClearChanged();
  return absl::OkStatus();
}

absl::Status RxRig::MakePeer(Peer& peer, const TcpFrameSpec& segment) {
  TcpFrameSpec spec = segment;
  spec.flags = kTcpAck | kTcpPsh;
  spec.payload_bytes = kSegmentBytes;
  peer.first = spec.seq;
  peer.header_bytes = static_cast<uint32_t>(BuildTcpFrame(spec, peer.header));
  if (peer.header_bytes != kSegmentHeaderBytes) {
    return absl::InternalError(absl::StrCat("a segment has ", peer.header_bytes, " header bytes"));
  }
  if (!WarmUp(peer)) return absl::InternalError("the ring of the rig is too short");
  peer.order = ArrivalOrder(options_.disorder, peer.order);
  return absl::OkStatus();
}

bool RxRig::InjectSegment(Peer& peer) {
  const SeqNum seq = peer.first + static_cast<uint32_t>(peer.order.Next() * kSegmentBytes);
  StoreBe32(&peer.header[kSeqOffset], seq.value());
  StoreBe32(&peer.header[kTimestampOffset], MillisecondsOf(now_));
  payload_bytes_sent_ += kSegmentBytes;
  return link_->a().InjectHeader(0, std::span(peer.header).first(peer.header_bytes), kSegmentBytes);
}

bool RxRig::WarmUp(Peer& peer) {
  bool all = true;
  for (uint32_t i = 0; i < WarmUpSegments(options_.flow_count); ++i) {
    all &= InjectSegment(peer);
    Release(Receive());
  }
  return all;
}

bool RxRig::Send() {
  Tick();
  bool all = true;
  for (uint32_t i = 0; i < options_.burst_segments; ++i) {
    all &= InjectSegment(peers_[next_peer_]);
    next_peer_ = next_peer_ + 1 == peers_.size() ? 0 : next_peer_ + 1;
  }
  return all;
}

void RxRig::SendSyns() {
  Tick();
  visitors_.clear();
  for (uint32_t i = 0; i < kBurstSegments; ++i) {
    // Behind the rig's own flows, and round again when their ports are long free.
    const uint32_t number = options_.flow_count + options_.idle_count + next_visitor_;
    next_visitor_ = (next_visitor_ + 1) % (4 * kPeerPorts);
    visitors_.push_back(SpecFor(number));
    Inject(visitors_.back());
  }
}

void RxRig::SendAcks() {
  for (uint32_t i = 0; i < kBurstSegments; ++i) {
    TcpFrameSpec& spec = visitors_[i];
    spec.ack = AnswerTo(spec).value_or(SeqNum()) + 1;
    ++spec.seq;
    spec.flags = kTcpAck;
    spec.options = {.timestamps = TcpTimestamps{MillisecondsOf(now_), MillisecondsOf(now_)}};
    Inject(spec);
  }
}

void RxRig::SendFins() {
  for (TcpFrameSpec& spec : visitors_) {
    spec.flags = kTcpAck | kTcpFin;
    Inject(spec);
  }
}

void RxRig::SendLastAcks() {
  for (TcpFrameSpec& spec : visitors_) {
    ++spec.seq;
    ++spec.ack;
    spec.flags = kTcpAck;
    Inject(spec);
  }
}

uint32_t RxRig::AcceptAll() {
  uint32_t accepted = 0;
  while (worker_->engine().Accept(1).has_value()) ++accepted;
  worker_->engine().ClearChanged();
  return accepted;
}

uint32_t RxRig::CloseEnded() {
  TcpEngine& engine = worker_->engine();
  uint32_t closed = 0;
  for (const uint32_t index : engine.changed()) {
    if (engine.at(index).state != TcpState::kCloseWait) continue;
    engine.Detach(engine.at(index), now_);
    ++closed;
  }
  engine.ClearChanged();
  worker_->Run(now_);
  return closed;
}

std::span<const Frag> RxRig::Receive() {
  worker_->Run(now_);
  TcpEngine& engine = worker_->engine();
  size_t count = 0;
  for (const uint32_t index : engine.changed()) {
    count += worker_->TakeFrags(engine.at(index), std::span(frags_).subspan(count), now_);
  }
  engine.ClearChanged();
  for (size_t i = 0; i < count; ++i) payload_bytes_received_ += frags_[i].length_bytes;
  return std::span(frags_).first(count);
}

absl::Status RxRig::Check() const {
  // Behind a hole that is open now some segments may wait.
  const uint64_t waiting = options_.disorder == Disorder::kNone
                               ? 0
                               : uint64_t{kHoleSegmentsMax} * kSegmentBytes * peers_.size();
  if (payload_bytes_received_ + waiting < payload_bytes_sent_ || refused_ != 0) {
    return absl::InternalError(absl::StrCat("received ", payload_bytes_received_, " of ",
                                            payload_bytes_sent_, " bytes, ", refused_,
                                            " tokens refused"));
  }
  const uint64_t counted = worker_->engine().stats().payload_bytes_in.value();
  if (counted != payload_bytes_received_) {
    return absl::InternalError(
        absl::StrCat("the engine counts ", counted, " bytes of ", payload_bytes_received_));
  }
  return device_.pool->Audit();
}

uint64_t AllocationCount() { return allocation_count; }

}  // namespace devmem::bench
