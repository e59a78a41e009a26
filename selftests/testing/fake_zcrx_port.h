// SPDX-License-Identifier: Apache-2.0
//
// A kernel with zero-copy receive, played over ordinary sockets: what a connection's socket has is
// received into chunks of the area, and completions and refill entries travel through rings of the
// kernel's own shape. It keeps the kernel's count of user references per chunk, so that a test can
// see a buffer that came back too often, too early or never. Where a packet lies (in the area, in
// host memory, in another queue's) decides what requests and recv(2) make of it, as in io_uring/
// zcrx.c and tcp_recvmsg() of Linux; Documentation/kernel-backends.md says which versions were
// compared. One thread, the one that uses it.

#pragma once

#include <cerrno>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "provider/unique_fd.h"
#include "uapi/ring/zcrx_port.h"
#include "uapi/socket_queue.h"

namespace devmem {

class FakeZcrxPort final : public ZcrxPort {
 public:
  struct Options {
    std::span<uint8_t> area = {};
    uint32_t chunk_bytes = 4096;
    uint32_t completions = 64;
    uint32_t refill_entries = 256;
    // The payload of one packet: each becomes a completion of its own.
    uint32_t packet_bytes = 1448;
    // Whether packets fill a chunk one after the other, or each gets a chunk of its own.
    bool packed = false;
    // Whether it can be told to look at the refill ring.
    bool can_flush = true;
    // Whether the area is a dma-buf, into which nothing is copied, and what requests then end with:
    // ENOMEM from Linux 6.18 on, EFAULT before.
    bool dmabuf = false;
    int copy_refusal = ENOMEM;
  };
  // What the test looks at afterwards. Outlives the port.
  struct Record {
    uint32_t user_references = 0;  // Completions whose buffer has not come back.
    uint32_t over_returned = 0;    // Entries that named a chunk nobody had, or none.
    uint32_t requests = 0;
    uint32_t enters = 0;
    uint32_t flushes = 0;
    bool closed = false;
  };

  FakeZcrxPort(const Options& options, Record* record);
  ~FakeZcrxPort() override;

  bool Arm(int socket, uint64_t user_data, uint32_t budget_bytes) override;
  bool Cancel(uint64_t target, uint64_t user_data) override;
  int Enter() override;
  int FlushRefill() override;
  ZcrxCopies copies() const override { return copies_; }
  void ArmEvent(uint32_t event) override { events_armed_.push_back(event); }
  int fd() const override { return epoll_.get(); }

  // Where the next bytes of a socket lie, as the NIC that brought them has it: in host memory, from
  // where they are copied if they can be, or in memory that is bound to another queue. What comes
  // behind them lies in the area again.
  void HostNext(int socket, uint32_t bytes) { elsewhere_[socket] = {Place::kHost, bytes}; }
  void ForeignNext(int socket, uint32_t bytes) { elsewhere_[socket] = {Place::kForeign, bytes}; }
  // One packet with payload beside its headers and in the area.
  void MixedNext(int socket, uint32_t bytes) { elsewhere_[socket] = {Place::kMixed, bytes}; }
  // recv(2): host memory alone, and nothing across its end; EFAULT for what a NIC wrote elsewhere.
  SocketQueue::Received Recv(int socket, std::span<uint8_t> to);

  // The next request that finds something to receive ends with this errno instead.
  void FailNext(int error) { fail_next_ = error; }
  // The next Enter() says this, and does nothing.
  void RefuseNextEnter(int error) { refuse_enter_ = error; }
  // Completes something that no request asked for.
  void Post(uint64_t user_data, int32_t result, uint32_t flags, uint64_t offset);
  void CountCopies(uint64_t count, uint64_t bytes) { copies_ = {true, count, bytes}; }
  uint32_t free_chunks() const { return static_cast<uint32_t>(free_.size()); }
  const std::vector<uint32_t>& events_armed() const { return events_armed_; }

 private:
  struct Request {
    int socket = -1;
    uint64_t user_data = 0;
    uint32_t budget_bytes = 0;  // 0: without end.
    uint32_t received_bytes = 0;
  };
  struct Ended {
    uint64_t user_data = 0;
    int32_t result = 0;
  };

  // Of the next bytes of a socket.
  enum class Place { kArea, kHost, kForeign, kMixed };
  struct Elsewhere {
    Place place = Place::kArea;
    uint32_t bytes = 0;
  };

  int RefusalFor(int socket) const;
  void Passed(int socket, size_t bytes);
  bool Serve(Request& request);
  bool Receive(Request& request, int32_t* result);
  bool HasChunk();
  void End(const Request& request, int32_t result);
  void TakeRefill();
  bool room() const { return cq_tail_ - cq_head_ < options_.completions; }

  const Options options_;
  Record* const record_;
  UniqueFd epoll_;
  UniqueFd kick_;
  std::map<uint64_t, Request> requests_;  // By user_data.
  std::deque<Ended> ended_;               // Last completions that the ring has no room for.
  std::vector<uint32_t> references_;      // Of each chunk.
  std::vector<uint32_t> free_;
  uint32_t open_chunk_ = UINT32_MAX;  // Where the next packet goes, if it fits.
  uint32_t open_used_bytes_ = 0;
  std::map<int, Elsewhere> elsewhere_;  // By socket; those in the area are not listed.
  int fail_next_ = 0;
  int refuse_enter_ = 0;
  ZcrxCopies copies_;
  std::vector<uint32_t> events_armed_;

  uint32_t cq_head_ = 0;
  uint32_t cq_tail_ = 0;
  std::vector<uint8_t> cq_;
  uint32_t rq_head_ = 0;
  uint32_t rq_tail_ = 0;
  std::vector<abi::io_uring_zcrx_rqe> rq_;
};

}  // namespace devmem
