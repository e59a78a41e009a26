// SPDX-License-Identifier: Apache-2.0
//
// Memory for the queues of a NIC under test, and a wire link with that memory in place, in a line
// each. Used by the tests, fuzzers and benchmarks of netmem/nic and above. Destruction is the
// account's check: what is left in use stops the program with the account, which fails the test
// that ran.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/nic/netdev.h"
#include "netmem/nic/wire_link.h"
#include "netmem/page_pool.h"
#include "provider/attachment.h"
#include "provider/dma_mapping.h"
#include "provider/memfd_provider.h"
#include "provider/region_view.h"

namespace devmem::testing {

// Ends the program: what follows would mean nothing.
[[noreturn]] inline void Fail(const char* what, const std::string& state,
                              const std::string& reason) {
  std::fprintf(stderr, "%s: %s: %s\n", what, state.c_str(), reason.c_str());
  std::abort();
}

template <typename T>
T ValueOrFail(absl::StatusOr<T> result, const char* what) {
  if (!result.ok()) Fail(what, "cannot be made", result.status().ToString());
  return *std::move(result);
}

// A region with an attachment, and a page pool over all of it. The pool must be idle when this
// goes.
class TestMemory {
 public:
  enum class Kind { kHost, kDevice };

  explicit TestMemory(Kind kind, uint64_t bytes = 1u << 20,
                      uint32_t net_iov_bytes = kNetIovBytesDefault) {
    MemfdProvider provider;
    region_ = ValueOrFail(provider.Allocate({.bytes = bytes}), "test region");
    attachment_ = ValueOrFail(Attachment::Create(*region_, {.name = "test"}), "test attachment");
    view_ = std::make_unique<RegionView>(ValueOrFail(RegionView::Map(*region_), "test view"));
    pool_ = ValueOrFail(PagePool::Create({.region_id = region_->id(),
                                          .bytes = bytes,
                                          .device = kind == Kind::kDevice,
                                          .net_iov_bytes = net_iov_bytes},
                                         kFramePayloadBytesMax),
                        "test page pool");
  }
  ~TestMemory() {
    const absl::Status audit = pool_->Audit();
    if (audit.ok() && pool_->account().idle()) return;
    Fail("page pool at the end of a test", pool_->account().ToString(), audit.ToString());
  }
  TestMemory(const TestMemory&) = delete;
  TestMemory& operator=(const TestMemory&) = delete;

  QueueMemory queue_memory() { return {pool_.get(), &attachment_->mapping()}; }
  PagePool& pool() { return *pool_; }
  Attachment& attachment() { return *attachment_; }
  Region& region() { return *region_; }

  // The bytes of the region, as its owner sees them.
  std::span<const uint8_t> bytes() const { return view_->bytes(); }
  std::vector<uint8_t> BytesOf(std::span<const Piece> pieces) const {
    std::vector<uint8_t> out;
    for (const Piece& piece : pieces) {
      const auto part = bytes().subspan(pool_->RegionOffset(piece), piece.length_bytes);
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

 private:
  std::unique_ptr<Region> region_;
  std::unique_ptr<Attachment> attachment_;
  std::unique_ptr<RegionView> view_;
  std::unique_ptr<PagePool> pool_;
};

// A link whose two NICs are started, each queue with host memory of its own.
class TestLink {
 public:
  explicit TestLink(const WireConfig& config = {}, uint64_t host_bytes = 1u << 20) {
    link_ = ValueOrFail(WireLink::Create(config), "test link");
    host_a_ = Start(link_->a(), host_bytes);
    host_b_ = Start(link_->b(), host_bytes);
  }

  WireLink& operator*() { return *link_; }
  WireLink* operator->() { return link_.get(); }
  WireNic& a() { return link_->a(); }
  WireNic& b() { return link_->b(); }
  TestMemory& host_a(uint32_t queue = 0) { return *host_a_[queue]; }
  TestMemory& host_b(uint32_t queue = 0) { return *host_b_[queue]; }

 private:
  using HostMemories = std::vector<std::unique_ptr<TestMemory>>;

  static HostMemories Start(WireNic& nic, uint64_t host_bytes) {
    HostMemories memories;
    std::vector<QueueMemory> host;
    for (uint32_t queue = 0; queue < nic.info().queue_count; ++queue) {
      memories.push_back(std::make_unique<TestMemory>(TestMemory::Kind::kHost, host_bytes));
      host.push_back(memories.back()->queue_memory());
    }
    const absl::Status started = nic.Start(host);
    if (!started.ok()) Fail("test link", "cannot be started", started.ToString());
    return memories;
  }

  HostMemories host_a_;
  HostMemories host_b_;
  std::unique_ptr<WireLink> link_;
};

// Puts back every piece of a batch: net_iovs to `device`, host pieces to `host`.
inline void PutBack(const RxBatch& batch, PagePool* host, PagePool* device) {
  for (uint32_t i = 0; i < batch.piece_count; ++i) {
    const Piece& piece = batch.pieces[i];
    (piece.netmem.is_device() ? device : host)->Put(piece);
  }
}

}  // namespace devmem::testing
