// SPDX-License-Identifier: Apache-2.0
//
// The life of the queues, and the way of a packet from the network to one of them.

#include "netmem/gvnic/data_path.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "netmem/gvnic/frame_layout.h"
#include "netmem/gvnic/limits.h"
#include "netmem/gvnic/rx_ring.h"
#include "netmem/gvnic/segmenter.h"
#include "netmem/gvnic/tx_ring.h"

namespace devmem {
namespace {

template <typename Ring>
using Rings = std::map<uint32_t, std::unique_ptr<Ring>>;

template <typename Ring>
absl::Status CheckNewQueue(const Rings<Ring>& rings, uint32_t queue, absl::string_view direction) {
  if (queue >= kGvnicQueuesMax) {
    return absl::OutOfRangeError(absl::StrCat(
        direction, " queue ", queue, " is beyond the device's queues, 0 to ", kGvnicQueuesMax - 1));
  }
  if (rings.count(queue) != 0) {
    return absl::AlreadyExistsError(
        absl::StrCat(direction, " queue ", queue, " exists already; destroy it first"));
  }
  return absl::OkStatus();
}

template <typename Ring>
absl::Status Destroy(Rings<Ring>& rings, uint32_t queue, absl::string_view direction) {
  if (rings.erase(queue) == 0) {
    return absl::NotFoundError(
        absl::StrCat("there is no ", direction, " queue ", queue, " to destroy"));
  }
  return absl::OkStatus();
}

template <typename Ring>
void AppendQueues(const Rings<Ring>& rings, absl::string_view direction,
                  std::vector<NamedCount>& counts) {
  for (const auto& [queue, ring] : rings) {
    counts.push_back({absl::StrCat(direction, queue, "_packets"), ring->stats().packets});
    counts.push_back({absl::StrCat(direction, queue, "_bytes"), ring->stats().bytes});
  }
}

}  // namespace

DataPath::DataPath(GuestMemory& memory, Interrupt interrupt)
    : memory_(memory), interrupt_(std::move(interrupt)) {}

DataPath::~DataPath() = default;

absl::Status DataPath::CreateTx(const TxRingConfig& config) {
  absl::Status checked = CheckNewQueue(tx_, config.queue, "tx");
  if (!checked.ok()) return checked;
  absl::StatusOr<std::unique_ptr<TxRing>> ring = TxRing::Create(memory_, config, stats_);
  if (!ring.ok()) return ring.status();
  tx_[config.queue] = std::move(*ring);
  return absl::OkStatus();
}

absl::Status DataPath::CreateRx(const RxRingConfig& config) {
  absl::Status checked = CheckNewQueue(rx_, config.queue, "rx");
  if (!checked.ok()) return checked;
  absl::StatusOr<std::unique_ptr<RxRing>> ring = RxRing::Create(memory_, config, faults_, stats_);
  if (!ring.ok()) return ring.status();
  rx_[config.queue] = std::move(*ring);
  return absl::OkStatus();
}

absl::Status DataPath::DestroyTx(uint32_t queue) { return Destroy(tx_, queue, "tx"); }
absl::Status DataPath::DestroyRx(uint32_t queue) {
  const auto found = rx_.find(queue);
  if (found != rx_.end()) found->second->Stop();
  return Destroy(rx_, queue, "rx");
}

void DataPath::TxDoorbell(uint32_t queue, uint32_t tail) {
  const auto found = tx_.find(queue);
  if (found == tx_.end()) {
    ++stats_.bad_doorbells;
    return;
  }
  Port* const port = is_link_up_ ? port_ : nullptr;
  found->second->Doorbell(tail, port);
  if (port != nullptr) port->EndBatch();
  EndBatch();
}

void DataPath::RxDoorbell(uint32_t queue, uint32_t tail) {
  const auto found = rx_.find(queue);
  if (found == rx_.end()) {
    ++stats_.bad_doorbells;
    return;
  }
  found->second->Doorbell(tail);
  EndBatch();
}

void DataPath::Receive(Packet packet) {
  if (!is_link_up_) {
    ++stats_.rx_drop_link_down;
    return;
  }
  RxPacket received{.packet = std::move(packet)};
  received.layout = ReadFrameLayout(received.packet.bytes);
  const Steering::Choice choice = steering_.Choose(received.layout);
  stats_.rx_steered_by_rule += choice.by_rule;
  const auto found = rx_.find(choice.queue);
  if (found == rx_.end()) {
    ++stats_.rx_drop_no_queue;
    return;
  }
  RxRing& ring = *found->second;
  received.hash = choice.hash;
  if (received.packet.segment_bytes == 0 || ring.TakesWhole(received.layout)) {
    DeliverTo(ring, std::move(received));
    return;
  }
  std::vector<Packet> frames = CutIntoFrames(std::move(received.packet));
  ++(frames.empty() ? stats_.rx_drop_uncut : stats_.rx_cut_super_frames);
  for (Packet& frame : frames) {
    const FrameLayout layout = ReadFrameLayout(frame.bytes);
    DeliverTo(ring, {.packet = std::move(frame), .layout = layout, .hash = choice.hash});
  }
}

void DataPath::DeliverTo(RxRing& ring, RxPacket packet) {
  packet.check = packet.packet.checksum_good ? L4Check::kGood
                                             : VerifyL4Checksum(packet.packet.bytes, packet.layout);
  ring.Receive(std::move(packet));
}

void DataPath::EndBatch() {
  for (auto& [queue, ring] : rx_) ring->EndBatch();
  const auto tell = [this](auto& rings) {
    for (auto& [queue, ring] : rings) {
      if (!ring->TakeNews()) continue;
      ++stats_.interrupts;
      interrupt_(ring->notify_block());
    }
  };
  tell(tx_);
  tell(rx_);
}

void DataPath::Reset() {
  tx_.clear();
  rx_.clear();
  steering_.Reset();
}

void DataPath::SetFaults(const RxFaults& faults) {
  faults_ = faults;
  for (auto& [queue, ring] : rx_) ring->Retry();
  EndBatch();
}

std::vector<NamedCount> DataPath::statistics() const {
  std::vector<NamedCount> counts = stats_.Named();
  AppendQueues(tx_, "tx", counts);
  AppendQueues(rx_, "rx", counts);
  return counts;
}

}  // namespace devmem
