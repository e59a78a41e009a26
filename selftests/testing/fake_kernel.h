// SPDX-License-Identifier: Apache-2.0
//
// A kernel's devmem TCP for tests: streams of packets whose payload lies in a dma-buf, beside the
// headers, or in ordinary memory; recvmsg() with control messages, and SO_DEVMEM_DONTNEED with the
// lowest-free token ids and the bounds of Linux 7.2. What the test may break has a knob. One
// thread.

#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "uapi/abi/devmem_socket.h"
#include "uapi/kernel_calls.h"

namespace devmem::testing {

class FakeKernel final : public KernelCalls {
 public:
  struct Dontneed {
    int socket = 0;
    std::vector<abi::dmabuf_token> runs;
  };
  struct Stream {
    struct Part {
      enum class Kind { kDevmem, kLinear, kPlain, kEnd, kError };
      Kind kind = Kind::kEnd;
      uint32_t bytes = 0;
      uint64_t offset = 0;
      uint32_t dmabuf_id = 0;
      std::vector<uint8_t> content = {};
      int error = 0;
      bool Readable() const { return kind == Kind::kPlain; }
    };
    std::deque<Part> parts;
    std::map<uint32_t, uint64_t> tokens;  // Ids that are out, and the offset that each names.
    bool ended = false;
    bool reset = false;
  };

  static constexpr uint32_t kDmabufId = 7;

  // What arrives next on a socket. What is said of kNextSocket arrives on the first socket from
  // which somebody receives and of which nothing else was said.
  static constexpr int kNextSocket = -1;
  void Devmem(int socket, uint64_t offset, uint32_t bytes, uint32_t dmabuf_id = kDmabufId) {
    Add(socket, {.kind = Kind::kDevmem, .bytes = bytes, .offset = offset, .dmabuf_id = dmabuf_id});
  }
  void Linear(int socket, std::vector<uint8_t> content) { AddHost(socket, Kind::kLinear, content); }
  void Plain(int socket, std::vector<uint8_t> content) { AddHost(socket, Kind::kPlain, content); }
  void End(int socket) { Add(socket, {.kind = Kind::kEnd}); }
  void Error(int socket, int error) { Add(socket, {.kind = Kind::kError, .error = error}); }

  Stream& stream(int socket) { return streams_[socket]; }
  size_t tokens_out(int socket) { return streams_[socket].tokens.size(); }

  // Knobs, and what was called.
  size_t control_bytes_wanted = 0;  // A first message needs so much room, or 525.
  bool truncates_control = false;   // As kernels before 6.14: the last message is cut.
  uint32_t first_id = 1;            // Ids are given out from here on.
  int dontneed_error = 0;           // For the next calls, while it is not 0.
  uint32_t dontneed_visits_max = abi::MAX_DONTNEED_FRAGS;
  std::vector<Dontneed> dontneeds;
  std::vector<size_t> receive_bytes_asked;
  size_t receive_calls() const { return receive_bytes_asked.size(); }

  ssize_t ReceiveMessage(int socket, msghdr* message, int flags) override {
    receive_bytes_asked.push_back(message->msg_iov->iov_len);
    if ((flags & MSG_SOCK_DEVMEM) == 0) return -EFAULT;
    if (streams_.count(socket) == 0) {
      streams_[socket] = std::exchange(streams_[kNextSocket], {});
    }
    Stream& from = streams_[socket];
    if (from.parts.empty()) return -EAGAIN;
    Answer answer{.message = message, .room = message->msg_iov->iov_len};
    const bool readable = from.parts.front().Readable();
    int error = 0;
    while (!from.parts.empty() && answer.room > 0 && from.parts.front().Readable() == readable) {
      error = Take(&from, &answer);
      if (error != 0) break;
    }
    message->msg_controllen = answer.control_bytes;
    if (answer.done > 0) return static_cast<ssize_t>(answer.done);
    return error < 0 ? 0 : -error;
  }

  int SetOption(int socket, int level, int name, const void* value, socklen_t bytes) override {
    if (level != SOL_SOCKET || name != SO_DEVMEM_DONTNEED) return -ENOPROTOOPT;
    if (dontneed_error != 0) return -dontneed_error;
    if (bytes % sizeof(abi::dmabuf_token) != 0 ||
        bytes > abi::MAX_DONTNEED_TOKENS * sizeof(abi::dmabuf_token)) {
      return -EINVAL;
    }
    std::vector<abi::dmabuf_token> runs(bytes / sizeof(abi::dmabuf_token));
    std::memcpy(runs.data(), value, bytes);
    dontneeds.push_back({socket, runs});
    uint32_t visits = 0;
    int freed = 0;
    for (const abi::dmabuf_token& run : runs) {
      for (uint32_t i = 0; i < run.token_count && visits < dontneed_visits_max; ++i, ++visits) {
        freed += static_cast<int>(streams_[socket].tokens.erase(run.token_start + i));
      }
    }
    return freed;
  }

  int UnreadBytes(int socket) override {
    int unread = 0;
    for (const Stream::Part& part : streams_[socket].parts) unread += static_cast<int>(part.bytes);
    return unread;
  }
  void EndStream(int socket, bool reset) override {
    (reset ? streams_[socket].reset : streams_[socket].ended) = true;
  }

 private:
  using Kind = Stream::Part::Kind;
  struct Answer {
    msghdr* message;
    size_t room;
    size_t done = 0;
    size_t linear_done = 0;
    size_t control_bytes = 0;
  };

  void Add(int socket, Stream::Part part) { streams_[socket].parts.push_back(std::move(part)); }
  void AddHost(int socket, Kind kind, const std::vector<uint8_t>& content) {
    Add(socket, {.kind = kind, .bytes = static_cast<uint32_t>(content.size()), .content = content});
  }

  // 0 and progress, an errno, or -1 for the end of the stream.
  int Take(Stream* from, Answer* answer) {
    Stream::Part& part = from->parts.front();
    if (part.kind == Kind::kEnd) return -1;
    if (part.kind == Kind::kError) {
      const int error = part.error;
      if (answer->done == 0) from->parts.pop_front();
      return error;
    }
    auto bytes = static_cast<uint32_t>(std::min<size_t>(part.bytes, answer->room));
    // A frag of a dma-buf never crosses a page.
    if (part.kind == Kind::kDevmem) {
      bytes = std::min(bytes, 4096 - static_cast<uint32_t>(part.offset % 4096));
    }
    if (part.kind != Kind::kPlain) {
      const bool device = part.kind == Kind::kDevmem;
      const abi::dmabuf_cmsg body{.frag_offset = device ? part.offset : 0,
                                  .frag_size = bytes,
                                  .frag_token = device ? LowestFree(*from) : 0,
                                  .dmabuf_id = device ? part.dmabuf_id : 0,
                                  .flags = 0};
      if (!Put(answer, device ? SCM_DEVMEM_DMABUF : SCM_DEVMEM_LINEAR, body)) {
        return abi::ETOOSMALL;
      }
      if (device) from->tokens[body.frag_token] = part.offset;
    }
    if (part.kind != Kind::kDevmem) {
      std::memcpy(static_cast<uint8_t*>(answer->message->msg_iov->iov_base) + answer->linear_done,
                  part.content.data(), bytes);
      part.content.erase(part.content.begin(), part.content.begin() + bytes);
      answer->linear_done += bytes;
    }
    answer->done += bytes;
    answer->room -= bytes;
    part.offset += bytes;
    part.bytes -= bytes;
    if (part.bytes == 0) from->parts.pop_front();
    return 0;
  }

  bool Put(Answer* answer, int type, const abi::dmabuf_cmsg& body) {
    const size_t left = answer->message->msg_controllen - answer->control_bytes;
    if (answer->done == 0 && left < control_bytes_wanted) return false;
    size_t space = CMSG_SPACE(sizeof(body));
    if (left < space) {
      if (!truncates_control || left < CMSG_LEN(0)) return false;
      space = left;
    }
    cmsghdr header{};
    header.cmsg_len = std::min<size_t>(CMSG_LEN(sizeof(body)), space);
    header.cmsg_level = SOL_SOCKET;
    header.cmsg_type = type;
    auto* const to = static_cast<uint8_t*>(answer->message->msg_control) + answer->control_bytes;
    std::memcpy(to, &header, sizeof(header));
    std::memcpy(to + CMSG_LEN(0), &body, header.cmsg_len - CMSG_LEN(0));
    answer->control_bytes += space;
    return true;
  }

  uint32_t LowestFree(const Stream& from) const {
    uint32_t id = first_id;
    while (from.tokens.count(id) != 0) ++id;
    return id;
  }

  std::map<int, Stream> streams_;
};

}  // namespace devmem::testing
