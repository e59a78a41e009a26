// SPDX-License-Identifier: Apache-2.0
//
// See lwip_rig.h.

#include "bench/lwip_rig.h"

#include <dlfcn.h>
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/prot/ethernet.h>
#include <lwip/tcp.h>
#include <netif/ethernet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/wire/arp.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/frame_builder.h"
#include "netmem/wire/tcp_header.h"

// The library's own functions, replaced: its calls of them come here.
extern "C" {

// A segment with payload has the NIC's verdict. What is shorter is ours to send, and is summed.
u16_t ip_chksum_pseudo(pbuf* p, u8_t protocol, u16_t length, const ip_addr_t* source,
                       const ip_addr_t* destination) {
  using Function = u16_t (*)(pbuf*, u8_t, u16_t, const ip_addr_t*, const ip_addr_t*);
  static const Function original =
      reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "ip_chksum_pseudo"));
  if (length >= devmem::bench::kLwipSegmentBytes) return 0;
  return original(p, protocol, length, source, destination);
}

sys_prot_t sys_arch_protect() { return 0; }
void sys_arch_unprotect(sys_prot_t) {}

}  // extern "C"

namespace devmem::bench {
namespace {

constexpr uint16_t kOurPort = 5201;
constexpr uint16_t kPeerPortFirst = 20'000;
constexpr IpAddress kOurAddress = IpAddress::FromV4(0xc6120002);   // 198.18.0.2
constexpr IpAddress kPeerAddress = IpAddress::FromV4(0xc6120001);  // 198.18.0.1
constexpr MacAddress kOurMac({2, 0, 0, 0, 0, 2});
constexpr MacAddress kPeerMac({2, 0, 0, 0, 0, 9});

constexpr size_t kSeqOffset = 14 + 20 + 4;
constexpr size_t kHeaderBytes = 14 + 20 + 20;
constexpr uint32_t kFirstSeq = 0xffff'ff00;  // As of rx_rig.cc.
// A burst, and what waits behind a hole of each flow.
constexpr size_t kFrameSlots = 4096;
constexpr size_t kReplySlots = 128;

// One frame of a driver: what lwIP knows of it is inside, so that nothing is allocated.
struct FrameSlot {
  pbuf_custom header_pbuf;
  pbuf_custom payload_pbuf;
  std::array<uint8_t, 64> header;
  uint32_t parts_out = 0;  // Pbufs that lwIP still has.
  std::vector<FrameSlot*>* free_list = nullptr;
};

// Where each payload lies: lwIP never looks at it.
std::array<uint8_t, kLwipSegmentBytes> g_payload;

void GiveBack(FrameSlot& slot) {
  if (--slot.parts_out == 0) slot.free_list->push_back(&slot);
}

// lwIP calls these when nobody refers to a pbuf any more; the pbuf is the first member.
void FreeHeader(pbuf* p) { GiveBack(*reinterpret_cast<FrameSlot*>(p)); }
void FreePayload(pbuf* p) {
  GiveBack(*reinterpret_cast<FrameSlot*>(reinterpret_cast<uint8_t*>(p) -
                                         offsetof(FrameSlot, payload_pbuf)));
}

}  // namespace

struct LwipRig::State {
  struct Peer {
    std::array<uint8_t, kHeaderBytes> header{};
    SeqNum first;
    ArrivalOrder order{Disorder::kNone};
    tcp_pcb* pcb = nullptr;
  };

  netif interface {};
  tcp_pcb* listener = nullptr;
  std::vector<Peer> peers;
  std::vector<FrameSlot> slots{kFrameSlots};
  std::vector<FrameSlot*> free_slots;
  std::array<FrameSlot*, kLwipBurstSegments> burst{};
  std::array<std::array<uint8_t, kTcpFrameHeaderBytesMax>, kReplySlots> replies{};
  uint64_t reply_count = 0;
  tcp_pcb* accepted = nullptr;
  Disorder disorder = Disorder::kNone;
  size_t next_peer = 0;
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;

  const std::array<uint8_t, kTcpFrameHeaderBytesMax>& last_reply() const {
    return replies[(reply_count - 1) % kReplySlots];
  }

  static err_t StartInterface(netif* interface) {
    interface->hwaddr_len = 6;
    std::copy_n(kOurMac.bytes().begin(), 6, interface->hwaddr);
    interface->mtu = 1500;
    interface->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    interface->output = etharp_output;
    interface->linkoutput = Transmit;
    return ERR_OK;
  }

  // As a NIC's ring would take it.
  static err_t Transmit(netif* interface, pbuf* p) {
    State& state = *static_cast<State*>(interface->state);
    std::memcpy(state.replies[state.reply_count++ % kReplySlots].data(), p->payload,
                std::min<size_t>(p->len, kTcpFrameHeaderBytesMax));
    return ERR_OK;
  }

  static err_t Accepted(void* argument, tcp_pcb* pcb, err_t) {
    State& state = *static_cast<State*>(argument);
    state.accepted = pcb;
    tcp_arg(pcb, &state);
    tcp_recv(pcb, Received);
    return ERR_OK;
  }

  static err_t Received(void* argument, tcp_pcb* pcb, pbuf* p, err_t) {
    if (p == nullptr) return ERR_OK;
    static_cast<State*>(argument)->received_bytes += p->tot_len;
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
  }

  // A frame without payload, in memory of lwIP's own.
  void InputShort(std::span<const uint8_t> frame) {
    pbuf* const p = pbuf_alloc(PBUF_RAW, static_cast<u16_t>(frame.size()), PBUF_RAM);
    pbuf_take(p, frame.data(), static_cast<u16_t>(frame.size()));
    if (interface.input(p, &interface) != ERR_OK) pbuf_free(p);
  }

  // What a driver does with a frame that its NIC has split.
  void InputSplit(FrameSlot& slot) {
    slot.parts_out = 2;
    slot.header_pbuf.custom_free_function = FreeHeader;
    slot.payload_pbuf.custom_free_function = FreePayload;
    pbuf* const header = pbuf_alloced_custom(PBUF_RAW, kHeaderBytes, PBUF_REF, &slot.header_pbuf,
                                             slot.header.data(), kHeaderBytes);
    pbuf* const payload =
        pbuf_alloced_custom(PBUF_RAW, kLwipSegmentBytes, PBUF_REF, &slot.payload_pbuf,
                            g_payload.data(), kLwipSegmentBytes);
    pbuf_cat(header, payload);
    if (interface.input(header, &interface) != ERR_OK) pbuf_free(header);
  }

  TcpFrameSpec SpecFor(uint32_t index, SeqNum seq) const {
    return {.source_mac = kPeerMac,
            .destination_mac = kOurMac,
            .flow = {.local = kPeerAddress,
                     .remote = kOurAddress,
                     .local_port = static_cast<uint16_t>(kPeerPortFirst + index),
                     .remote_port = kOurPort},
            .seq = seq,
            .window = 65535};
  }
};

LwipRig::LwipRig(uint32_t flow_count, Disorder disorder) : state_(std::make_unique<State>()) {
  State& state = *state_;
  static const bool initialized = (lwip_init(), true);
  (void)initialized;
  for (FrameSlot& slot : state.slots) {
    slot.free_list = &state.free_slots;
    state.free_slots.push_back(&slot);
  }
  state.peers.resize(flow_count);
  state.disorder = disorder;
  const ip4_addr_t address{lwip_htonl(kOurAddress.v4())};
  const ip4_addr_t mask{lwip_htonl(0xfffe0000)};
  const ip4_addr_t gateway{0};
  netif_add(&state.interface, &address, &mask, &gateway, &state, State::StartInterface,
            ethernet_input);
  netif_set_default(&state.interface);
  netif_set_up(&state.interface);
  netif_set_link_up(&state.interface);
  tcp_pcb* const pcb = tcp_new();
  tcp_bind(pcb, IP4_ADDR_ANY, kOurPort);
  state.listener = tcp_listen(pcb);
  tcp_arg(state.listener, &state);
  tcp_accept(state.listener, State::Accepted);
}

LwipRig::~LwipRig() {
  for (State::Peer& peer : state_->peers) {
    if (peer.pcb != nullptr) tcp_abort(peer.pcb);
  }
  tcp_close(state_->listener);
  netif_remove(&state_->interface);
}

absl::StatusOr<std::unique_ptr<LwipRig>> LwipRig::Create(uint32_t flow_count, Disorder disorder) {
  std::unique_ptr<LwipRig> rig(new LwipRig(flow_count, disorder));
  // A question teaches lwIP who asks (RFC 826).
  std::array<uint8_t, kEthernetHeaderBytes + kArpPacketBytes> arp{};
  EmitEthernet(
      {.destination = MacAddress::Broadcast(), .source = kPeerMac, .ether_type = kEtherTypeArp},
      arp);
  EmitArp({.operation = kArpRequest,
           .sender_mac = kPeerMac,
           .sender_ip = kPeerAddress,
           .target_ip = kOurAddress},
          std::span(arp).subspan(kEthernetHeaderBytes));
  rig->state_->InputShort(arp);
  for (uint32_t index = 0; index < flow_count; ++index) {
    const absl::Status opened = rig->Open(index);
    if (!opened.ok()) return opened;
  }
  return rig;
}

absl::Status LwipRig::Open(uint32_t index) {
  State& state = *state_;
  State::Peer& peer = state.peers[index];
  std::array<uint8_t, kTcpFrameHeaderBytesMax> header;
  TcpFrameSpec syn = state.SpecFor(index, SeqNum(kFirstSeq));
  syn.flags = kTcpSyn;
  syn.options = {.mss = 1460, .window_scale = 7};
  const uint64_t replies_before = state.reply_count;
  state.InputShort(std::span(header).first(BuildTcpFrame(syn, header)));
  if (state.reply_count == replies_before) {
    return absl::InternalError(absl::StrCat("lwIP did not answer the SYN of flow ", index));
  }
  const SeqNum our_isn(LoadBe32(&state.last_reply()[kSeqOffset]));
  peer.first = SeqNum(kFirstSeq + 1);
  peer.order = ArrivalOrder(state.disorder);
  TcpFrameSpec segment = state.SpecFor(index, peer.first);
  segment.flags = kTcpAck;
  segment.ack = our_isn + 1;
  state.InputShort(std::span(header).first(BuildTcpFrame(segment, header)));
  if (state.accepted == nullptr) {
    return absl::InternalError(absl::StrCat("lwIP did not accept flow ", index));
  }
  peer.pcb = std::exchange(state.accepted, nullptr);
  segment.flags = kTcpAck | kTcpPsh;
  segment.payload_bytes = kLwipSegmentBytes;
  const size_t bytes = BuildTcpFrame(segment, header);
  if (bytes != kHeaderBytes) return absl::InternalError("a header has an unexpected length");
  std::copy_n(header.begin(), kHeaderBytes, peer.header.begin());
  return absl::OkStatus();
}

bool LwipRig::Send() {
  State& state = *state_;
  for (FrameSlot*& slot : state.burst) {
    if (state.free_slots.empty()) return false;
    slot = state.free_slots.back();
    state.free_slots.pop_back();
    State::Peer& peer = state.peers[state.next_peer];
    state.next_peer = state.next_peer + 1 == state.peers.size() ? 0 : state.next_peer + 1;
    // Copied each time: lwIP turns the numbers of a header round in place.
    std::copy_n(peer.header.begin(), kHeaderBytes, slot->header.begin());
    const uint32_t offset = static_cast<uint32_t>(peer.order.Next()) * kLwipSegmentBytes;
    StoreBe32(&slot->header[kSeqOffset], (peer.first + offset).value());
    state.sent_bytes += kLwipSegmentBytes;
  }
  return true;
}

void LwipRig::Receive() {
  for (FrameSlot* const slot : state_->burst) state_->InputSplit(*slot);
}

absl::Status LwipRig::Check() const {
  // Behind a hole there may wait what 16 later segments bring.
  const uint64_t waiting_bytes_max =
      state_->disorder == Disorder::kNone ? 0 : 16 * kLwipSegmentBytes * state_->peers.size();
  if (state_->sent_bytes - state_->received_bytes <= waiting_bytes_max) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("lwIP received ", state_->received_bytes, " of ", state_->sent_bytes, " bytes"));
}

uint64_t LwipRig::acks_sent() const { return state_->reply_count; }

}  // namespace devmem::bench
