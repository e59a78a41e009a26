// SPDX-License-Identifier: Apache-2.0
//
// A machine whose io_uring is played: every instance that a session opens is a FakeZcrxPort over
// the area's memory. Outlives the session. One thread.

#pragma once

#include <sys/mman.h>

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "selftests/testing/fake_zcrx_port.h"
#include "uapi/zcrx_system.h"

namespace devmem::testing {

class FakeZcrxSystem final : public ZcrxSystem {
 public:
  // One that was opened; its place in the order is its number.
  struct Opened {
    ZcrxOptions options;
    bool dmabuf = false;
    uint64_t bytes = 0;
    FakeZcrxPort* port = nullptr;  // Dangling once record.closed.
    FakeZcrxPort::Record record;
    void* mapped = nullptr;  // The area, where it is a dma-buf: as its device sees it.
  };

  ~FakeZcrxSystem() override {
    for (const Opened& one : opened) {
      if (one.mapped != nullptr) ::munmap(one.mapped, one.bytes);
    }
  }

  absl::StatusOr<std::unique_ptr<ZcrxPort>> Open(const ZcrxOptions& options,
                                                 const ZcrxArea& area) override {
    if (opened.size() == refused_from) return open_answer;
    Opened& one = opened.emplace_back();
    one.options = options;
    one.dmabuf = area.dmabuf_fd >= 0;
    one.bytes = area.bytes;
    void* memory = area.address;
    if (one.dmabuf) {
      one.mapped = memory =
          ::mmap(nullptr, area.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, area.dmabuf_fd, 0);
    }
    FakeZcrxPort::Options shape = port_options;
    shape.area = {static_cast<uint8_t*>(memory), area.bytes};
    auto port = std::make_unique<FakeZcrxPort>(shape, &one.record);
    one.port = port.get();
    return port;
  }
  absl::Status AwaitFree(uint32_t /*ifindex*/, uint32_t queue) override {
    freed.push_back(queue);
    return absl::OkStatus();
  }

  FakeZcrxPort::Options port_options = {.completions = 1024};
  size_t refused_from = SIZE_MAX;  // The number of the first instance that is refused...
  absl::Status open_answer;        // ... and with what.
  std::deque<Opened> opened;
  std::vector<uint32_t> freed;  // Queues that were waited for.
};

}  // namespace devmem::testing
