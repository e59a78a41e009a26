// SPDX-License-Identifier: Apache-2.0
//
// The netdev half of the in-memory wire: set-up, the choice of the queue, and storing frames.

#include "netmem/nic/wire_nic.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "netmem/nic/host_delivery.h"
#include "netmem/nic/pcapng_recorder.h"
#include "netmem/nic/wire_link.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/tcp_header.h"

namespace devmem {

WireNic::WireNic(WireLink& link, uint32_t end, const WireNicConfig& config, uint32_t mtu, bool gso,
                 uint32_t payload_bytes_max)
    : link_(link),
      end_(end),
      config_(config),
      info_({.name = config.name,
             .kind = "wire",
             .steering = "rules",
             .mac = config.mac,
             .mtu = mtu,
             .queue_count = config.queue_count,
             .gso_bytes_max = gso ? kWireGsoBytesMax : 0}),
      slots_(config.slot_frames, payload_bytes_max),
      rules_(config.queue_count) {
  for (uint32_t index = 0; index < config.queue_count; ++index) {
    queues_.push_back(std::make_unique<WireQueue>(*this, index));
    rss_queues_.push_back(index);
  }
  RebuildRss();
}

absl::Status WireNic::Start(std::span<const QueueMemory> host) {
  if (started_) {
    return absl::FailedPreconditionError(absl::StrCat(info_.name, " was started before"));
  }
  if (host.size() != queues_.size()) {
    return absl::InvalidArgumentError(absl::StrCat(info_.name, " has ", queues_.size(),
                                                   " queues and was given host memory for ",
                                                   host.size(), "; give one entry per queue"));
  }
  for (uint32_t index = 0; index < queues_.size(); ++index) {
    absl::Status checked = CheckQueueMemory(host[index], /*device=*/false, index);
    if (!checked.ok()) return checked;
  }
  for (uint32_t index = 0; index < queues_.size(); ++index) {
    queues_[index]->SetHostMemory(host[index]);
  }
  started_ = true;
  return absl::OkStatus();
}

absl::StatusOr<FlowRuleId> WireNic::AddRule(const FlowMatch& match, uint32_t queue) {
  absl::StatusOr<FlowRuleId> id = rules_.Add(match, queue);
  if (id.ok()) matcher_ = rules_.Snapshot();
  return id;
}

absl::Status WireNic::DeleteRule(FlowRuleId id) {
  absl::Status deleted = rules_.Delete(id);
  if (deleted.ok()) matcher_ = rules_.Snapshot();
  return deleted;
}

absl::Status WireNic::SetRssQueues(std::span<const uint32_t> queues) {
  RssTable checked;
  absl::Status set = checked.SetQueues(queues, info_.queue_count);
  if (!set.ok()) return set;
  rss_queues_.assign(queues.begin(), queues.end());
  RebuildRss();
  return absl::OkStatus();
}

void WireNic::RebuildRss() {
  std::vector<uint32_t> unbound;
  for (const uint32_t queue : rss_queues_) {
    if (!bound_queues_.Contains(queue)) unbound.push_back(queue);
  }
  // The list was checked when it was set, so this cannot fail.
  rss_.SetQueues(unbound.empty() ? rss_queues_ : unbound, info_.queue_count).IgnoreError();
}

void WireNic::SetRecorder(PcapngRecorder* recorder) {
  recorder_ = recorder;
  if (recorder != nullptr) recorder_interface_ = recorder->AddInterface(info_.name);
}

bool WireNic::Inject(std::span<const uint8_t> frame) {
  const uint32_t slot = slots_.Alloc();
  if (slot == WireSlots::kNone) {
    CountNoSlot();
    return false;
  }
  Store(slot, frame, {});
  slots_[slot].suspect = true;
  return Arrive(slot);
}

bool WireNic::InjectHeader(uint32_t queue, std::span<const uint8_t> header,
                           uint32_t payload_bytes) {
  if (config_.write_payload || queue >= queues_.size() || header.size() > kHeaderSlotBytes) {
    return false;
  }
  const uint32_t index = slots_.Alloc();
  if (index == WireSlots::kNone) {
    CountNoSlot();
    return false;
  }
  WireSlot& slot = slots_[index];
  slot.frame_bytes = static_cast<uint32_t>(header.size()) + payload_bytes;
  slot.header_bytes = static_cast<uint16_t>(header.size());
  slot.segment_count = static_cast<uint16_t>(1 + payload_bytes / info_.mtu);
  slot.suspect = false;
  slot.corrupted = false;
  slot.cut = payload_bytes > kFramePayloadBytesMax;
  std::memcpy(slot.header, header.data(), header.size());
  return PushTo(queue, index);
}

bool WireNic::IsSendable(const TxFrame& frame) const {
  const size_t header_bytes = frame.header.size();
  const size_t frame_bytes = header_bytes + frame.payload.size();
  if (header_bytes < kEthernetHeaderBytes) return false;
  if (frame.gso_segment_bytes == 0) return frame_bytes <= kEthernetHeaderBytes + info_.mtu;
  return frame.payload.size() <= info_.gso_bytes_max &&
         header_bytes + frame.gso_segment_bytes <= kEthernetHeaderBytes + info_.mtu &&
         frame.l4_offset >= kEthernetHeaderBytes &&
         frame.l4_offset + kTcpHeaderBytesMin <= header_bytes;
}

bool WireNic::Send(const TxFrame& frame) {
  if (!IsSendable(frame)) return false;
  if (recorder_ != nullptr) [[unlikely]] {
    recorder_->Record(recorder_interface_, link_.now(), PacketDirection::kOutbound, frame.header,
                      static_cast<uint32_t>(frame.header.size() + frame.payload.size()));
  }
  link_.Send(end_, frame);
  return true;
}

void WireNic::Store(uint32_t index, std::span<const uint8_t> header,
                    std::span<const uint8_t> payload) {
  const uint32_t frame_bytes = static_cast<uint32_t>(header.size() + payload.size());
  const std::span<const uint8_t> visible =
      header.first(std::min<size_t>(header.size(), kHeaderSlotBytes));
  const FrameHeaders headers = ParseFrame(visible, frame_bytes);
  const size_t split =
      headers.kind == FrameKind::kMalformed ? visible.size() : size_t{headers.header_bytes};

  WireSlot& slot = slots_[index];
  slot.frame_bytes = frame_bytes;
  slot.header_bytes = static_cast<uint16_t>(split);
  slot.segment_count = 1;
  slot.suspect = false;
  slot.corrupted = false;
  slot.cut = frame_bytes - split > slots_.payload_bytes_max();
  std::copy_n(header.begin(), split, slot.header);
  if (slot.cut) return;  // Its payload is never looked at.
  const std::span<uint8_t> room = slots_.payload(index);
  const std::span<const uint8_t> behind = header.subspan(split);
  std::copy(behind.begin(), behind.end(), room.begin());
  std::copy(payload.begin(), payload.end(), room.begin() + static_cast<ptrdiff_t>(behind.size()));
}

bool WireNic::Arrive(uint32_t index) {
  const WireSlot& slot = slots_[index];
  const std::span<const uint8_t> header{slot.header, slot.header_bytes};
  if (recorder_ != nullptr) [[unlikely]] {
    recorder_->Record(recorder_interface_, link_.now(), PacketDirection::kInbound, header,
                      slot.frame_bytes);
  }
  const uint32_t queue = queues_.size() == 1 ? 0 : QueueFor(ParseFrame(header, slot.frame_bytes));
  return PushTo(queue, index);
}

uint32_t WireNic::QueueFor(const FrameHeaders& headers) {
  if (headers.kind == FrameKind::kTcp) {
    const FlowRule* const rule = matcher_.Match(headers.flow);
    if (rule != nullptr) return rule->queue;
  }
  return rss_.QueueFor(RssHash(headers));
}

bool WireNic::PushTo(uint32_t queue, uint32_t index) {
  if (queues_[queue]->Push(index)) [[likely]]
    return true;
  ++wire_stats_.drop_ring_full;
  slots_.Free(index);
  return false;
}

}  // namespace devmem
