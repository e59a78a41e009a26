// SPDX-License-Identifier: Apache-2.0
//
// A zcrx queue over a kernel that is played on connected sockets, for its tests. What is not given
// back by the end of a test, or too often, fails it.

#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "provider/region_view.h"
#include "provider/test_machine.h"
#include "provider/test_region.h"
#include "provider/user_mapping.h"
#include "selftests/testing/fake_zcrx_port.h"
#include "uapi/zcrx_queue.h"

namespace devmem {

using Outcome = SocketQueue::Outcome;

inline constexpr uint32_t kChunkBytes = 4096;

inline std::vector<uint8_t> Numbered(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  return bytes;
}

class ZcrxQueueTest : public ::testing::Test {
 protected:
  ~ZcrxQueueTest() override {
    if (queue_ == nullptr) return;
    if (!record_.closed) {
      for (const Frag& frag : held_) EXPECT_TRUE(queue_->Release(frag.token));
      queue_->FlushReleases();
      (void)port_->FlushRefill();
      EXPECT_EQ(record_.user_references, 0u);
      EXPECT_TRUE(queue_->account().idle()) << queue_->account().ToString();
    }
    EXPECT_EQ(record_.over_returned, 0u);
    queue_->Close(absl::UnavailableError("the test closes it"));
    EXPECT_TRUE(record_.closed);
    EXPECT_EQ(stats_.tokens_issued.value() - host_frags_, stats_.tokens_returned.value());
  }

  void Make(FakeZcrxPort::Options options, uint32_t chunks = 256, bool dmabuf = false,
            uint64_t held_bytes_max = 0) {
    const uint64_t bytes = uint64_t{chunks} * kChunkBytes;
    region_ = MakeRegion(kOffset + bytes);
    auto mapping = UserMapping::Map(*region_, 0, kOffset + bytes, MapAccess::kReadWrite);
    ASSERT_TRUE(mapping.ok()) << mapping.status();
    mapping_.emplace(*std::move(mapping));
    options.area = {static_cast<uint8_t*>(mapping_->address()) + kOffset, bytes};
    options.dmabuf = dmabuf;
    auto port = std::make_unique<FakeZcrxPort>(options, &record_);
    port_ = port.get();
    auto host = HostArea::Create(1 << 20);
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    auto queue = ZcrxQueue::Create({.index = 1,
                                    .region_id = region_->id(),
                                    .region_offset = kOffset,
                                    .chunk_count = chunks,
                                    .chunk_bytes = kChunkBytes,
                                    .dmabuf = dmabuf,
                                    .held_bytes_max = held_bytes_max,
                                    .read_back = ReadBackOf(dmabuf),
                                    .port = std::move(port)},
                                   {.host = host_.get(),
                                    .stats = &stats_,
                                    .zcrx_stats = &zcrx_stats_,
                                    .read_socket = [this](int socket, std::span<uint8_t> to) {
                                      return port_->Recv(socket, to);
                                    }});
    ASSERT_TRUE(queue.ok()) << queue.status();
    queue_ = *std::move(queue);
    std::tie(peer_, socket_) = Connect();
  }

  ReadBack ReadBackOf(bool dmabuf) {
    machine_.set_answer([this](int, unsigned long, void*) {
      ++announcements_;
      return sync_error_ == 0 ? 0 : (errno = sync_error_, -1);
    });
    return *ReadBack::Open(*region_, kOffset, dmabuf ? region_->fd() : -1, machine_);
  }

  // A peer's end and ours, which the queue knows.
  std::pair<UniqueFd, int> Connect() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    EXPECT_TRUE(queue_->AddSocket(fds[1]));
    return {UniqueFd(fds[0]), fds[1]};
  }

  size_t Send(std::span<const uint8_t> bytes) {
    const ssize_t sent = ::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }

  // Everything that comes until something other than bytes does, which is returned; frags are held.
  SocketQueue::Received ReceiveAll() {
    std::array<Frag, 8> frags;
    for (;;) {
      const SocketQueue::Received received = queue_->Receive(socket_, frags);
      if (received.outcome != Outcome::kBytes) return received;
      for (size_t i = 0; i < received.frags; ++i) {
        landed_bytes_ += frags[i].length_bytes;
        if (frags[i].region_id == region_->id()) {
          Look(frags[i]);
          held_.push_back(frags[i]);
        } else {
          host_frags_ += 1;
          host_held_.push_back(frags[i]);
        }
      }
    }
  }
  void Look(const Frag& frag) {
    const auto view = RegionView::Map(*region_);
    const auto part = view->bytes().subspan(frag.offset, frag.length_bytes);
    landed_.insert(landed_.end(), part.begin(), part.end());
  }
  void ReleaseAll() {
    for (const Frag& frag : std::exchange(held_, {})) EXPECT_TRUE(queue_->Release(frag.token));
    queue_->FlushReleases();
  }

  static constexpr uint64_t kOffset = 2 * kChunkBytes;  // Of the area in its region.

  TestMachine machine_;
  uint32_t announcements_ = 0;  // Of the processor to a dma-buf.
  int sync_error_ = 0;
  std::unique_ptr<Region> region_;
  std::optional<UserMapping> mapping_;
  FakeZcrxPort::Record record_;
  FakeZcrxPort* port_ = nullptr;
  std::unique_ptr<HostArea> host_;
  SocketStats stats_;
  ZcrxStats zcrx_stats_;
  std::shared_ptr<ZcrxQueue> queue_;
  UniqueFd peer_;
  int socket_ = -1;
  std::vector<Frag> held_;
  std::vector<Frag> host_held_;
  std::vector<uint8_t> landed_;
  uint64_t landed_bytes_ = 0;
  uint64_t host_frags_ = 0;
};

}  // namespace devmem
