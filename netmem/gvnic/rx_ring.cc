// SPDX-License-Identifier: Apache-2.0
//
// Placing packets into the guest's buffers and saying so.

#include "netmem/gvnic/rx_ring.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/ring_check.h"

namespace devmem {
namespace {

absl::Status CheckBufferSizes(const RxRingConfig& config) {
  if (config.buffer_bytes < kRxBufferBytesMin || config.buffer_bytes > kRxBufferBytesMax) {
    return absl::OutOfRangeError(absl::StrCat("rx buffers have ", config.buffer_bytes,
                                              " bytes; choose ", kRxBufferBytesMin, " to ",
                                              kRxBufferBytesMax));
  }
  if (config.header_bytes > kRxHeaderBytesMax) {
    return absl::OutOfRangeError(absl::StrCat("rx header buffers have ", config.header_bytes,
                                              " bytes; choose at most ", kRxHeaderBytesMax));
  }
  return absl::OkStatus();
}

// Uses up one of a fault's packets.
bool TakeFault(uint64_t& packets_left) {
  if (packets_left == 0) return false;
  if (packets_left != UINT64_MAX) --packets_left;
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RxRing>> RxRing::Create(GuestMemory& memory,
                                                       const RxRingConfig& config, RxFaults& faults,
                                                       DataPathStats& stats) {
  absl::Status checked = CheckBufferSizes(config);
  if (!checked.ok()) return checked;
  for (const RingPlace& place :
       {RingPlace{"rx buffer ring", config.buffer_ring, config.buffer_entries, kRxBufferBytes},
        RingPlace{"rx completion ring", config.completion_ring, config.completion_entries,
                  kRxCompletionBytes}}) {
    checked = CheckRing(memory, place);
    if (!checked.ok()) return checked;
  }
  return std::unique_ptr<RxRing>(new RxRing(memory, config, faults, stats));
}

RxRing::RxRing(GuestMemory& memory, const RxRingConfig& config, RxFaults& faults,
               DataPathStats& stats)
    : config_(config),
      memory_(memory),
      faults_(faults),
      stats_(stats),
      completions_(memory, kRxCompletionFormat, config.completion_ring, config.completion_entries),
      coalescer_(config_, stats, *this) {}

RxRing::~RxRing() { stats_.rx_drop_held += held_.size() + coalescer_.open_frames(); }

uint32_t RxRing::available() const {
  if (faults_.withhold_buffers) return 0;
  return (tail_ - head_) & (uint32_t{config_.buffer_entries} - 1);
}

void RxRing::Receive(RxPacket packet) {
  if (config_.gro_hw) {
    coalescer_.Offer(std::move(packet));
  } else {
    Take(std::move(packet));
  }
}

void RxRing::Take(RxPacket packet) {
  const uint32_t buffers = BuffersFor(config_, packet.layout);
  if (packet.layout.frame_bytes == 0 || buffers >= config_.buffer_entries) {
    ++stats_.rx_drop_size;
    return;
  }
  if (buffers <= free_buffers()) {
    Deliver(packet);
  } else {
    Hold(std::move(packet));
  }
}

void RxRing::Hold(RxPacket packet) {
  const size_t bytes = packet.packet.bytes.size();
  if (held_.size() >= kRxHeldPacketsMax || held_bytes_ + bytes > kRxHeldBytesMax) {
    ++stats_.rx_drop_held;
    return;
  }
  ++stats_.rx_held;
  held_bytes_ += bytes;
  held_.push_back(std::move(packet));
}

void RxRing::Doorbell(uint32_t tail) {
  if (tail >= config_.buffer_entries) {
    ++stats_.bad_doorbells;
    return;
  }
  tail_ = tail;
  Retry();
}

void RxRing::Retry() {
  while (!held_.empty() && BuffersFor(config_, held_.front().layout) <= available()) {
    const RxPacket packet = std::move(held_.front());
    held_.pop_front();
    held_bytes_ -= packet.packet.bytes.size();
    Deliver(packet);
  }
}

RxRing::Plan RxRing::MakePlan(const RxPacket& packet) {
  Plan plan;
  const bool can_split = config_.header_bytes != 0 && packet.layout.is_tcp();
  plan.is_split = SplitsHeaders(config_, packet.layout);
  plan.header_overflow = can_split && !plan.is_split;
  // A packet kept whole may need one buffer more than there is; then the fault waits for another.
  const bool fits_whole = BuffersForBytes(config_, packet.layout.frame_bytes) <= available();
  if (plan.is_split && fits_whole && TakeFault(faults_.header_overflow)) {
    plan.is_split = false;
    plan.header_overflow = true;
  }
  if (plan.is_split && fits_whole && TakeFault(faults_.unsplittable)) plan.is_split = false;
  plan.rx_error = TakeFault(faults_.rx_error);
  plan.header_bytes = plan.is_split ? packet.layout.header_bytes : 0;
  plan.buffers = BuffersForBytes(config_, packet.layout.frame_bytes - plan.header_bytes);
  return plan;
}

void RxRing::Deliver(const RxPacket& packet) {
  Plan plan = MakePlan(packet);
  if (!Fetch(plan)) {
    ++stats_.rx_drop_memory;
    plan.rx_error = true;
    plan.is_split = false;
    plan.header_overflow = false;
    plan.header_bytes = 0;
  } else {
    Place(packet, plan);
    ++stats_.rx_packets;
    stats_.rx_bytes += packet.layout.frame_bytes;
    stats_.rx_super_frames += packet.packet.segment_bytes != 0;
    stats_.rx_split += plan.is_split;
    stats_.rx_header_overflows += plan.header_overflow;
    stats_.rx_checksum_errors += packet.check == L4Check::kBad;
    ++queue_stats_.packets;
    queue_stats_.bytes += packet.layout.frame_bytes;
  }
  CompletePacket(packet, plan);
}

// Consumes the packet's buffers. False if not all of them are in the guest's memory; they are
// consumed all the same, and targets_ has their numbers.
bool RxRing::Fetch(const Plan& plan) {
  targets_.clear();
  bool is_sound = true;
  for (uint32_t i = 0; i < plan.buffers; ++i) {
    const uint64_t address = config_.buffer_ring + uint64_t{head_} * kRxBufferBytes;
    head_ = (head_ + 1) & (uint32_t{config_.buffer_entries} - 1);
    const uint8_t* const entry = memory_.Read(address, kRxBufferBytes);
    if (entry == nullptr) {
      ++stats_.rx_ring_faults;
      is_sound = false;
      continue;
    }
    const RxBuffer buffer = RxBuffer::Load(entry);
    Target target{.id = buffer.id, .memory = memory_.Write(buffer.address, config_.buffer_bytes)};
    if (plan.is_split && i == 0) {
      target.header = memory_.Write(buffer.header_address, plan.header_bytes);
      is_sound = is_sound && target.header != nullptr;
    }
    is_sound = is_sound && target.memory != nullptr && buffer.id < config_.buffer_entries;
    targets_.push_back(target);
  }
  return is_sound;
}

void RxRing::Place(const RxPacket& packet, const Plan& plan) {
  const uint8_t* from = packet.packet.bytes.data();
  if (plan.is_split) std::memcpy(targets_[0].header, from, plan.header_bytes);
  uint32_t left = packet.layout.frame_bytes - plan.header_bytes;
  from += plan.header_bytes;
  for (const Target& target : targets_) {
    const uint32_t bytes = std::min<uint32_t>(left, config_.buffer_bytes);
    std::memcpy(target.memory, from, bytes);
    from += bytes;
    left -= bytes;
  }
}

// One completion per buffer. What the driver takes from the last one is on all of them; what it
// must see once only is on the first.
void RxRing::CompletePacket(const RxPacket& packet, const Plan& plan) {
  RxCompletion completion{.has_extensions = packet.layout.has_extensions,
                          .rx_error = plan.rx_error,
                          .packet_type = packet.layout.packet_type(),
                          .is_rsc = packet.packet.segment_bytes != 0 && !plan.rx_error,
                          .checksum_processed = packet.check != L4Check::kNone,
                          .checksum_error = packet.check == L4Check::kBad,
                          .segment_bytes = packet.packet.segment_bytes,
                          .hash = packet.hash};
  uint32_t left = plan.rx_error ? 0 : packet.layout.frame_bytes - plan.header_bytes;
  for (size_t i = 0; i < targets_.size(); ++i) {
    const bool is_first = i == 0;
    // Of an overflow the driver learns by a split packet whose header has no bytes.
    completion.is_split = is_first && (plan.is_split || plan.header_overflow);
    completion.header_overflow = is_first && plan.header_overflow;
    completion.header_bytes = static_cast<uint16_t>(is_first ? plan.header_bytes : 0);
    completion.buffer_bytes =
        std::min(static_cast<uint16_t>(std::min<uint32_t>(left, UINT16_MAX)), config_.buffer_bytes);
    completion.end_of_packet = i + 1 == targets_.size();
    completion.buffer_id = targets_[i].id;
    left -= completion.buffer_bytes;
    if (!completions_.Write(completion.Emit())) ++stats_.rx_ring_faults;
    has_news_ = true;
  }
}

bool RxRing::TakeNews() { return std::exchange(has_news_, false); }

}  // namespace devmem
