// SPDX-License-Identifier: Apache-2.0
//
// The data plane of one virtual gVNIC: its tx and rx queues in the DQO-RDA format, its steering and
// its offloads, between the guest's memory on one side and a Port on the other. The control plane
// makes and destroys the queues and passes the doorbells on, the network side calls Receive(), all
// on the thread of the device. Formats: Linux, drivers/net/ethernet/google/gve/gve_desc_dqo.h.
//
//   TxDoorbell() -> TxRing -> Port::Transmit() ... Receive() -> Steering -> RxRing -> interrupt

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "netmem/gvnic/data_path_stats.h"
#include "netmem/gvnic/guest_memory.h"
#include "netmem/gvnic/port.h"
#include "netmem/gvnic/ring_config.h"
#include "netmem/gvnic/steering.h"

namespace devmem {

class RxRing;
class TxRing;
struct RxPacket;

// Invariants:
//   1. Nothing of a queue's memory is touched before its Create or after its Destroy has returned.
//   2. Work per call is bounded by the entries of one ring, whatever the guest wrote there.
class DataPath {
 public:
  // Called with the notification block of a queue that has news: once per queue and batch.
  using Interrupt = std::function<void(uint32_t notify_block)>;

  // `memory` outlives this object.
  DataPath(GuestMemory& memory, Interrupt interrupt);
  ~DataPath();
  DataPath(const DataPath&) = delete;
  DataPath& operator=(const DataPath&) = delete;

  // Errors: kAlreadyExists    the queue is there.
  //         kOutOfRange       its number, or the entries or buffer sizes of its rings.
  //         kInvalidArgument  a ring that is not aligned, or not in shared, writable memory.
  absl::Status CreateTx(const TxRingConfig& config);
  absl::Status CreateRx(const RxRingConfig& config);
  // Packets that wait for the queue's buffers are dropped and counted; what is being merged is
  // delivered.
  //
  // Errors: kNotFound  there is no such queue.
  absl::Status DestroyTx(uint32_t queue);
  absl::Status DestroyRx(uint32_t queue);

  // What the guest wrote to a queue's doorbell: the new tail. A doorbell of a queue that does not
  // exist, or a tail outside its ring, is counted and ignored.
  void TxDoorbell(uint32_t queue, uint32_t tail);
  void RxDoorbell(uint32_t queue, uint32_t tail);

  // Takes a packet from the network. Interrupts wait for EndBatch(): the packets of one batch bring
  // one interrupt per queue. So do, on queues with hardware GRO, frames that others may continue.
  void Receive(Packet packet);
  void EndBatch();

  // Drops every queue with what it holds, every rule and RSS setting. The port, the faults and the
  // statistics stay.
  void Reset();

  // Where packets go; nullptr: nowhere, counted. The port outlives this object or is replaced.
  void SetPort(Port* port) { port_ = port; }

  // While the link is down, packets of both directions are dropped and counted. Up at first; a
  // Reset() does not change it.
  void SetLinkUp(bool is_up) { is_link_up_ = is_up; }

  // Flow rules, RSS key and indirection table: the control plane writes them.
  Steering& steering() { return steering_; }
  const Steering& steering() const { return steering_; }

  // Faults for tests of drivers; see ring_config.h. Withholding no more retries what waits.
  const RxFaults& faults() const { return faults_; }
  void SetFaults(const RxFaults& faults);

  // Every counter of the device with its name, then those of each queue: "tx0_packets". Names and
  // order are stable.
  std::vector<NamedCount> statistics() const;

 private:
  void DeliverTo(RxRing& ring, RxPacket packet);

  GuestMemory& memory_;
  const Interrupt interrupt_;
  Port* port_ = nullptr;
  bool is_link_up_ = true;
  Steering steering_;
  RxFaults faults_;
  DataPathStats stats_;
  std::map<uint32_t, std::unique_ptr<TxRing>> tx_;
  std::map<uint32_t, std::unique_ptr<RxRing>> rx_;
};

}  // namespace devmem
