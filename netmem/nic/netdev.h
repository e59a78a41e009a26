// SPDX-License-Identifier: Apache-2.0
//
// What the stack asks of a NIC: rx queues that split header from payload and can be bound to device
// memory, flow rules that choose the queue, RSS for the rest, and frames out. TAP, AF_XDP and the
// in-memory wire implement it. Set-up calls come from one control thread; each RxQueue is then
// polled and sent on by one worker thread, and nothing on that path allocates, locks or logs.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/counter.h"
#include "netmem/netmem_ref.h"
#include "netmem/nic/flow_rules.h"
#include "netmem/nic/limits.h"
#include "netmem/page_pool.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/mac_address.h"

namespace devmem {

class DmaMapping;

// Where the payload of a frame is, and why.
enum class RxClass : uint8_t {
  kHost,       // In host pieces: the queue is unbound, or no rule sends the flow here.
  kSteered,    // In net_iovs of the queue's binding: a rule names this bound queue.
  kElsewhere,  // Nowhere: a rule names another bound queue (target_queue). The header may be handed
               // over to that queue's worker; the payload is dropped unacknowledged and counted.
};

// One received frame. Valid until the next Poll() of the queue that delivered it.
struct RxDescriptor {
  std::span<const uint8_t> header;  // All header bytes, from the Ethernet header on; host memory.
  FrameHeaders headers;             // The same, parsed. Never kMalformed: the NIC drops those.
  // The run in the batch's piece array, in stream order. Each piece carries the references that its
  // taker must put back or keep. Host pieces and net_iovs can alternate within one frame.
  uint16_t first_piece = 0;
  uint16_t piece_count = 0;
  uint16_t segment_count = 1;  // MTU-sized segments that the frame stands for (GSO).
  RxClass rx_class = RxClass::kHost;
  uint32_t target_queue = 0;  // For kElsewhere.
  // Bytes in the pieces. Less than headers.payload_bytes when memory ran out behind them
  // (drop.pool_empty): the rest was not kept and must not be acknowledged.
  uint32_t placed_bytes = 0;
};

struct RxBatch {
  std::array<RxDescriptor, kBatchFramesMax> frames;
  std::array<Piece, kBatchPiecesMax> pieces;
  uint32_t frame_count = 0;
  uint32_t piece_count = 0;

  std::span<const Piece> PiecesOf(const RxDescriptor& frame) const {
    return {&pieces[frame.first_piece], frame.piece_count};
  }
};

// A frame to send: header bytes, then payload bytes from host memory.
struct TxFrame {
  std::span<const uint8_t> header;
  std::span<const uint8_t> payload;
  // 0: a plain frame with full checksums. Else a TCP super-frame: the NIC cuts its payload into
  // segments of this many bytes, and the TCP checksum field holds the pseudo-header sum only.
  uint16_t gso_segment_bytes = 0;
  // Offset of the TCP header in the frame; needed with gso_segment_bytes.
  uint16_t l4_offset = 0;
};

// Monotonic; readable from any thread.
struct RxQueueStats {
  Counter frames;
  Counter polls;
  Counter payload_bytes;          // L4 payload bytes of frames delivered, wherever they went.
  Counter steered_bytes;          // Of these: written by the NIC into the binding's net_iovs.
  Counter host_bytes;             // Of these: in host pieces.
  Counter payload_bytes_bounced;  // Payload of steered flows that was first written to host memory.
  Counter presteer_bytes;     // Unmatched on a bound queue: a flow's first frames or after idle.
  Counter missteered_bytes;   // Unmatched on a bound queue for any other reason.
  Counter elsewhere_bytes;    // Payload of kElsewhere frames, dropped unacknowledged.
  Counter checksum_computed;  // Frames whose payload the NIC had to sum.
  Counter drop_truncated;     // Fewer bytes than the lengths inside say, or longer than the vector.
  Counter drop_malformed;
  Counter drop_checksum;
  Counter drop_fragment;
  Counter drop_pool_empty;  // Frames whose payload found no netmem (whole or in part).
  Counter drop_pool_empty_bytes;
  Counter drop_revoked;  // The mapping was revoked while the frame was being written.
  Counter tx_frames;
  Counter tx_dropped;  // The device took no more.
};

// A page pool and the door to the memory that it cuts. Both outlive their use by the queue.
struct QueueMemory {
  PagePool* pool = nullptr;
  DmaMapping* mapping = nullptr;
};

class RxQueue {
 public:
  virtual ~RxQueue() = default;

  // Fills `batch` from its start with the frames that have arrived, up to its bounds. Returns
  // batch.frame_count. 0 means that nothing is waiting now.
  virtual uint32_t Poll(RxBatch& batch) = 0;

  // Sends one frame. False: the device had no room, the frame is lost (tx_dropped); TCP
  // retransmits.
  virtual bool Transmit(const TxFrame& frame) = 0;

  // A descriptor that poll(2) finds readable when frames wait; -1 for a NIC in memory.
  virtual int fd() const = 0;

  // Whether the device was taken away from under the queue: nothing will ever come or go again. Any
  // thread; found out by a Poll() or Transmit() that fails for it.
  virtual bool gone() const { return false; }

  // Whether the last Poll() left frames because the bound memory was on its way, or out of the
  // device and could not come back. The polling thread.
  virtual bool waits_for_memory() const { return false; }

  // Binds / unbinds the queue's device memory; the queue's host memory was given at Start().
  // Control thread, while no worker polls this queue. Binding a bound queue is refused
  // (kFailedPrecondition). Unbinding closes the pool's window; pieces out stay valid for their
  // holders.
  virtual absl::Status Bind(const QueueMemory& memory) = 0;
  virtual void Unbind() = 0;
  virtual bool bound() const = 0;

  virtual const RxQueueStats& stats() const = 0;
};

struct NetdevInfo {
  std::string name;
  std::string kind;      // "tap", "wire".
  std::string steering;  // "bpf", "auto", "rules": how frames find their queue.
  MacAddress mac;
  uint32_t mtu = kMtuDefault;
  uint32_t queue_count = 1;
  uint32_t gso_bytes_max =
      0;  // The most payload of one TxFrame; 0: no super-frames, MTU-sized only.
};

class Netdev {
 public:
  virtual ~Netdev() = default;

  virtual const NetdevInfo& info() const = 0;

  // Gives each queue the host memory that unsteered payload goes to. Once, before the first Poll();
  // `host` has one entry per queue. Errors: kInvalidArgument, kFailedPrecondition.
  virtual absl::Status Start(std::span<const QueueMemory> host) = 0;

  // 0 <= index < info().queue_count.
  virtual RxQueue& queue(uint32_t index) = 0;

  // Flow rules; the NIC obeys when the call returns (auto steering: from our next frame of the flow
  // on).
  virtual absl::StatusOr<FlowRuleId> AddRule(const FlowMatch& match, uint32_t queue) = 0;
  virtual absl::Status DeleteRule(FlowRuleId id) = 0;
  virtual std::vector<FlowRule> ListRules() const = 0;

  // Spreads what no rule matches over these queues only (RSS indirection). A session calls it with
  // the unbound queues whenever the bound ones change. Errors: kInvalidArgument for an empty list,
  // kOutOfRange for a queue that is not there.
  virtual absl::Status SetRssQueues(std::span<const uint32_t> queues) = 0;

  // Headers of every frame in and out go to this recorder; nullptr stops it. While no worker polls.
  virtual void SetRecorder(class PcapngRecorder* recorder) = 0;
};

}  // namespace devmem
