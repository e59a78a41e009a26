// SPDX-License-Identifier: Apache-2.0
//
// A session on one end of an in-memory link, and the test itself on the other: it injects whole
// frames and looks at every frame that comes back. For what a well-behaved peer never does. One
// thread, virtual time.
//
//   test (end A, 192.0.2.2, 02:..:01)  <-- WireLink -->  session (end B, 192.0.2.1, 02:..:02)
//
// Over IPv6 the test is 2001:db8::2, and a session that is given the address is 2001:db8::1.

#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netmem/stack/clock.h"
#include "netmem/wire/arp.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/icmp.h"
#include "netmem/wire/neighbour_discovery.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/test_frames.h"
#include "uapi/stack_session.h"

namespace devmem::testing {

// A frame of the session's, whole, with its headers parsed.
struct SeenFrame {
  std::vector<uint8_t> bytes;
  FrameHeaders headers;

  TcpHeader tcp() const { return *TcpHeader::Parse(std::span(bytes).subspan(headers.l4_offset)); }
  // Nothing if it is none, or is wrong.
  std::optional<NeighbourMessage> neighbour() const {
    return ParseNeighbourMessage(bytes, headers);
  }
  ArpPacket arp() const {
    return *ArpPacket::Parse(std::span(bytes).subspan(kEthernetHeaderBytes));
  }
};

inline constexpr IpAddress kRawPeerV6 = IpAddress::FromHalves(0x20010db8'0000'0000, 2);
inline constexpr IpAddress kRawSessionV6 = IpAddress::FromHalves(0x20010db8'0000'0000, 1);

// A TCP segment of the peer's; a test names what differs.
struct RawSegment {
  uint16_t source_port = 40000;
  uint16_t destination_port = 5201;
  SeqNum seq = SeqNum(0xfffffff0);
  SeqNum ack = SeqNum(0);
  uint8_t flags = kTcpAck;
  std::vector<uint8_t> payload = {};
  uint32_t source = 0xc0000202;  // 192.0.2.2.
  uint32_t destination = 0xc0000201;
  TcpOptions options = {};
  bool v6 = false;  // Between the IPv6 addresses.

  std::vector<uint8_t> Bytes() const {
    std::vector<uint8_t> frame(kTcpFrameHeaderBytesMax);
    TcpFrameSpec spec;
    spec.source_mac = MacAddress({2, 0, 0, 0, 0, 1});
    spec.destination_mac = MacAddress({2, 0, 0, 0, 0, 2});
    spec.flow = {.local = v6 ? kRawPeerV6 : IpAddress::FromV4(source),
                 .remote = v6 ? kRawSessionV6 : IpAddress::FromV4(destination),
                 .local_port = source_port,
                 .remote_port = destination_port};
    spec.seq = seq;
    spec.ack = ack;
    spec.flags = flags;
    spec.window = 0xffff;
    spec.options = options;
    spec.payload_bytes = static_cast<uint32_t>(payload.size());
    spec.payload_sum = PartialSum(payload);
    frame.resize(BuildTcpFrame(spec, frame));
    frame.insert(frame.end(), payload.begin(), payload.end());
    return frame;
  }
};

class RawPeer {
 public:
  explicit RawPeer(uint32_t queue_count = 2, SessionOptions options = {}) {
    WireConfig config;
    config.b.queue_count = queue_count;
    link_ = ValueOrFail(WireLink::Create(config), "test link");
    const QueueMemory host = memory_.queue_memory();
    const absl::Status started = link_->a().Start(std::span(&host, 1));
    EXPECT_TRUE(started.ok()) << started;
    if (options.addresses.empty()) options.addresses = {"192.0.2.1/24", "2001:db8::1/64"};
    options.host_bytes_per_queue = 1 << 20;
    options.seed = 7;
    options.nic = &link_->b();
    options.clock = &clock_;
    session_ = ValueOrFail(StackSession::Open(options, "the test asked for it"), "test session");
  }

  Session& session() { return *session_; }
  Stack& stack() { return session_->stack(); }
  WireLink& link() { return *link_; }

  // Injects the frame as if it had come over the link, and returns what the session sends for it.
  std::vector<SeenFrame> Send(std::span<const uint8_t> frame) {
    EXPECT_TRUE(link_->b().Inject(frame));
    return Exchange();
  }
  std::vector<SeenFrame> Send(const RawSegment& segment) { return Send(segment.Bytes()); }

  // Lets the session work until it is quiet; returns the frames that it sent.
  std::vector<SeenFrame> Exchange() {
    std::vector<SeenFrame> seen;
    while (session_->Drive() != 0) continue;
    link_->AdvanceTo(link_->now());
    RxBatch batch;
    while (link_->a().queue(0).Poll(batch) != 0) {
      for (uint32_t i = 0; i < batch.frame_count; ++i) {
        const RxDescriptor& frame = batch.frames[i];
        SeenFrame copy{{frame.header.begin(), frame.header.end()}, frame.headers};
        const std::vector<uint8_t> payload = memory_.BytesOf(batch.PiecesOf(frame));
        copy.bytes.insert(copy.bytes.end(), payload.begin(), payload.end());
        seen.push_back(std::move(copy));
      }
      PutBack(batch, &memory_.pool(), nullptr);
    }
    return seen;
  }
  std::vector<SeenFrame> After(Nanos duration) {
    link_->AdvanceTo(link_->now() + duration);
    return Exchange();
  }

  uint64_t Statistic(const std::string& name) const {
    for (const devmem::Statistic& statistic : session_->statistics()) {
      if (statistic.name == name) return statistic.value;
    }
    ADD_FAILURE() << "no statistic is called " << name;
    return 0;
  }

  // Opens a connection to a listener as a peer: the SYN, its answer, the ACK. Returns the session's
  // initial sequence number.
  SeqNum Handshake(RawSegment syn) {
    syn.flags = kTcpSyn;
    const std::vector<SeenFrame> answers = Send(syn);
    EXPECT_EQ(answers.size(), 1u);
    if (answers.size() != 1) return SeqNum(0);
    const SeqNum iss = answers[0].tcp().seq();
    EXPECT_EQ(answers[0].tcp().flags(), kTcpSyn | kTcpAck);
    syn.flags = kTcpAck;
    ++syn.seq;
    syn.ack = iss + 1;
    EXPECT_TRUE(Send(syn).empty());
    return iss;
  }

 private:
  // Nothing arrives but what the test injects: a wait is a jump.
  class LinkClock final : public Clock {
   public:
    explicit LinkClock(RawPeer* peer) : peer_(peer) {}
    Nanos Now() override { return peer_->link_->now(); }
    void Wait(std::span<const int>, Nanos until) override {
      if (until == kNever) Fail("raw peer", "waits for ever", "the test sends nothing meanwhile");
      peer_->link_->AdvanceTo(until);
    }

   private:
    RawPeer* const peer_;
  };

  TestMemory memory_{TestMemory::Kind::kHost};
  LinkClock clock_{this};
  std::unique_ptr<WireLink> link_;
  std::unique_ptr<StackSession> session_;
};

}  // namespace devmem::testing
