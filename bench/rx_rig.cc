// SPDX-License-Identifier: Apache-2.0
//
// The rig: set-up and handshakes through the engine's own paths, and the peers' segments.

#include "bench/rx_rig.h"

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
constexpr IpAddress kOurAddress = IpAddress::FromV4(0xc6120002);   // 198.18.0.2
constexpr IpAddress kPeerAddress = IpAddress::FromV4(0xc6120001);  // 198.18.0.1
constexpr MacAddress kPeerMac({2, 0, 0, 0, 0, 9});

// A burst of 64 segments takes so long at 25 Gbit/s.
constexpr Nanos kBurstPeriod = 30 * kMicrosecond;

// Where the fields that change lie in a header of Ethernet, IPv4 and TCP with a timestamp.
constexpr size_t kSeqOffset = 14 + 20 + 4;
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

uint32_t MillisecondsOf(Nanos now) { return static_cast<uint32_t>(now / kMillisecond); }

}  // namespace

BenchMemory::BenchMemory(uint64_t bytes, bool device) {
  region = OrDie(MemfdProvider().Allocate({.bytes = bytes}));
  attachment = OrDie(Attachment::Create(*region, {.name = "bench"}));
  pool = OrDie(PagePool::Create({.region_id = region->id(), .bytes = bytes, .device = device},
                                kFramePayloadBytesMax));
}

RxRig::RxRig(uint64_t region_bytes)
    : device_(region_bytes, true),
      host_(1 << 20, false),
      addresses_(OrDie(Addresses::Create({"198.18.0.2/15"}, ""))) {}

RxRig::~RxRig() {
  if (worker_ != nullptr) worker_->Unbind(now_);
}

absl::StatusOr<std::unique_ptr<RxRig>> RxRig::Create(uint32_t flow_count, uint64_t region_bytes) {
  std::unique_ptr<RxRig> rig(new RxRig(region_bytes));
  rig->peers_.resize(flow_count);
  absl::Status started = rig->Start();
  for (uint32_t index = 0; started.ok() && index < flow_count; ++index) started = rig->Open(index);
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

  absl::StatusOr<std::unique_ptr<Worker>> worker =
      Worker::Create(Worker::Config(), nic_.get(), host, &addresses_, &rings_);
  if (!worker.ok()) return worker.status();
  worker_ = *std::move(worker);
  status = worker_->Bind(device_.queue_memory());
  if (!status.ok()) return status;
  status = nic_->AddRule({.local_port = kOurPort}, 0).status();
  if (!status.ok()) return status;
  return worker_->engine().Listen(kOurAddress, kOurPort, kBacklogDefault, /*bound=*/true).status();
}

TcpFrameSpec RxRig::SpecFor(uint32_t index) const {
  return {.source_mac = kPeerMac,
          .destination_mac = link_->a().info().mac,
          .flow = {.local = kPeerAddress,
                   .remote = kOurAddress,
                   .local_port = static_cast<uint16_t>(kPeerPortFirst + index),
                   .remote_port = kOurPort},
          .seq = peers_[index].next,
          .window = 65535};
}

absl::Status RxRig::Open(uint32_t index) {
  Peer& peer = peers_[index];
  peer.next = SeqNum(kFirstSeq);
  TcpFrameSpec syn = SpecFor(index);
  syn.flags = kTcpSyn;
  syn.options = {.mss = 1460,
                 .window_scale = 7,
                 .sack_permitted = true,
                 .timestamps = TcpTimestamps{MillisecondsOf(now_), 0}};
  std::array<uint8_t, kTcpFrameHeaderBytesMax> header;
  link_->a().InjectHeader(0, std::span(header).first(BuildTcpFrame(syn, header)), 0);
  worker_->Run(now_);
  const std::span<const uint8_t> reply = nic_->sink().last();
  if (reply.empty()) return absl::InternalError("the rig's SYN was not answered");
  const SeqNum our_isn = SeqNum(LoadBe32(&reply[kSeqOffset]));

  ++peer.next;
  TcpFrameSpec segment = SpecFor(index);
  segment.flags = kTcpAck;
  segment.ack = our_isn + 1;
  segment.options = {.timestamps = TcpTimestamps{MillisecondsOf(now_), MillisecondsOf(now_)}};
  const size_t ack_bytes = BuildTcpFrame(segment, header);
  link_->a().InjectHeader(0, std::span(header).first(ack_bytes), 0);
  worker_->Run(now_);
  if (!worker_->engine().Accept(1).has_value()) {
    return absl::InternalError(absl::StrCat("flow ", index, " of the rig was not established"));
  }
  segment.flags = kTcpAck | kTcpPsh;
  segment.payload_bytes = kSegmentBytes;
  peer.header_bytes = static_cast<uint32_t>(BuildTcpFrame(segment, peer.header));
  if (peer.header_bytes != kSegmentHeaderBytes) {
    return absl::InternalError(absl::StrCat("a segment has ", peer.header_bytes, " header bytes"));
  }
  if (!WarmUp(peer)) return absl::InternalError("the ring of the rig is too short");
  return absl::OkStatus();
}

bool RxRig::InjectSegment(Peer& peer) {
  StoreBe32(&peer.header[kSeqOffset], peer.next.value());
  StoreBe32(&peer.header[kTimestampOffset], MillisecondsOf(now_));
  peer.next += kSegmentBytes;
  payload_bytes_sent_ += kSegmentBytes;
  return link_->a().InjectHeader(0, std::span(peer.header).first(peer.header_bytes), kSegmentBytes);
}

bool RxRig::WarmUp(Peer& peer) {
  bool all = true;
  for (uint32_t i = 0; i < 2 * kQuickAckSegments; ++i) {
    all &= InjectSegment(peer);
    Release(Receive());
  }
  return all;
}

bool RxRig::Send() {
  now_ += kBurstPeriod;
  bool all = true;
  for (uint32_t i = 0; i < kBurstSegments; ++i) {
    all &= InjectSegment(peers_[next_peer_]);
    next_peer_ = next_peer_ + 1 == peers_.size() ? 0 : next_peer_ + 1;
  }
  return all;
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
  if (payload_bytes_received_ != payload_bytes_sent_ || refused_ != 0) {
    return absl::InternalError(absl::StrCat("received ", payload_bytes_received_, " of ",
                                            payload_bytes_sent_, " bytes, ", refused_,
                                            " tokens refused"));
  }
  const uint64_t counted = worker_->engine().stats().payload_bytes_in.value();
  if (counted != payload_bytes_sent_) {
    return absl::InternalError(
        absl::StrCat("the engine counts ", counted, " bytes of ", payload_bytes_sent_));
  }
  return device_.pool->Audit();
}

uint64_t AllocationCount() { return allocation_count; }

}  // namespace devmem::bench
